"""Corruptions on the fly: a cell each, resumed one by one, and everything that decides them in the record."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from texneg.cli.main import main
from texneg.datasets.corruptions.corrupt import CORRUPTIONS, corrupt
from texneg.datasets.corruptions.digital import reencode
from texneg.datasets.corruptions.draws import image_draws
from texneg.datasets.images import open_images
from texneg.errors import InputError
from texneg.train.evaluate import ood
from texneg.train.evaluate.features import Edit, crop, extract
from texneg.train.evaluate.linear import fit_probe, save_head
from texneg.train.evaluate.sets.corruptions import Corruptions


@pytest.fixture
def probed(encoder, colours, tmp_path, monkeypatch):
    """Options of a tiny encoder with a head."""
    monkeypatch.setattr(ood, "open_encoder", lambda *_: encoder)
    train = open_images(colours("train"))
    features = extract(encoder, train)
    fitted = fit_probe(features.values, features.labels, classes=train.classes, penalties=(1e-2,))
    save_head(str(tmp_path / "head.pt"), replace(fitted, encoder=encoder.fingerprint))
    return {
        "checkpoint": "tiny",
        "head": (str(tmp_path / "head.pt"),),
        "out": str(tmp_path / "run"),
        "device": "cpu",
    }


def test_a_cell_for_each_corruption_and_severity(probed, encoder, colours, tmp_path, monkeypatch, capsys):
    test = colours("test", seed=1)
    kind = Corruptions((f"test={test}",), ("fog", "gaussian_noise", "fog"), severities=(1, 5))
    assert ood.ood(ood.OodConfig(**probed, kinds=(kind,))) == 0
    [record] = json.loads((tmp_path / "run" / "ood.json").read_bytes())["sets"]
    cells = {cell["part"]: cell for cell in record["cells"]}
    assert list(cells) == ["fog-1", "fog-5", "gaussian_noise-1", "gaussian_noise-5"]
    assert record["value"] == pytest.approx(np.mean([cell["masked"]["accuracy"] for cell in cells.values()]))
    assert set(record["by_corruption"]) == {"fog", "gaussian_noise"}
    printed = capsys.readouterr().out
    assert "corrupted on the fly: JPEG 85 after it, constants of " in printed
    assert "frost" not in printed

    seen = []
    measure = Corruptions.measure
    monkeypatch.setattr(
        Corruptions, "measure", lambda self, cell, *a: seen.append(cell.part) or measure(self, cell, *a)
    )
    more = replace(kind, corruptions=("fog", "contrast"))
    ood.ood(ood.OodConfig(**probed, kinds=(more,)))
    assert seen == ["contrast-1", "contrast-5"]
    seen.clear()
    ood.ood(ood.OodConfig(**probed, kinds=(replace(more, jpeg_quality=0),)))
    assert len(seen) == 4
    assert "no JPEG after it" in capsys.readouterr().out


def test_the_network_sees_the_corrupted_crop(encoder, colours, tmp_path):
    images = open_images(colours("test", seed=1))
    seen = {}
    kind = Corruptions((f"test={images.root}",), ("speckle_noise",), severities=(4,), corruption_seed=7)

    class Recorder:
        """Stands for an encoder with its head, and notes the edited crops."""

        def __init__(self):
            self.encoder = encoder
            self.head = SimpleNamespace(classes=images.classes)

        def features(self, images, *, ready_cut, edit):
            for i, key in enumerate(images.keys):
                seen[key] = edit.apply(crop(images[i][0], encoder.preprocessing), key)
            raise InputError("enough")

    [cell] = kind.cells()
    with pytest.raises(InputError, match="enough"):
        kind.measure(cell, images, Recorder())
    for i, key in enumerate(images.keys):
        cut = crop(images[i][0], encoder.preprocessing)
        draws = image_draws(7, "speckle_noise", 4, key)
        expected = reencode(corrupt(cut, "speckle_noise", severity=4, draws=draws), 85)
        np.testing.assert_array_equal(seen[key], expected)


def test_edited_features_are_cached_apart(encoder, colours, tmp_path):
    images = open_images(colours("test", seed=1))
    cache = str(tmp_path / "cache")
    plain = extract(encoder, images, cache=cache).values
    dark = Edit("dark", lambda pixels, key: pixels // 2)
    assert not extract(encoder, images, cache=cache, edit=dark).values.equal(plain)
    assert extract(encoder, images, cache=cache).values.equal(plain)
    never = Edit("dark", lambda pixels, key: pytest.fail("read from the cache"))
    extract(encoder, images, cache=cache, edit=never)


def test_all_and_extra_and_what_is_refused(tmp_path):
    every = list(Corruptions((f"x={tmp_path}",)).cells())
    assert len(every) == 75
    assert [cell.part.rpartition("-")[0] for cell in every[::5]] == list(CORRUPTIONS)
    assert len(list(Corruptions((f"x={tmp_path}",), ("all", "extra")).cells())) == 95
    assert not list(Corruptions().cells())
    for wrong, message in (
        ({"corruptions": ("rain",)}, "--corruptions rain: allowed are all, extra, gaussian_noise"),
        ({"severities": (0,)}, "--severities 0: allowed are 1 to 5"),
        ({"jpeg_quality": 101}, "--jpeg-quality 101: allowed is 1 to 100"),
        ({"frost_dir": str(tmp_path)}, r"has no frost1\.png"),
    ):
        with pytest.raises(InputError, match=message):
            list(Corruptions((f"x={tmp_path}",), **wrong).cells())


def test_corruptions_without_images_are_refused(probed, capsys):
    words = ["ood", "tiny", "--head", *probed["head"], "--out", probed["out"], "--corruptions", "fog"]
    assert main(words) == 2
    assert "nothing to corrupt: name the images, --corrupt photos=/data/photos" in capsys.readouterr().err
