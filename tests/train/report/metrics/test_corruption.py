"""Corruption errors of arms: the reference is 100, AlexNet only where it applies, nothing is mixed."""

import numpy as np
import pytest

from texneg.errors import InputError
from texneg.train.evaluate.metrics.corruption_error import FIFTEEN
from texneg.train.report.metrics.base import read_tested_arms
from texneg.train.report.metrics.corruption import collect_corruption, tabulate_corruption
from texneg.train.report.metrics.corruption_reference import describe_making, is_like_alexnet
from texneg.train.report.runs import group_runs, read_run

SKILLS = {name: 1.5 + 0.1 * place for place, name in enumerate(FIFTEEN)}


def collect(folders, **options):
    tested = read_tested_arms(group_runs([read_run(folder) for folder in folders]))
    return tested, collect_corruption(tested, **options)


@pytest.fixture
def arms(make_run):
    """A baseline and a better arm, two seeds each, with the same images without corruption."""
    folders = []
    for arm, gain in (("baseline", 1.0), ("better", 1.6)):
        for seed in (0, 1):
            run = make_run(f"{arm}-{seed}", arm=arm, seed=seed)
            run.add("clean", run.answer(120, 3.0 * gain, seed=seed), data="clean")
            skills = {name: gain * skill for name, skill in SKILLS.items()}
            run.cells = run.add_corruptions("noisy", skills, seed=seed)
            run.clean = run.sets[0]["masked"]["accuracy"]
            run.write()
            folders.append(run)
    return folders


def error(run, name):
    return np.mean(
        [1 - cell["masked"]["accuracy"] for cell in run.cells if cell["options"]["corruption"] == name]
    )


def test_against_the_baseline(arms):
    tested, [found] = collect([str(run.path) for run in arms])
    assert (found.reference, found.lacking, found.mean_name) == ("baseline", (), "mCE")
    assert found.making == "on the fly, JPEG 85"
    base, better = found.arms
    assert base.mean_ce.mean == pytest.approx(1)
    assert base.mean_relative_ce.mean == pytest.approx(1, abs=0.1)
    theirs = {name: np.mean([error(run, name) for run in arms[:2]]) for name in FIFTEEN}
    expected = [np.mean([error(run, name) / theirs[name] for name in FIFTEEN]) for run in arms[2:]]
    assert better.mean_ce.mean == pytest.approx(np.mean(expected))
    assert better.mean_error.mean == pytest.approx(
        np.mean([error(run, name) for run in arms[2:] for name in FIFTEEN])
    )
    clean = 1 - np.mean([run.clean for run in arms[:2]])
    lost = [
        np.mean([(error(run, name) - (1 - run.clean)) / (theirs[name] - clean) for name in FIFTEEN])
        for run in arms[2:]
    ]
    assert better.mean_relative_ce.mean == pytest.approx(np.mean(lost))
    assert better.clean == "the same images (clean)"
    assert better.interval.low < better.mean_ce.mean < better.interval.high < 1
    rows = tabulate_corruption(tested, found).rows
    assert rows[0][0] == "mCE"
    assert rows[1][0] == "relative mCE"
    assert len(rows) == 17


def test_a_named_run_is_the_reference_and_few_corruptions_make_no_mce(make_run):
    folders = []
    for name, gain in (("one", 1.0), ("other", 1.3)):
        run = make_run(name)
        run.cells = run.add_corruptions("noisy", {"fog": gain, "snow": 2 * gain, "saturate": gain}, seed=3)
        folders.append(run.write())
    _, [alone] = collect(folders)
    assert alone.reference is None
    assert alone.arms[0].ce == {}
    tested, [found] = collect(folders, reference=read_run(folders[0]))
    assert found.reference == "one"
    assert [found.arms[0].ce[name].mean for name in ("fog", "snow", "saturate")] == pytest.approx([1, 1, 1])
    assert found.mean_name == "mean CE of 2 corruptions"
    assert "Not in the mean: 13 of the fifteen corruptions" in tabulate_corruption(tested, found).note
    with pytest.raises(InputError, match=r"--reference .* was not tested on noisy"):
        empty = make_run("empty")
        empty.add("clean", empty.answer(40, 1.0, seed=0))
        collect(folders, reference=read_run(empty.write()))


def record(cells, **changes):
    return {"cells": [{**cell, **changes} for cell in cells]}


def test_alexnet_is_the_reference_of_its_own_protocol_alone(make_run):
    run = make_run("run")
    cells = run.add_corruptions("noisy", {"fog": 1.0}, seed=0, severities=(1, 2, 3, 4, 5))
    thousand = {"choices": 1000, "head_classes": 1000}
    assert is_like_alexnet(record(cells, **thousand))
    assert not is_like_alexnet(record(cells))
    assert not is_like_alexnet(record(cells, choices=100, head_classes=1000))
    assert not is_like_alexnet(record(cells[:4], **thousand))
    assert not is_like_alexnet(record(cells, **thousand, constants="tiny-imagenet-c"))
    raw = [{**cell, "options": {**cell["options"], "jpeg_quality": 0}} for cell in cells]
    assert not is_like_alexnet(record(raw, **thousand))
    files = [{**cell, "options": {"corruption": "fog", "severity": s}} for s, cell in enumerate(cells, 1)]
    assert is_like_alexnet(record(files, **thousand))
    assert {describe_making(cell) for cell in (cells[0], raw[0], files[0])} == {
        "on the fly, JPEG 85", "on the fly, no JPEG", "published files",
    }  # fmt: skip


def test_files_and_images_made_on_the_fly_are_not_mixed(make_run):
    folders = []
    for name in ("fly", "files"):
        run = make_run(name)
        for cell in run.add_corruptions("noisy", {"fog": 1.0}, seed=0):
            if name == "files":
                cell["options"] = {"corruption": "fog", "severity": cell["options"]["severity"]}
        folders.append(run.write())
    with pytest.raises(InputError, match=r"images of several kinds .on the fly, JPEG 85; published files"):
        collect(folders)


def test_a_set_of_other_corruptions_has_a_mean_of_its_own(make_run):
    folders = []
    for name, gain in (("one", 1.0), ("other", 1.3)):
        run = make_run(name)
        run.add_corruptions("bar", {"sparkles": gain, "plasma": gain}, seed=1)
        folders.append(run.write())
    _, [found] = collect(folders, reference=read_run(folders[0]))
    assert (found.counted, found.mean_name) == (("plasma", "sparkles"), "mean CE of 2 corruptions")
    assert found.arms[0].mean_ce.mean == pytest.approx(1)
    assert found.arms[1].mean_ce.mean < 1
