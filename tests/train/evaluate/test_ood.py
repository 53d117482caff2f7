"""Test sets: shared classes, both argmax rules, resuming, and what bad input gets."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from texneg.cli.main import main
from texneg.datasets.images import open_images
from texneg.errors import InputError, RunFailed
from texneg.train.evaluate import ood, probe
from texneg.train.evaluate.features import Features, extract
from texneg.train.evaluate.linear import fit_probe, load_head, save_head
from texneg.train.evaluate.outcomes import align_files, load_outcomes, save_outcomes
from texneg.train.evaluate.sets import base
from texneg.train.evaluate.sets.accuracy import Accuracy, measure_accuracy
from texneg.train.evaluate.sets.base import parse_paths


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
        "head": (str(tmp_path / "head.pt"),),
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
        "same: masked 100.0 % [90.4, 100.0] of 36 images in 3 classes (3-way, chance 33.3 %), unm"
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


def test_a_set_that_is_said_to_be_in_distribution_is_measured_anew_with_its_ranking(
    probed, colours, tmp_path
):
    paths = (f"same={colours('same', seed=1)}",)
    for kind in (Accuracy(paths), Accuracy(paths, in_distribution=("same",))):
        ood.ood(ood.OodConfig(**probed, kinds=(kind,)))
        [row] = json.loads((tmp_path / "run" / "ood.json").read_text())["sets"]
        answers = load_outcomes(tmp_path / "run" / row["outcomes"]).answers
        assert (answers.ranking is None) == (not row["in_distribution"])
    assert (row["choices"], row["choice_names"]) == (3, ["blue", "green", "red"])
    assert len(answers.ranking) == answers.ranked.sum() >= len(answers.predicted) == 36


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
        runs.append(tmp_path / f"{i}.npz")
    both = align_files(runs)
    assert (both[0] == both[1]).all()
    one = load_outcomes(runs[0])
    save_outcomes(tmp_path / "fewer.npz", one.keys[1:], one.values[1:])
    assert align_files([runs[0], tmp_path / "fewer.npz"]) is None
    assert align_files([runs[0], tmp_path / "none.npz"]) is None


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
    saved = torch.load(probed["head"][0], weights_only=True)
    for lacking in ("classes", "weight"):
        torch.save({k: v for k, v in saved.items() if k != lacking}, tmp_path / "lacking.pt")
        with pytest.raises(InputError, match="is damaged; make it again with texneg probe"):
            load_head(str(tmp_path / "lacking.pt"), encoder)
    with torch.no_grad():
        encoder.body[0].bias += 1
    with pytest.raises(InputError, match="was fitted on encoder"):
        load_head(probed["head"][0], encoder)


def test_the_head_says_how_its_images_are_prepared(probed, colours, tmp_path, encoder, monkeypatch, capsys):
    """Flip and resize are the head's; sets that are cut to size are not enlarged."""
    images = colours("set", seed=1)
    head = load_head(probed["head"][0], encoder)
    assert "fitted by an earlier version" in capsys.readouterr().err
    mirrored = replace(head, flip=True, resize="torchvision", transform="x")
    save_head(probed["head"][0], mirrored)
    assert load_head(probed["head"][0], encoder).flip
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
    words = ["ood", "tiny", "--head", *probed["head"], "--out", probed["out"], "--device", "cpu"]
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


@pytest.fixture
def several(encoder, colours, tmp_path, monkeypatch):
    """A run folder with heads of three and of two colours, and the words that name both."""
    for module in (ood, probe):
        monkeypatch.setattr(module, "open_encoder", lambda *_: encoder)
    run = str(tmp_path / "run")
    for name, classes in (("three", ("blue", "green", "red")), ("two", ("red", "blue"))):
        words = ["--data", str(colours(name, classes=classes)), "--name", name, "--device", "cpu"]
        assert main(["probe", "tiny", "--out", run, *words]) == 0
    return ["ood", "tiny", "--out", run, "--head", "three", "two", "--device", "cpu"]


def results(tmp_path):
    """Sets of ood.json by head and name."""
    found = json.loads((tmp_path / "run" / "ood.json").read_text())
    return {(row["head_name"], row["name"]): row for row in found["sets"]}


def test_every_head_is_tested_on_every_set(several, colours, tmp_path, capsys, monkeypatch):
    folder, asked = colours("a", seed=1, classes=("red", "blue")), []
    monkeypatch.setattr(base, "extract", lambda *_, **options: asked.append(1) or extract(*_, **options))
    assert main([*several, "--sets", f"a={folder}", "--in-distribution", "a"]) == 0
    assert {key: row["classes"] for key, row in results(tmp_path).items()} == {
        ("three", "a"): 3,
        ("two", "a"): 2,
    }
    assert len(asked) == 1  # both heads look at the same features
    assert "[two] a: masked 100.0 %" in capsys.readouterr().out
    assert all(row["in_distribution"] for row in results(tmp_path).values())
    assert main([*several, "--sets", f"a={folder}"]) == 0
    assert len(asked) == 1
    assert not any(row["in_distribution"] for row in results(tmp_path).values())
    again = ["--data", str(tmp_path / "two"), "--name", "two", "--device", "cpu", "--seed", "1"]
    (tmp_path / "two" / "red" / "red1.png").unlink()
    assert main(["probe", "tiny", "--out", str(tmp_path / "run"), *again]) == 0
    assert main([*several[:4], "--head", "three", "--sets", f"a={folder}", "--device", "cpu"]) == 0
    assert list(results(tmp_path)) == [("three", "a")]  # what was measured of the earlier head is gone


def test_a_probe_does_not_write_over_another(several, colours, tmp_path, capsys):
    run, other = tmp_path / "run", str(colours("other", seed=3))
    words = ["probe", "tiny", "--out", str(run), "--device", "cpu", "--data"]
    assert main([*words, other]) == 0
    kept = (run / "head.pt").read_bytes()
    assert main([*words, str(tmp_path / "three")]) == 2
    said = capsys.readouterr().err
    assert f"is of a head fitted on {other}: give this one a name, such as --name three" in said
    assert (run / "head.pt").read_bytes() == kept
    assert main([*words, other, "--name", "own"]) == 2
    assert main([*words, other, "--seed", "1"]) == 0
    names = {path.name for path in run.iterdir()}
    assert {"head.pt", "head-two.pt", "head-three.pt", "probe-two.json", "probe.json"} <= names


def test_a_set_is_removed_and_the_same_images_are_no_second_set(several, colours, tmp_path, capsys):
    a, b = colours("a", seed=1), colours("b", seed=2)
    (tmp_path / "copy").mkdir()
    shutil.copytree(a, tmp_path / "copy" / "a")
    sets = ["--sets", f"a={a}", f"b={b}", f"again={tmp_path / 'copy' / 'a'}", "--leave-out"]
    assert main([*several, *sets]) == 1
    said = capsys.readouterr().err
    assert "set 'again'" in said
    assert "the same images as set 'a': they would count twice; give them one name, or take" in said
    assert {name for _, name in results(tmp_path)} == {"a", "b"}
    outcomes = [
        tmp_path / "run" / row["outcomes"] for (_, name), row in results(tmp_path).items() if name == "a"
    ]
    assert main([*several[:4], "--remove", "a"]) == 0
    assert {name for _, name in results(tmp_path)} == {"b"}
    assert not any(path.exists() for path in outcomes)
    assert main([*several, *sets[:1], sets[3], "--leave-out"]) == 0
    assert {name for _, name in results(tmp_path)} == {"b", "again"}
    assert main([*several[:4], "--remove", "c"]) == 2
    assert "--remove c: no such set in" in capsys.readouterr().err


def test_sets_of_an_earlier_version_are_named_and_left_out(probed, colours, tmp_path, capsys):
    old = ood.OodConfig(**probed, kinds=(Accuracy((f"old={colours('old', seed=4)}",)),))
    ood.ood(old)
    cells = tmp_path / "run" / "cells.jsonl"
    line = json.loads(cells.read_text())
    del line["transform"]
    cells.write_text(json.dumps({**line, "cell": "f" * 64}) + "\n")
    new = ood.OodConfig(**probed, kinds=(Accuracy((f"new={colours('new', seed=5)}",)),))
    ood.ood(new)
    assert "earlier version: old; give these sets once more" in capsys.readouterr().err
    assert [name for _, name in results(tmp_path)] == ["new"]
    ood.ood(old)
    assert "give these sets" not in capsys.readouterr().err
    assert sorted(name for _, name in results(tmp_path)) == ["new", "old"]


def test_heads_without_a_class_of_a_set_and_images_that_they_were_fitted_on(
    several, colours, tmp_path, capsys
):
    (tmp_path / "map.json").write_text('{"one": "green", "two": "yellow", "three": "green"}')
    other = colours("other", seed=6, classes=("green",))
    (other / "green").rename(other / "one")
    shutil.copytree(other / "one", other / "two")
    (tmp_path / "map.json").write_text('{"one": "green", "two": ["grass"]}')
    sets = [
        "--sets",
        f"mine={tmp_path / 'two'}",
        f"plants={other}",
        "--classes",
        f"plants={tmp_path}/map.json",
    ]
    assert main([*several, *sets]) == 1  # one shared class with one head, none with the other
    printed = capsys.readouterr()
    assert "set 'plants' shares no class with head two: not tested" in printed.err
    assert "1 of 3 could not be measured" in printed.err
    assert "[two] mine: masked 100.0 %" in printed.out
    assert printed.out.count("; these are the images that the head was fitted on") == 1
    assert results(tmp_path)["two", "mine"]["fitted_on"]


@pytest.mark.parametrize(
    ("data", "test", "same"),
    [
        ("x/train", "x/val", True),
        ("x", "x/test", True),
        ("x", None, True),
        ("x/photo", "x/cartoon", False),
        ("x/train", "y/val", False),
    ],
)
def test_a_split_beside_the_training_images_is_in_distribution(data, test, same):
    assert probe.is_split_of(data, test) is same
