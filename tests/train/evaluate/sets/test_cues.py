"""Cue sets under a head: every cue is found, cue conflict has both ranks, a report shows them."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from texneg.cli.main import main
from texneg.datasets.storage.json_files import append_json_line, read_json, write_json
from texneg.errors import InputError
from texneg.train.evaluate import ood
from texneg.train.evaluate.features import Features
from texneg.train.evaluate.linear import Head
from texneg.train.evaluate.outcomes import load_outcomes
from texneg.train.evaluate.sets.accuracy import Accuracy, measure_accuracy
from texneg.train.evaluate.sets.cues import Cues
from texneg.train.evaluate.sets.shape_bias import measure_shape_bias

COLOURS = {"blue": (30, 30, 220), "green": (20, 200, 30), "red": (220, 30, 30)}


def reader(classes):
    """A head that passes features on as scores."""
    n = len(classes)
    return Head(torch.zeros(n), torch.ones(n), torch.eye(n), torch.zeros(n), classes)


@pytest.fixture
def cue_sets(tmp_path):
    """Cue sets of discs in the colours of the tiny encoder's classes, made by the command."""
    y, x = np.mgrid[:48, :48]
    for at, (name, colour) in enumerate(COLOURS.items()):
        for number in range(4):
            mask = np.hypot(y - 24, x - 24) < 14 + 2 * number
            for folder, picture in (
                ("images", np.where(mask[..., None], colour, 128).astype(np.uint8)),
                ("masks", mask.astype(np.uint8) * 255),
            ):
                path = tmp_path / folder / name / f"{number + 10 * at}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(path)
    words = [str(tmp_path / "images"), str(tmp_path / "cues"), "--masks", str(tmp_path / "masks")]
    assert main(["cues", *words, "--size", "48", "--per-class", "4"]) == 0
    return tmp_path / "cues"


@pytest.fixture
def probed(encoder, colours, tmp_path, monkeypatch):
    """Options of `ood` with the tiny encoder and a head fitted on its colours."""
    from texneg.datasets.images import open_images
    from texneg.train.evaluate.features import extract
    from texneg.train.evaluate.linear import fit_probe, save_head

    monkeypatch.setattr(ood, "open_encoder", lambda *_: encoder)
    train = open_images(colours("train"))
    found = extract(encoder, train)
    fitted = fit_probe(found.values, found.labels, classes=train.classes, penalties=(1e-2,))
    head = type(fitted)(**{**vars(fitted), "encoder": encoder.fingerprint})
    save_head(str(tmp_path / "head.pt"), head)
    return {
        "checkpoint": "tiny", "head": (str(tmp_path / "head.pt"),), "out": str(tmp_path / "run"),
        "device": "cpu",
    }  # fmt: skip


def test_every_cue_is_measured_and_reported(cue_sets, probed, tmp_path, capsys):
    config = ood.OodConfig(**probed, kinds=(Cues((f"own={cue_sets}",)),))
    capsys.readouterr()
    assert ood.ood(config) == 0
    shown = capsys.readouterr().out.splitlines()
    rows = {row["name"]: row for row in json.loads((tmp_path / "run" / "ood.json").read_text())["sets"]}
    assert list(rows) == ["own-edges", "own-silhouettes", "own-textures", "own-cue-conflict"]
    assert [row.get("cue") for row in rows.values()] == ["shape", "shape", "texture", None]
    textures = rows["own-textures"]
    assert textures["mrr"]["value"] == 1.0  # the encoder knows colours, and they are in the texture
    assert textures["chance"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    for name in ("own-edges", "own-silhouettes"):  # black and white of every class look alike to it
        assert rows[name]["mrr"]["value"] == pytest.approx(rows[name]["chance"], abs=0.01)
        kept = load_outcomes(tmp_path / "run" / rows[name]["outcomes"])
        assert kept.values.dtype == np.float32
        assert kept.values.mean() == pytest.approx(rows[name]["mrr"]["value"], rel=1e-6)
    conflict = rows["own-cue-conflict"]
    assert conflict["mrr"]["texture"]["value"] > 0.9 > conflict["mrr"]["shape"]["value"]
    assert shown[2].startswith(
        "own-textures: mean reciprocal rank of the texture 100.0 % [100.0, 100.0] (chance"
    )
    assert "mean reciprocal rank of the shape" in shown[3]
    again = (tmp_path / "run" / "ood.json").read_bytes()
    ood.ood(config)
    assert (tmp_path / "run" / "ood.json").read_bytes() == again

    assert main(["report", str(tmp_path / "run"), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "Shape alone, texture alone" in page
    told = json.loads((tmp_path / "page.json").read_text())
    by_name = {row["name"]: row for row in told["table"]}
    assert by_name["own-textures"]["group"] == by_name["own-edges"]["group"] == "cue sets"
    assert by_name["own-textures"]["cells"][0]["mean"] == 1.0
    ranks = [(one["name"], one["cue"]) for one in told["metrics"]["ranks"]]
    assert ranks[-2:] == [("own-cue-conflict", "shape"), ("own-cue-conflict", "texture")]
    assert "## Mean reciprocal rank" in (tmp_path / "page.md").read_text()


def test_unfinished_and_foreign_folders_are_refused(cue_sets, probed, tmp_path):
    def ask(path, **more):
        ood.ood(ood.OodConfig(**probed, kinds=(Cues((f"own={path}",), **more),)))

    with pytest.raises(InputError, match=r"make cue sets with texneg cues"):
        ask(tmp_path / "images")
    header = read_json(cue_sets / "cues.json")
    write_json(cue_sets / "cues.json", header | {"finished": False})
    with pytest.raises(InputError, match="run the same texneg cues again"):
        ask(cue_sets)
    with pytest.raises(InputError, match="--cue-classes other: no set has this name"):
        ask(cue_sets, cue_classes=("other=folders",))


def test_sets_of_accuracy_have_ranks_too():
    classes = ("a", "b", "c")
    values = torch.tensor([[3.0, 2, 1], [3, 2, 1], [3, 2, 1], [1, 2, 3]])
    features = Features(values, torch.tensor([0, 1, 2, 2]), ("a/0", "b/0", "c/0", "c/1"))
    found = measure_accuracy(reader(classes), features, classes)
    assert found.numbers["mrr"]["value"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1) / 4)
    assert found.numbers["mrr"]["chance"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    told = {**found.numbers, "name": "refined_bias_shape"}
    assert "mean reciprocal rank 70.8 %" in Accuracy.summary(told)
    assert "reciprocal" not in Accuracy.summary(told | {"name": "mine"})
    del told["mrr"]  # of an earlier version
    assert "reciprocal" not in Accuracy.summary(told)


def test_cue_conflict_ranks_both_cues_among_all_classes():
    """Categories of a mapping group classes; the best rank of its classes counts."""
    classes = ("pug", "husky", "tabby", "taxi")
    mapping = {"dog": ["pug", "husky", "dog"], "cat": ["tabby", "cat"]}
    values = torch.tensor([[0.0, 3, 2, 4], [4, 3, 2, 1]])
    features = Features(values, torch.tensor([0, 1]), ("dog1-cat1", "cat1-dog1"))
    numbers = measure_shape_bias(reader(classes), features, ("dog", "cat"), mapping=mapping).numbers
    assert numbers["mrr"]["shape"]["value"] == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert numbers["mrr"]["texture"]["value"] == pytest.approx((1 / 3 + 1) / 2)


def test_results_of_earlier_versions_are_read(cue_sets, probed, tmp_path):
    """A cell that was measured before there were ranks keeps its numbers, and a report its rows."""
    ood.ood(ood.OodConfig(**probed, kinds=(Cues((f"own={cue_sets}",)),)))
    cells = tmp_path / "run" / "cells.jsonl"
    lines = [json.loads(line) for line in cells.read_text().splitlines()]
    cells.unlink()
    for line in lines:
        if line["kind"] == "shape-bias":
            del line["mrr"]
            append_json_line(cells, line)
    result = json.loads((tmp_path / "run" / "ood.json").read_text())
    result["sets"] = [one for one in result["sets"] if one["kind"] == "shape-bias"]
    del result["sets"][0]["mrr"]
    write_json(tmp_path / "run" / "ood.json", result)
    assert main(["report", str(tmp_path / "run"), "--out", str(tmp_path / "page.html")]) == 0
    assert "Shape alone, texture alone" not in (tmp_path / "page.html").read_text()
