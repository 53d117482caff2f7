"""Images that cannot be read, and images overwritten by others of the same size: no silent number."""

import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from texneg.datasets.images import open_images
from texneg.errors import InputError, RunFailed
from texneg.train.evaluate import analyze, knn, ood, probe
from texneg.train.evaluate.analyses.similarity import Similarity
from texneg.train.evaluate.features import extract
from texneg.train.evaluate.linear import fit_probe, save_head
from texneg.train.evaluate.outcomes import load_outcomes
from texneg.train.evaluate.sets.accuracy import Accuracy
from texneg.train.evaluate.sets.shape_bias import measure_shape_bias


@pytest.fixture
def tiny(encoder, monkeypatch):
    """The encoder in place of a checkpoint."""
    for module in (probe, knn, ood, analyze):
        monkeypatch.setattr(module, "open_encoder", lambda *_: encoder)
    return encoder


@pytest.fixture
def measure_sets(tiny, colours, tmp_path):
    """A function that measures sets with a head fitted on colours; the rows of ood.json by name."""
    found = extract(tiny, open_images(colours("train")))
    head = fit_probe(found.values, found.labels, classes=tuple(open_images(tmp_path / "train").classes))
    save_head(str(tmp_path / "head.pt"), type(head)(**{**vars(head), "encoder": tiny.fingerprint}))

    def measure(*sets, data=None, **options):
        paths = tuple(f"{name}={tmp_path / name}" for name in sets)
        files = {"head": (str(tmp_path / "head.pt"),), "out": str(tmp_path / "run"), "device": "cpu"}
        try:
            ood.ood(ood.OodConfig("tiny", **files, kinds=(Accuracy(paths, data=data),), **options))
        finally:
            path = tmp_path / "run" / "ood.json"
            rows = json.loads(path.read_text())["sets"] if path.is_file() else []
        return {row["name"]: row for row in rows}

    return measure


def damage(folder):
    """Of twelve red images: one cut short, one empty, one a text."""
    (folder / "red" / "red3.png").write_bytes((folder / "red" / "red3.png").read_bytes()[:-40])
    (folder / "red" / "red5.png").write_bytes(b"")
    (folder / "red" / "red7.png").write_text("no image")
    return folder


def make_bmp(folder):
    """Turn PNG files into BMP files, all of one size."""
    for path in sorted(folder.rglob("*.png")):
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    return folder


def overwrite_with_noise(folder):
    """Overwrite BMP files with noise of the same size, and put their times back."""
    draw = np.random.default_rng(9)
    for path in sorted(folder.rglob("*.bmp")):
        before = path.stat()
        Image.fromarray(draw.integers(0, 256, (20, 16, 3), dtype=np.uint8)).save(path)
        assert path.stat().st_size == before.st_size
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("cached", [False, True], ids=["", "cached"])
def test_images_overwritten_by_others_of_the_same_size_are_measured_again(
    measure_sets, colours, tmp_path, cached
):
    folder = make_bmp(colours("thirty", seed=1, per_class=10))
    options = {"cache": str(tmp_path / "cache")} if cached else {}
    old = measure_sets("thirty", **options)["thirty"]
    assert (old["n"], old["masked"]["accuracy"]) == (30, 1.0)
    overwrite_with_noise(folder)
    new = measure_sets("thirty", **options)["thirty"]
    assert new["masked"]["accuracy"] < 0.8
    assert new["data"] != old["data"]
    assert not (load_outcomes(tmp_path / "run" / new["outcomes"]).values == 1).all()


def test_a_bank_overwritten_by_others_of_the_same_size_is_searched_again(measure_sets, colours, tmp_path):
    bank = make_bmp(colours("bank", seed=2))
    colours("same", seed=1)
    options = {"data": str(bank), "cache": str(tmp_path / "cache")}
    assert measure_sets("same", **options)["same"]["knn"]["accuracy"] == 1.0
    overwrite_with_noise(bank)
    assert measure_sets("same", **options)["same"]["knn"]["accuracy"] < 0.8


@pytest.mark.parametrize(
    ("bad", "n", "correct", "said"),
    [
        ("wrong", 36, 33, "3 unreadable images counted as wrong"),
        ("skip", 33, 33, "3 unreadable images left out"),
    ],
)
def test_unreadable_images_are_counted_beside_n(
    measure_sets, colours, tmp_path, capsys, bad, n, correct, said
):
    damage(colours("set", seed=1))
    for _ in range(2):  # of the second call the features come from the cache
        row = measure_sets("set", bad=bad, cache=str(tmp_path / "cache"))["set"]
        assert (row["n"], row["masked"]["correct"], row["unmasked"]["correct"]) == (n, correct, correct)
        assert (row["unreadable"], row["bad"]) == (3, bad)
        assert said in capsys.readouterr().out
        outcomes = load_outcomes(tmp_path / "run" / row["outcomes"])
        assert (len(outcomes.keys), outcomes.values.sum()) == (n, correct)
        (tmp_path / "run" / "cells.jsonl").unlink()
    row = measure_sets("set", bad=bad, allow_truncated=True)["set"]
    assert row["unreadable"] == 2


def test_one_set_that_fails_leaves_the_others_and_is_measured_once_mended(measure_sets, colours, tmp_path):
    colours("first", seed=1)
    damage(colours("second", seed=2))
    colours("third", seed=3)
    empty = colours("fourth", seed=4, classes=("red", "blue"), per_class=1)
    for path in empty.rglob("*.png"):
        path.write_bytes(b"")
    names = ("first", "second", "third", "fourth")
    with pytest.raises(
        RunFailed, match=r"2 of 4 could not be measured .*'second'.*red3.*--bad skip; .*'fourth'"
    ):
        measure_sets(*names, bad="error")
    measured = (tmp_path / "run" / "cells.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in measured] == ["first", "third"]
    with pytest.raises(RunFailed, match=r"1 of 4 .*none of 2 images of .*fourth can be read \(first: empty"):
        measure_sets(*names)
    colours("second", seed=2)
    colours("fourth", seed=4, classes=("red", "blue"), per_class=1)
    rows = measure_sets(*names, bad="error")
    assert [(row["n"], row["unreadable"]) for row in rows.values()] == [(36, 0)] * 3 + [(2, 0)]


def test_a_set_that_cannot_be_measured_any_more_has_no_old_number(measure_sets, colours, tmp_path):
    folder = colours("set", seed=1)
    colours("other", seed=2)
    assert set(measure_sets("set", "other", bad="error")) == {"set", "other"}
    damage(folder)
    with pytest.raises(RunFailed, match="'set'"):
        measure_sets("set", "other", bad="error")
    rows = json.loads((tmp_path / "run" / "ood.json").read_text())["sets"]
    assert [row["name"] for row in rows] == ["other"]


def test_a_path_that_is_not_there_is_refused_before_anything_is_measured(measure_sets, colours, tmp_path):
    colours("there", seed=1)
    with pytest.raises(InputError, match=r"'gone': .*gone does not exist"):
        measure_sets("there", "gone")
    assert not (tmp_path / "run" / "cells.jsonl").exists()


def test_the_probe_leaves_damaged_training_images_out_and_counts_damaged_answers(
    tiny, colours, tmp_path, capsys
):
    train, test = damage(colours("train")), damage(colours("test", seed=1))
    config = {"checkpoint": "tiny", "data": str(train), "test": str(test), "out": str(tmp_path / "run")}
    assert probe.probe(probe.ProbeConfig(**config, device="cpu")) == 0
    found = json.loads((tmp_path / "run" / "probe.json").read_text())
    assert (found["n_train"], found["unreadable"]) == (33, 3)
    assert (found["test"]["n"], found["test"]["correct"], found["test"]["unreadable"]) == (36, 33, 3)
    said = capsys.readouterr().out
    assert "33 training images, 3 classes; 3 unreadable images left out" in said
    assert "; 3 unreadable images counted as wrong" in said
    with pytest.raises(InputError, match="red3"):
        probe.probe(probe.ProbeConfig(**config, device="cpu", bad="error"))


def test_a_probe_whose_test_fails_keeps_its_head(tiny, colours, tmp_path):
    test = colours("test", seed=1)
    config = probe.ProbeConfig(
        "tiny", str(colours("train")), str(tmp_path / "run"), test=str(test), device="cpu"
    )
    probe.probe(config)
    (tmp_path / "run" / "head.pt").unlink()
    for path in test.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(RunFailed, match=r"the test on .*none of 36 images.*head\.pt is written"):
        probe.probe(config)
    assert (tmp_path / "run" / "head.pt").is_file()
    assert not (tmp_path / "run" / "probe.json").exists()


def test_knn_leaves_damaged_images_out_of_its_bank(tiny, colours, tmp_path, capsys):
    train, test = damage(colours("train")), damage(colours("test", seed=1))
    config = {"checkpoint": "tiny", "data": str(train), "test": str(test), "out": str(tmp_path), "k": (1,)}
    knn.knn(knn.KnnConfig(**config, device="cpu"))
    found = json.loads((tmp_path / "knn.json").read_text())
    assert found["unreadable"] == {"test": 3, "searched": 3}
    assert (found["k"]["1"]["n"], found["k"]["1"]["correct"]) == (36, 33)
    assert "3 unreadable images counted as wrong" in capsys.readouterr().out
    knn.knn(knn.KnnConfig(**config, device="cpu", bad="skip"))
    assert json.loads((tmp_path / "knn.json").read_text())["k"]["1"]["n"] == 33
    with pytest.raises(InputError, match="red3"):
        knn.knn(knn.KnnConfig(**config, device="cpu", bad="error"))


def test_an_analysis_leaves_damaged_images_out_or_ends(tiny, colours, tmp_path, capsys):
    folder = damage(colours("set"))
    config = {"checkpoint": "tiny", "data": str(folder), "out": str(tmp_path / "run"), "device": "cpu"}
    analyze.analyze(Similarity(**config))
    found = json.loads((tmp_path / "run" / "similarity.json").read_text())
    assert (found["images"], found["unreadable"], found["kinds"]["positive"]["n"]) == (33, 3, 33)
    assert "33 images; 3 unreadable images left out" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"3 of 36 images cannot be read \(first: .*red3"):
        analyze.analyze(Similarity(**config, bad="error"))


def test_an_analysis_goes_without_damaged_textures_and_needs_none_of_damaged_images(tiny, colours, tmp_path):
    folder, textures = damage(colours("set")), colours("textures", seed=1)
    (textures / "red" / "red3.png").unlink()  # as texneg synth leaves it
    (textures / "blue" / "blue1.png").write_bytes(b"")
    config = {"checkpoint": "tiny", "data": str(folder), "out": str(tmp_path / "run"), "device": "cpu"}
    analyze.analyze(Similarity(**config, textures=str(textures)))
    found = json.loads((tmp_path / "run" / "similarity.json").read_text())
    assert (found["images"], found["unreadable"], found["kinds"]["texture"]["n"]) == (32, 4, 32)


def test_an_unreadable_cue_conflict_image_decides_for_neither_cue(tiny, tmp_path, colours):
    folder = colours("cue", classes=("red", "blue"), per_class=4)
    for shape, texture in (("red", "blue"), ("blue", "red")):
        for i in range(4):
            path = folder / shape / f"{shape}{i}.png"
            path.rename(path.with_name(f"{shape}{i}-{texture}1.png"))
    head_data = extract(tiny, open_images(colours("train", classes=("red", "blue"))))
    head = fit_probe(head_data.values, head_data.labels, classes=("blue", "red"))
    whole = measure_shape_bias(head, extract(tiny, open_images(folder)), ("blue", "red"))
    assert whole.values.tolist() == [1] * 8
    (folder / "red" / "red2-blue1.png").write_bytes(b"")
    features = extract(tiny, open_images(folder), bad="wrong")
    assert measure_shape_bias(head, features, ("blue", "red")).values.tolist() == [1] * 6 + [0, 1]
    (folder / "red" / "red1-blue1.png").rename(folder / "red1-blue1.png")
    features = extract(tiny, open_images(folder), bad="skip")
    with pytest.raises(InputError, match=r"'red1-blue1' lies in no folder"):
        measure_shape_bias(head, features, ("blue", "red"))


def test_features_that_are_no_numbers_are_refused(tiny, colours, tmp_path):
    folder = colours("set")
    with torch.no_grad():
        tiny.body[1].running_var.fill_(float("nan"))
    with pytest.raises(InputError, match=r"not finite for 36 of 36 images of .*set.*diverged"):
        extract(tiny, open_images(folder), cache=str(tmp_path / "cache"))
    assert not list((tmp_path / "cache").glob("*.npz"))
    config = {"checkpoint": "tiny", "data": str(folder), "out": str(tmp_path / "run"), "device": "cpu"}
    for verb, given in (
        (probe.probe, probe.ProbeConfig(**config)),
        (knn.knn, knn.KnnConfig(**config, test=str(folder))),
        (analyze.analyze, Similarity(**config)),
    ):
        with pytest.raises(InputError, match="not finite for 36 of 36 images"):
            verb(given)
