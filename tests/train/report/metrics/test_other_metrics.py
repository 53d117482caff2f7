"""Clean on the same classes, effective robustness and error consistency from the files of runs."""

import json

import numpy as np
import pytest

from texneg.cli.main import main
from texneg.errors import InputError
from texneg.train.evaluate.metrics.effective_robustness import logit, sigmoid
from texneg.train.evaluate.metrics.error_consistency import kappa
from texneg.train.report.metrics.base import read_tested_arms
from texneg.train.report.metrics.collect import collect_metrics
from texneg.train.report.metrics.robustness import read_lines
from texneg.train.report.metrics.scores import pool_bins
from texneg.train.report.runs import group_runs, read_run

SOME = ("c1", "c4", "c7")


@pytest.fixture
def arms(make_run):
    """Six runs of different skill on images in distribution and on a set of three of the classes."""
    folders = []
    for i, skill in enumerate(np.linspace(0.8, 2.5, 6)):
        run = make_run(f"run-{i}")
        inside = run.answer(300, skill, seed=i, rank=True)
        run.add("clean", inside, clean=True)
        run.add("some", run.answer(150, 0.7 * skill, seed=50 + i, classes=SOME))
        run.inside = inside
        run.write()
        folders.append(run)
    return folders


def metrics(folders, **options):
    return collect_metrics(group_runs([read_run(str(run.path)) for run in folders]), **options)


def test_clean_on_the_same_classes_beside_a_set(arms):
    [one] = metrics(arms).same_classes
    assert (one.name, one.choices, one.n) == ("some", 3, 150)
    for run, arm in zip(arms, one.arms, strict=True):
        among = run.answer(300, float(np.linspace(0.8, 2.5, 6)[arms.index(run)]), seed=arms.index(run))
        again = [key for key in among.keys if key.split("/")[0] in SOME]
        assert arm.n == len(again) == 90
        assert arm.clean.mean > run.sets[0]["masked"]["accuracy"]  # three choices, not ten
        assert arm.gap.mean == pytest.approx(arm.clean.mean - run.sets[1]["masked"]["accuracy"])
        assert arm.name == "clean"


def test_without_a_ranking_there_is_no_clean_accuracy(make_run):
    run = make_run("run")
    run.add("clean", run.answer(100, 2.0, seed=0), clean=True)
    run.add("some", run.answer(60, 2.0, seed=1, classes=SOME))
    run.write()
    assert metrics([run]).same_classes == []


def test_a_line_through_the_other_arms(arms):
    found = metrics(arms)
    [robust] = found.robustness
    pairs = [arm.runs[0] for arm in found.same_classes[0].arms]
    x, y = (logit(np.array(column)) for column in zip(*pairs[1:], strict=True))
    slope, intercept = np.polyfit(x, y, 1)
    expected = pairs[0][1] - sigmoid(intercept + slope * logit(np.array(pairs[0][0])))
    assert robust.arms[0].effective.mean == pytest.approx(expected)
    assert robust.arms[0].points == 5
    assert robust.arms[0].extrapolated
    assert metrics(arms[:5]).robustness == []  # four others make no line


def test_a_line_from_a_table(arms, tmp_path):
    table = tmp_path / "line.csv"
    rows = [
        f"net {i},{x},{100 * sigmoid(logit(np.array(x / 100)) - 1):.4f},"
        for i, x in enumerate(range(40, 95, 9))
    ]
    table.write_text("name,in_distribution,some,other\n" + "\n".join(rows))
    [robust] = metrics(arms[:1], lines=[str(table)]).robustness
    inside, outside = metrics(arms[:1]).same_classes[0].arms[0].runs[0]
    assert robust.line == str(table)
    assert robust.arms[0].effective.mean == pytest.approx(
        outside - sigmoid(logit(np.array(inside)) - 1), abs=1e-5
    )
    assert len(robust.points) == 7
    with pytest.raises(InputError, match="4 networks; a line needs 5"):
        table.write_text("name,in_distribution,some\n" + "\n".join(rows[:4]))
        read_lines([str(table)], ["some"])
    with pytest.raises(InputError, match="first line is name, in, else; it must be name,in_distribution,SET"):
        table.write_text("name,in,else\n")
        read_lines([str(table)], ["some"])
    with pytest.raises(InputError, match="it has other, and the report some; names of sets must be equal"):
        table.write_text("name,in_distribution,other\n" + "\n".join(row[:-1] for row in rows))
        read_lines([str(table)], ["some"])
    with pytest.raises(InputError, match="not a CSV file"):
        read_lines([str(tmp_path / "none.csv")], ["some"])


def test_error_consistency_of_arms_is_kappa_of_their_outcomes(make_run):
    folders, kept = [], []
    for arm in ("baseline", "other"):
        for seed in (0, 1):
            run = make_run(f"{arm}-{seed}", arm=arm, seed=seed)
            kept.append(run.answer(200, 1.0, seed=len(kept)))
            run.add("set", kept[-1])
            run.write()
            folders.append(run)
    [one] = metrics(folders).consistency
    right = [found.values == 1 for found in kept]
    assert one.kappa[0][1] == pytest.approx(
        np.mean([kappa(right[i], right[j]) for i in (0, 1) for j in (2, 3)])
    )
    assert one.kappa[0][0] == pytest.approx(kappa(right[0], right[1]))
    assert one.to_baseline[0] is None
    assert one.to_baseline[1].low < one.kappa[0][1] < one.to_baseline[1].high


def test_bins_are_pooled_place_by_place():
    one = [{"n": 0, "confidence": None, "accuracy": None}, {"n": 2, "confidence": 0.6, "accuracy": 0.5}]
    other = [{"n": 0, "confidence": None, "accuracy": None}, {"n": 6, "confidence": 0.8, "accuracy": 1.0}]
    empty, full = pool_bins([one, other])
    assert (empty.n, empty.confidence) == (0, None)
    assert (full.n, full.confidence, full.accuracy) == (8, pytest.approx(0.75), pytest.approx(0.875))


def test_everything_stands_in_the_report(arms, tmp_path, capsys):
    out = tmp_path / "report.html"
    assert main(["report", *(str(run.path) for run in arms), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    for heading in (
        "Top-5 and calibration",
        "Clean on the same classes",
        "Effective robustness",
        "Error consistency",
    ):
        assert heading in printed
        assert f"## {heading}" in out.with_suffix(".md").read_text()
    found = json.loads(out.with_suffix(".json").read_text())["metrics"]
    assert found["same_classes"][0]["arms"][0]["n"] == 90
    assert found["scores"][0]["arms"][0]["bins"][7]["n"] > 0
    assert read_tested_arms(group_runs([read_run(str(arms[0].path))])).sets() == [
        ("", "accuracy", "clean"),
        ("", "accuracy", "some"),
    ]
