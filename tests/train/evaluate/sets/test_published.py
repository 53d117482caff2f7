"""Published corrupted sets: one set of many cells, resumed cell by cell, and shared by all heads."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from texneg.cli.main import main
from texneg.datasets.class_maps import OBJECTNET, read_class_map
from texneg.datasets.corruptions.corrupt import CORRUPTIONS
from texneg.datasets.images import ImageSet, open_images
from texneg.train.evaluate import measuring, ood
from texneg.train.evaluate.features import extract
from texneg.train.evaluate.linear import fit_probe, save_head
from texneg.train.evaluate.memo import Memo
from texneg.train.evaluate.outcomes import load_outcomes
from texneg.train.evaluate.sets import base
from texneg.train.evaluate.sets.published import Published

COLOURS = {"n01440764": (30, 40, 200), "n01443537": (20, 190, 40), "n02123045": (210, 30, 20)}
CIFAR = {"bird": (30, 40, 200), "cat": (20, 190, 40), "dog": (210, 30, 20)}


def draw(colour, seed):
    noise = np.random.default_rng(seed).normal(0, 25, (16, 16, 3))
    return (np.array(colour) + noise).clip(0, 255).astype(np.uint8)


def write_tree(root, *, per_class=2, seed=0, colours=COLOURS):
    for k, (name, colour) in enumerate(colours.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(per_class):
            Image.fromarray(draw(colour, [seed, k, i])).save(root / name / f"val_{i}.png")
    return root


def write_cells(root, corruptions=tuple(CORRUPTIONS), severities=range(1, 6), **options):
    for k, name in enumerate(corruptions):
        for severity in severities:
            write_tree(root / name / str(severity), seed=10 * k + severity, **options)
    return root


@pytest.fixture
def words(encoder, tmp_path, monkeypatch):
    """The beginning of a command with a head of three classes, and functions that write its end."""
    monkeypatch.setattr(ood, "open_encoder", lambda *_: encoder)
    for name, classes in (("head", tuple(COLOURS)), ("cifar", tuple(CIFAR))):
        train = open_images(write_tree(tmp_path / "train", per_class=12, seed=99))
        found = extract(encoder, train)
        head = fit_probe(found.values, found.labels, classes=classes, penalties=(1e-2,))
        save_head(
            str(tmp_path / f"{name}.pt"), replace(head, encoder=encoder.fingerprint, data="others-others")
        )

    def make(*rest, head="head", out="run"):
        heads = [str(tmp_path / f"{name}.pt") for name in head.split()]
        run = ["--out", str(tmp_path / out), "--device", "cpu"]
        return ["ood", "tiny", "--head", *heads, *run, *map(str, rest)]

    return make


def results(tmp_path, out="run"):
    return {row["name"]: row for row in json.loads((tmp_path / out / "ood.json").read_text())["sets"]}


def test_seventy_five_cells_are_one_set(words, tmp_path, capsys):
    folder = write_cells(tmp_path / "c")
    assert main(words("--sets", f"imagenet-c={folder}")) == 0
    said = capsys.readouterr()
    row = results(tmp_path)["imagenet-c"]
    assert row["kind"] == "corruptions"
    assert [cell["part"] for cell in row["cells"]] == [f"{c}-{s}" for c in CORRUPTIONS for s in range(1, 6)]
    assert set(row["by_corruption"]) == set(CORRUPTIONS)
    values = [cell["masked"]["accuracy"] for cell in row["cells"]]
    assert row["value"] == pytest.approx(np.mean(values))
    assert row["declared"] == "imagenet"
    assert row["transform"].startswith("no-enlargement")
    value = f"{100 * row['value']:.1f} %"
    assert said.out.startswith(
        f"imagenet-c: {value} over 75 cells of 6 images in 3 classes of imagenet (chance 33.3 %), "
    )
    assert "; read from files\n  gaussian_noise " in said.out
    assert "imagenet-c fog-1: 100.0 % (46 of 75)" in said.err
    write_cells(folder / "extra", ("saturate",))
    assert main(words("--sets", f"imagenet-c={folder}")) == 0
    said = capsys.readouterr()
    assert "over 75 cells (5 more of extra corruptions stand beside it) of" in said.out
    assert said.err.count("imagenet-c ") == 5  # the others are finished
    assert results(tmp_path)["imagenet-c"]["value"] == row["value"]
    assert len(results(tmp_path)["imagenet-c"]["cells"]) == 80


def test_a_run_killed_between_cells_ends_as_one_that_was_not(words, tmp_path, monkeypatch, capsys):
    folder = write_cells(tmp_path / "c", ("fog", "snow", "frost"))
    rest = ("--sets", f"imagenet-c={folder}", "--incomplete", "imagenet-c")
    assert main(words(*rest, out="whole")) == 0
    measure, calls = Published.measure, []

    def stop_at_eight(self, cell, *others):
        calls.append(cell.part)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return measure(self, cell, *others)

    monkeypatch.setattr(Published, "measure", stop_at_eight)
    assert main(words(*rest)) == 130
    assert len((tmp_path / "run" / "cells.jsonl").read_text().splitlines()) == 7
    capsys.readouterr()
    assert main(words(*rest)) == 0
    assert len(calls) == 16  # the eighth twice
    both = [(tmp_path / out / "ood.json").read_bytes() for out in ("run", "whole")]
    assert both[0] == both[1]
    assert main(words(*rest)) == 0
    assert len(calls) == 16


def test_half_a_download(words, tmp_path, capsys):
    folder = write_cells(tmp_path / "c", ("fog", "snow"))
    shutil.rmtree(folder / "snow" / "2")
    rest = ("--sets", f"imagenet-c={folder}")
    assert main(words(*rest)) == 2
    assert (
        "texneg ood: set 'imagenet-c': 9 of 75 cells are in "
        f"{folder}; missing: gaussian_noise, shot_noise, impulse_noise, defocus_blur, ... (14 corruptions)."
        " Complete the download, or take the mean over those that are there with --incomplete imagenet-c\n"
    ) == capsys.readouterr().err
    (folder / "fog" / "3" / "n01440764" / "val_1.png").unlink()
    (folder / "fog" / "4" / "n01440764" / "val_1.png").write_bytes(b"broken")
    assert main(words(*rest, "--incomplete", "imagenet-c")) == 0
    said = capsys.readouterr().out
    assert "over 9 cells of 5 to 6 images in 3 classes of imagenet" in said
    assert "1 unreadable image counted as wrong" in said
    assert main(words(*rest, "--incomplete", "other")) == 2
    assert "--incomplete other: no set has this name; the sets are imagenet-c" in capsys.readouterr().err


def test_cells_of_other_options_do_not_join(words, tmp_path, monkeypatch):
    """Cells on the fly and from files may bear the same names."""
    folder = write_cells(tmp_path / "c", ("fog", "snow"))
    rest = ("--sets", f"x={folder}")
    assert main(words(*rest)) == 0
    assert len(results(tmp_path)["x"]["cells"]) == 10
    clean, stop = write_tree(tmp_path / "clean", seed=5), []

    def stop_at_four(self, *others):
        stop.append(1)
        if len(stop) == 4:
            raise KeyboardInterrupt
        return measure(self, *others)

    from texneg.train.evaluate.sets.corruptions import Corruptions

    measure = Corruptions.measure
    monkeypatch.setattr(Corruptions, "measure", stop_at_four)
    on_the_fly = ("--corrupt", f"x={clean}", "--corruptions", "fog", "snow")
    assert main(words(*on_the_fly)) == 130
    monkeypatch.undo()
    monkeypatch.setattr(ood, "open_encoder", lambda *_: pytest.fail("not needed"))
    records = list(measuring.read_cells(tmp_path / "run" / "cells.jsonl").values())
    assert len(records) == 13
    assert measuring.join_sets(records, [Corruptions]) == []


def test_every_name_takes_a_tree_of_corruptions(words, tmp_path, capsys):
    folder = write_cells(tmp_path / "c", ("fog", "jpeg_compression"), (1, 3))
    assert main(words("--sets", f"mine={folder}")) == 0
    assert "mine: 100.0 % over 4 cells" in capsys.readouterr().out
    assert results(tmp_path)["mine"]["declared"] == "head"
    shutil.rmtree(folder / "fog" / "3")
    assert main(words("--sets", f"mine={folder}")) == 2
    assert "3 of 4 cells are in" in capsys.readouterr().err


def test_a_folder_without_cells_says_what_is_expected(words, tmp_path, capsys):
    tree = write_tree(tmp_path / "tree")
    assert main(words("--sets", f"imagenet-c={tree}")) == 2
    said = capsys.readouterr().err
    assert "does not look like ImageNet-C" in said
    assert "expected is CORRUPTION/SEVERITY/WNID/IMAGE with severities 1 to 5" in said
    assert "it has the folders n01440764, n01443537, n02123045. For one cell alone, give the set" in said
    assert main(words("--sets", f"imagenet-c={tmp_path / 'absent'}")) == 2
    assert "absent does not exist; give its folder or .tar" in capsys.readouterr().err
    assert main(words("--sets", f"imagenet-sketch={tree}")) == 0


def test_arrays_are_cells_too(words, tmp_path, capsys):
    folder = tmp_path / "CIFAR-10-C"
    folder.mkdir()
    order = [0, 1, 2, 1, 0, 2]
    for k, name in enumerate(CORRUPTIONS):
        rows = [draw(list(CIFAR.values())[c], [k, i]) for i, c in enumerate(order * 5)]
        np.save(folder / f"{name}.npy", np.stack(rows))
    np.save(folder / "labels.npy", np.array([(2, 3, 5)[c] for c in order] * 5))
    assert main(words("--sets", f"cifar-10-c={folder}", head="cifar")) == 0
    row = results(tmp_path)["cifar-10-c"]
    assert (row["n"], row["classes"], len(row["cells"])) == (6, 3, 75)
    assert row["declared"] == "cifar-10"
    assert len({cell["data"] for cell in row["cells"]}) == 75
    outcomes = load_outcomes(tmp_path / "run" / row["cells"][0]["outcomes"])
    assert outcomes.keys.tolist() == [f"{i:05d}" for i in range(6)]
    (folder / "labels.npy").unlink()
    capsys.readouterr()
    assert main(words("--sets", f"cifar-10-c={folder}", head="cifar")) == 1
    said = capsys.readouterr().err
    assert "75 of 75 could not be measured" in said
    assert said.count("labels.npy does not exist") == 1
    assert "set 'cifar-10-c' gaussian_noise-1 and 74 more cells" in said


def test_heads_share_images_and_features(words, tmp_path, monkeypatch, capsys):
    folder = write_cells(tmp_path / "c", ("fog", "snow"), (1, 2))
    shutil.copy(tmp_path / "head.pt", tmp_path / "other.pt")
    asked, decoded, opened = [], [], []
    monkeypatch.setattr(base, "extract", lambda *a, **o: asked.append(1) or extract(*a, **o))
    get, sample = ImageSet.__getitem__, measuring.sample_fingerprint
    monkeypatch.setattr(ImageSet, "__getitem__", lambda self, i: decoded.append(i) or get(self, i))
    monkeypatch.setattr(measuring, "sample_fingerprint", lambda one: opened.append(one) or sample(one))
    train = ("--data", tmp_path / "train")
    assert main(words("--sets", f"x={folder}", *train, head="head other")) == 0
    assert len(asked) == 4 + 1  # and the bank
    assert len(decoded) == 4 * 6 + 36
    assert len(set(map(id, opened))) == 4
    assert capsys.readouterr().out.count("over 4 cells") == 2


def test_images_that_are_corrupted_are_decoded_once(words, tmp_path, monkeypatch):
    clean, decoded, opened = write_tree(tmp_path / "clean", seed=5), [], []
    get, sample = ImageSet.__getitem__, measuring.sample_fingerprint
    monkeypatch.setattr(ImageSet, "__getitem__", lambda self, i: decoded.append(i) or get(self, i))
    monkeypatch.setattr(measuring, "sample_fingerprint", lambda one: opened.append(one) or sample(one))
    rest = ("--corrupt", f"x={clean}", "--corruptions", "fog", "contrast", "--severities", "1", "5")
    shutil.copy(tmp_path / "head.pt", tmp_path / "other.pt")
    assert main(words(*rest, head="head other")) == 0
    assert sorted(decoded) == list(range(6))
    assert len(set(map(id, opened))) == 1
    one = (tmp_path / "run" / "ood.json").read_text()
    monkeypatch.setattr(ood, "Memo", lambda: Memo(kept_bytes=100))
    assert main(words(*rest, head="head other", out="again")) == 0
    assert len(decoded) == 6 + 4 * 6
    assert (tmp_path / "again" / "ood.json").read_text() == one


def test_a_finished_set_is_refused_without_leave_out(words, tmp_path, capsys):
    tree = write_tree(tmp_path / "tree")
    cells = write_cells(tmp_path / "c", ("fog",), (1,))
    for folder in (tree, cells / "fog" / "1"):
        shutil.copytree(folder / "n01440764", folder / "strange")
    rest = ("--sets", f"tree={tree}", f"cells={cells}")
    fly = ("--corrupt", f"fly={tree}", "--corruptions", "fog", "--severities", "1")
    assert main(words(*rest, "--leave-out", *fly, "--corrupt-leave-out")) == 0
    assert set(results(tmp_path)) == {"tree", "cells", "fly"}
    capsys.readouterr()
    assert main(words(*rest, *fly)) == 1
    assert capsys.readouterr().err.count("1 class folder unknown to the head: strange") == 3
    assert results(tmp_path) == {}
    assert main(words(*rest, "--leave-out")) == 0
    assert set(results(tmp_path)) == {"tree", "cells", "fly"}


def test_numbered_folders_and_a_map_of_the_set(words, tmp_path, capsys):
    """ImageNet-V2's numbers are not sorted as text; ObjectNet says itself what its folders are."""
    colours = list(COLOURS.values())
    v2 = write_tree(tmp_path / "v2", colours=dict(zip(("0", "1", "281"), colours, strict=True)))
    assert main(words("--sets", f"imagenet-v2={v2}")) == 0
    assert "imagenet-v2: masked 100.0 % [61.0, 100.0] of 6 images in 3 classes of" in capsys.readouterr().out
    names = list(read_class_map("imagenet").folders)
    objects = dict(zip(("fish", "gold", "cat"), (0, 1, 281), strict=True))
    archive = tmp_path / "objectnet-1.0"
    write_tree(archive / "images", colours={"fork": (0, 0, 0), **dict(zip(objects, colours, strict=True))})
    (archive / "mappings").mkdir()
    for name, content in {
        "folder_to_objectnet_label.json": {folder: folder.title() for folder in (*objects, "fork")},
        OBJECTNET: {folder.title(): f"name {number}" for folder, number in objects.items()},
        "pytorch_to_imagenet_2012_id.json": {str(i): i for i in range(1000)},
    }.items():
        (archive / "mappings" / name).write_text(json.dumps(content))
    (archive / "mappings" / "imagenet_to_label_2012_v2").write_text(
        "".join(f"name {i}\n" for i in range(len(names)))
    )
    assert main(words("--sets", f"objectnet={archive}")) == 0
    said = capsys.readouterr().out
    assert said.startswith("objectnet: masked 100.0 % [61.0, 100.0] of 6 images in 3 classes of ")
    assert "2 images of 1 class that the head lacks (fork) left out" in said


def test_the_list_needs_no_encoder(tmp_path, capsys):
    assert main(["ood", "--list"]) == 0
    assert (
        "\nimagenet-c    ImageNet-C (Hendrycks and Dietterich, ICLR 2019)\n" in "\n" + capsys.readouterr().out
    )
    folder = write_cells(tmp_path / "imagenet-c", ("fog",))
    assert main(["ood", "--list", str(folder)]) == 0
    assert "5 of 75 cells, without gaussian_noise, shot_noise" in " ".join(capsys.readouterr().out.split())
    assert main(["ood", "--list", str(tmp_path / "absent")]) == 2
    assert "absent: no such folder" in capsys.readouterr().err
    assert main(["ood", "--list", "--out", "x"]) == 2
    assert "--out is not understood" in capsys.readouterr().err
