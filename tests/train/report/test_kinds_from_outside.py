"""A kind of test set and an analysis that the package does not know: flags, measurements, report."""

import json
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from texneg.cli.main import main
from texneg.datasets.images import open_images
from texneg.datasets.storage.json_files import write_json
from texneg.train.evaluate import analyze, ood
from texneg.train.evaluate.analyses import ANALYSES
from texneg.train.evaluate.analyses.base import Analysis
from texneg.train.evaluate.features import extract
from texneg.train.evaluate.figures import subplots
from texneg.train.evaluate.linear import fit_probe, save_head
from texneg.train.evaluate.sets import KINDS
from texneg.train.evaluate.sets.accuracy import measure_accuracy
from texneg.train.evaluate.sets.base import Cell, Measurement, SetKind, parse_paths
from texneg.train.report.runs import read_run
from texneg.train.report.text import decimal, interval, percent, points, with_sign


@dataclass(frozen=True)
class Corrupted(SetKind):
    """Accuracy over corruptions of the same images."""

    corrupted: tuple[str, ...] = ()
    """sets as NAME=PATH with images PATH/<corruption>/<class>/<image>"""

    name: ClassVar[str] = "corrupted"
    heading: ClassVar[str] = "Corruption by corruption"

    def cells(self):
        for name, path in parse_paths(self.corrupted, "--corrupted").items():
            for part in sorted(Path(path).iterdir()):
                yield Cell(name, str(part), part.name)

    def measure(self, cell, images, probed):
        found = measure_accuracy(probed.head, probed.features(images), images.classes)
        numbers = {name: found.numbers[name] for name in ("n", "classes", "chance")}
        numbers["value"] = found.numbers["masked"]["accuracy"]
        return Measurement(numbers, found.keys, found.values)

    @classmethod
    def details(cls, rows):
        return {"parts": {cell["part"]: cell["value"] for cell in rows[0]["cells"]}}

    @classmethod
    def figure(cls, arms):
        figure, axes = subplots(height=200)
        for arm in arms:
            axes.plot(*zip(*arm.details["parts"].items(), strict=True), **arm.look.point)
        return figure


@dataclass(frozen=True)
class Norms(Analysis):
    """Lengths of the features."""

    power: float = 2.0
    """of the norm"""

    name: ClassVar[str] = "norms"
    heading: ClassVar[str] = "How long features are"
    lede: ClassVar[str] = "Their norms, from shortest to longest."

    def measure(self, encoder, images, index):
        norms = extract(encoder, images).values[index].norm(p=self.power, dim=1)
        return {"norms": sorted(norms.tolist())}

    @classmethod
    def numbers(cls, found):
        return {"mean norm": float(np.mean(found["norms"]))}

    @classmethod
    def figure(cls, arms):
        figure, axes = subplots(height=200)
        for look, runs in arms:
            axes.plot(np.mean([found["norms"] for found in runs], axis=0), **look.line)
        return figure


@pytest.fixture
def known():
    """Both classes in the tables, as a program of a user has them."""
    KINDS.append(Corrupted)
    ANALYSES.append(Norms)
    yield
    KINDS.remove(Corrupted)
    ANALYSES.remove(Norms)


@pytest.fixture
def runs(encoder, colours, tmp_path, monkeypatch):
    """Folders of a baseline and of an arm with patches, each with its encoder and head; their data sets."""
    other = deepcopy(encoder)
    with torch.no_grad():
        other.body[0].weight += 0.5 * torch.randn(6, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    encoders = {str(tmp_path / name): one for name, one in (("baseline", encoder), ("patch", other))}
    for module in (ood, analyze):
        monkeypatch.setattr(module, "open_encoder", lambda path, *_: encoders[path])
    train = open_images(colours("train"))
    for part, noise in (("fog", 900), ("snow", 2500)):
        colours(f"corrupted/{part}", seed=1, noise=noise)
    colours("plain", seed=2, noise=900)
    for folder, one in encoders.items():
        found = extract(one, train)
        head = fit_probe(found.values, found.labels, classes=train.classes, penalties=(1e-2,), steps=20)
        save_head(f"{folder}/head.pt", replace(head, encoder=one.fingerprint))
        baseline = {"negatives": {"kinds": []}}
        settings = {
            "negatives": {"kinds": [{"name": "patch", "share": 1.0}] if folder.endswith("patch") else []}
        }
        record = {"title": Path(folder).name, "seed": 0, "settings": settings, "baseline": baseline}
        write_json(Path(folder) / "config.json", record)
    return list(encoders)


def test_flags_of_both_are_on_the_command_line(known, capsys):
    for words, flag in ((["ood"], "--corrupted"), (["analyze", "norms"], "--power"), (["analyze"], "norms")):
        with pytest.raises(SystemExit) as ended:
            main([*words, "--help"])
        assert ended.value.code == 0
        assert flag in capsys.readouterr().out


def test_an_unknown_analysis_and_a_wrong_flag_are_refused(capsys):
    assert main(["analyze", "norms", "run"]) == 2
    assert "no analysis 'norms'; choose from: similarity" in capsys.readouterr().err
    words = ["run", "--head", "h", "--out", "o", "--cue-conflicts", "a=b"]
    assert main(["ood", *words]) == 2
    assert "--cue-conflicts is not understood" in capsys.readouterr().err


def test_both_are_measured_and_stand_in_the_report_with_their_change(
    known, runs, tmp_path, monkeypatch, capsys
):
    for run in runs:
        words = ["--out", run, "--device", "cpu"]
        sets = ["--sets", f"plain={tmp_path / 'plain'}", "--corrupted", f"weather={tmp_path / 'corrupted'}"]
        assert main(["ood", run, "--head", f"{run}/head.pt", *words, *sets]) == 0
        assert main(["analyze", "norms", run, "--data", str(tmp_path / "train"), *words]) == 0
    assert "weather: " in capsys.readouterr().out
    assert len((Path(runs[0]) / "cells.jsonl").read_text().splitlines()) == 3
    written = json.loads((Path(runs[0]) / "ood.json").read_text())["sets"]
    plain, weather = written
    assert [cell["part"] for cell in weather["cells"]] == ["fog", "snow"]
    assert weather["value"] == pytest.approx(np.mean([cell["value"] for cell in weather["cells"]]))

    out = tmp_path / "report.html"
    assert main(["report", *runs, "--out", str(out)]) == 0
    numbers = json.loads(out.with_suffix(".json").read_text())
    rows = {row["name"]: row for row in numbers["table"]}
    assert {name: row["group"] for name, row in rows.items()} == {
        "plain": "out of distribution",
        "weather": "corruptions",
    }  # unlike things have no mean
    assert plain["masked"]["accuracy"] == pytest.approx(rows["plain"]["cells"][0]["mean"])
    cell, norms = rows["weather"]["cells"][1], numbers["analyses"]["norms"][0]["cells"][1]
    low, high = cell["difference"]["over_images"]
    assert low <= cell["difference"]["mean"] <= high
    assert low < high
    shown = [percent(cell["mean"]), points(cell["difference"]["mean"]), interval((low, high), points)]
    shown += [decimal(norms["mean"]), with_sign(norms["difference"]["mean"])]
    page = out.read_text()
    for text in (page, out.with_suffix(".md").read_text()):
        assert [value for value in [*shown, "weather", "mean norm", Norms.heading] if value not in text] == []
    assert (
        page.count('role="img"') == 2 * 4
    )  # accuracies, Corrupted, reliability, Norms; each wide and narrow
    assert Corrupted.heading in page


def test_a_set_of_many_cells_goes_on_cell_by_cell(known, runs, tmp_path, monkeypatch):
    words = ["ood", runs[0], "--head", f"{runs[0]}/head.pt", "--out", runs[0], "--device", "cpu"]
    asked = ["--corrupted", f"weather={tmp_path / 'corrupted'}"]
    measure, seen = Corrupted.measure, []

    def stop_at_snow(self, cell, images, probed):
        seen.append(cell.part)
        if seen == ["fog", "snow"]:
            raise KeyboardInterrupt
        return measure(self, cell, images, probed)

    monkeypatch.setattr(Corrupted, "measure", stop_at_snow)
    assert main([*words, *asked]) == 130
    assert main([*words, "--sets", f"plain={tmp_path / 'plain'}"]) == 0
    names = [row["name"] for row in json.loads((Path(runs[0]) / "ood.json").read_text())["sets"]]
    assert names == ["plain"]  # half a set has no headline
    assert main([*words, *asked]) == 0
    assert seen == ["fog", "snow", "snow"]
    names = [row["name"] for row in json.loads((Path(runs[0]) / "ood.json").read_text())["sets"]]
    assert sorted(names) == ["plain", "weather"]


def test_a_report_names_the_kind_that_it_does_not_know(runs, tmp_path, capsys):
    write_json(
        Path(runs[0]) / "ood.json",
        {"transform": "", "sets": [{"kind": "corrupted", "name": "x", "data": ""}]},
    )
    assert main(["report", runs[0], "--out", str(tmp_path / "report.html")]) == 2
    assert (
        "kind 'corrupted', which is none of accuracy, shape-bias, cues, corruptions; append"
        in capsys.readouterr().err
    )
    assert read_run(runs[0]).analyses == {}
