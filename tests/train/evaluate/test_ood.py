"""Test sets: shared classes, both argmax rules, resuming, and what bad input gets."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from texneg.cli.main import main
from texneg.datasets.images import open_images
from texneg.errors import InputError, RunFailed
from texneg.train.evaluate import ood
from texneg.train.evaluate.features import Features, extract
from texneg.train.evaluate.linear import fit_probe, load_head, save_head
from texneg.train.evaluate.sets import base
from texneg.train.evaluate.sets.accuracy import Accuracy, measure_accuracy
from texneg.train.evaluate.sets.base import align, load_outcomes, parse_paths, save_outcomes


@pytest.fixture
def probed(encoder, colours, tmp_path, monkeypatch):
    """Paths of an encoder and its head, with the loader replaced by the tiny encoder."""
    monkeypatch.setattr(ood, "open_encoder", lambda *_: encoder)
    train = open_images(colours("train"))
    fitted = fit_probe(*features_of(encoder, train), classes=train.classes, penalties=(1e-2,))
    head = type(fitted)(**{**vars(fitted), "encoder": encoder.fingerprint})
    save_head(str(tmp_path / "head.pt"), head)
    return {
        "checkpoint": "tiny",
        "head": str(tmp_path / "head.pt"),
        "out": str(tmp_path / "run"),
        "device": "cpu",
    }


def features_of(encoder, images):
    found = extract(encoder, images)
    return found.values, found.labels


def test_a_finished_set_is_not_measured_again(probed, colours, tmp_path, monkeypatch):
    same, fewer = colours("same", seed=1), colours("fewer", seed=2, classes=("red", "blue"))
    sets = Accuracy(
        (f"same={same}", f"fewer={fewer}"), data=str(tmp_path / "train"), classes=("fewer=folders",)
    )
    config = ood.OodConfig(**probed, kinds=(sets,))
    assert ood.ood(config) == 0
    first = (tmp_path / "run" / "ood.json").read_bytes()
    rows = {row["name"]: row for row in json.loads(first)["sets"]}
    assert rows["same"]["masked"]["accuracy"] == 1.0
    assert rows["fewer"]["class_names"] == ["blue", "red"]
    assert rows["fewer"]["chance"] == 0.5
    assert rows["fewer"]["knn"]["n"] == 24
    assert [(row["knn"]["k"], row["knn"]["asked"]) for row in rows.values()] == [(20, 20), (20, 20)]

    monkeypatch.setattr(Accuracy, "measure", lambda *_: pytest.fail("measured again"))
    ood.ood(config)
    assert (tmp_path / "run" / "ood.json").read_bytes() == first
    assert len((tmp_path / "run" / "cells.jsonl").read_text().splitlines()) == 2
    monkeypatch.undo()


def test_a_bank_smaller_than_k_is_said(probed, colours, tmp_path, capsys):
    for path in (tmp_path / "train").rglob("*1*.png"):
        path.unlink()  # leaves nine images of each class
    same, fewer = colours("same", seed=1), colours("fewer", seed=2, classes=("red", "blue"))
    sets = Accuracy(
        (f"same={same}", f"fewer={fewer}"), data=str(tmp_path / "train"), classes=("fewer=folders",)
    )
    ood.ood(ood.OodConfig(**probed, kinds=(sets,)))
    rows = json.loads((tmp_path / "run" / "ood.json").read_text())["sets"]
    assert [(row["knn"]["k"], row["knn"]["asked"]) for row in rows] == [(20, 20), (18, 20)]
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("kNN 100.0 %")
    assert first.startswith(
        "same: masked 100.0 % [90.4, 100.0] of 36 images in 3 classes (chance 33.3 %), unm"
    )
    assert second.endswith("kNN 100.0 % (k = 18, the whole bank)")


def test_a_changed_set_and_a_cut_line_are_measured_again(probed, colours, tmp_path, encoder, monkeypatch):
    folder = colours("same", seed=1)
    config = ood.OodConfig(**probed, kinds=(Accuracy((f"same={folder}",)),))
    ood.ood(config)
    cells = tmp_path / "run" / "cells.jsonl"
    cells.write_text(cells.read_text()[:-40])
    ood.ood(config)
    (folder / "red" / "red3.png").unlink()
    ood.ood(config)
    rows = json.loads((tmp_path / "run" / "ood.json").read_text())["sets"]
    assert [row["n"] for row in rows] == [35]
    outcomes = load_outcomes(tmp_path / "run" / rows[0]["outcomes"])
    assert len(outcomes.keys) == 35
    assert outcomes.values.sum() == rows[0]["masked"]["correct"]


def test_damaged_outcomes_are_refused_and_made_again(probed, colours, tmp_path):
    config = ood.OodConfig(**probed, kinds=(Accuracy((f"same={colours('same', seed=1)}",)),))
    ood.ood(config)
    rows = json.loads((tmp_path / "run" / "ood.json").read_text())["sets"]
    path = tmp_path / "run" / rows[0]["outcomes"]
    whole = load_outcomes(path)
    cells = tmp_path / "run" / "cells.jsonl"
    for content in (b"", path.read_bytes()[:100], b"no archive"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"no readable outcomes .* run texneg ood again"):
            load_outcomes(path)
        cells.write_text(cells.read_text() + '{"cell": "lacks all else"}\n')
        ood.ood(config)
        assert (load_outcomes(path).values == whole.values).all()


def test_a_cache_that_is_no_folder_is_refused_before_any_set(probed, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    for cache in ("file", "file/below"):
        with pytest.raises(InputError, match=r"--cache .*file is no folder; give another place"):
            ood.ood(ood.OodConfig(**probed, cache=str(tmp_path / cache)))
    words = ["--data", "x", "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "file")]
    assert not (tmp_path / "run").exists()
    for verb in ("knn", "probe"):
        assert main([verb, "none", *words]) == 2
        assert "file is no folder" in capsys.readouterr().err


def test_outcomes_are_aligned_by_name(tmp_path, encoder, colours):
    images = open_images(colours("set"))
    values, labels = features_of(encoder, images)
    head = fit_probe(values, labels, classes=images.classes, penalties=(1.0,))
    order = torch.randperm(36, generator=torch.Generator().manual_seed(0))
    mixed = Features(values[order], labels[order], tuple(images.keys[i] for i in order.tolist()))
    runs = []
    for i, features in enumerate((Features(values, labels, images.keys), mixed)):
        found = measure_accuracy(head, features, images.classes)
        save_outcomes(tmp_path / f"{i}.npz", found.keys, found.values)
        runs.append(load_outcomes(tmp_path / f"{i}.npz"))
    both = align(runs)
    assert (both[0] == both[1]).all()
    fewer = type(runs[0])(runs[0].keys[1:], runs[0].values[1:])
    assert align([runs[0], fewer]) is None


@pytest.mark.parametrize("text", ["sketch", "=path", "sketch="])
def test_malformed_sets_are_refused(text):
    with pytest.raises(InputError, match="NAME=PATH"):
        parse_paths([text], "--sets")


def test_what_bad_input_gets(probed, colours, tmp_path, encoder):
    with pytest.raises(InputError, match="twice"):
        parse_paths(["a=1", "a=2"], "--sets")
    with pytest.raises(InputError, match="no test set"):
        ood.ood(ood.OodConfig(**probed))
    other = tmp_path / "other" / "sofa"
    colours("red-only", classes=("red",)).joinpath("red").rename(tmp_path / "sofa")
    other.parent.mkdir()
    (tmp_path / "sofa").rename(other)
    with pytest.raises(RunFailed, match=r"1 of 1 could not be measured .*'odd'.*no shared classes"):
        ood.ood(ood.OodConfig(**probed, kinds=(Accuracy((f"odd={other.parent}",)),)))
    with pytest.raises(InputError, match="absent does not exist"):
        ood.ood(ood.OodConfig(**probed, kinds=(Accuracy((f"none={tmp_path / 'absent'}",)),)))
    with pytest.raises(InputError, match="no head at"):
        load_head(str(tmp_path / "absent.pt"), encoder)
    (tmp_path / "text.pt").write_text("no head")
    with pytest.raises(InputError, match="cannot be read as a head"):
        load_head(str(tmp_path / "text.pt"), encoder)
    saved = torch.load(probed["head"], weights_only=True)
    for lacking in ("classes", "weight"):
        torch.save({k: v for k, v in saved.items() if k != lacking}, tmp_path / "lacking.pt")
        with pytest.raises(InputError, match="is damaged; make it again with texneg probe"):
            load_head(str(tmp_path / "lacking.pt"), encoder)
    with torch.no_grad():
        encoder.body[0].bias += 1
    with pytest.raises(InputError, match="was fitted on encoder"):
        load_head(probed["head"], encoder)


def test_the_head_says_how_its_images_are_prepared(probed, colours, tmp_path, encoder, monkeypatch, capsys):
    """Flip and resize are the head's; sets that are cut to size are not enlarged."""
    images = colours("set", seed=1)
    head = load_head(probed["head"], encoder)
    assert "fitted by an earlier version" in capsys.readouterr().err
    mirrored = replace(head, flip=True, resize="torchvision", transform="x")
    save_head(probed["head"], mirrored)
    assert load_head(probed["head"], encoder).flip
    asked = []
    monkeypatch.setattr(
        base, "extract", lambda *_, **options: asked.append(options) or extract(*_, **options)
    )
    sets = Accuracy((f"one={images}", f"two={colours('other', seed=2)}"), ready_cut=("two",))
    ood.ood(ood.OodConfig(**probed, kinds=(sets,)))
    assert [(one["flip"], one["resize"]) for one in asked] == [
        (True, "torchvision"),
        (True, "no-enlargement"),
    ]
    rows = json.loads((tmp_path / "run" / "ood.json").read_text())["sets"]
    assert [row["transform"].startswith("torchvision") for row in rows] == [True, False]
    assert capsys.readouterr().err == ""
    with pytest.raises(InputError, match="--ready-cut three: no set has this name; the sets are one"):
        list(Accuracy((f"one={images}",), ready_cut=("three",)).cells())


def test_unknown_folders_end_a_set_unless_they_are_left_out(probed, colours, tmp_path, capsys):
    folder = colours("set", seed=1)
    shutil.copytree(folder / "red", folder / "Red")
    words = ["ood", "tiny", "--head", probed["head"], "--out", probed["out"], "--device", "cpu"]
    sets = ["--sets", f"one={folder}", "--classes"]
    assert main([*words, *sets[:2]]) == 1
    assert "1 class folder unknown to the head: Red (but for case and blanks, 'Red' is 'red')" in (
        capsys.readouterr().err
    )
    assert main([*words, *sets[:2], "--leave-out"]) == 0
    assert "; 12 images of 1 class that the head lacks (Red) left out" in capsys.readouterr().out
    (tmp_path / "map.json").write_text('{"Red": "red", "green": [], "blue": [], "red": []}')
    assert main([*words, *sets, f"one={tmp_path / 'map.json'}"]) == 0
    assert "of 48 images in 3 classes of " in capsys.readouterr().out
    assert main([*words, *sets, "two=pacs"]) == 2
    assert "--classes two: no set has this name; the sets are one" in capsys.readouterr().err
