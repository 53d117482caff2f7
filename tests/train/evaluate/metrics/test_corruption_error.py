"""Corruption errors against the definition, and against themselves."""

import numpy as np
import pytest

from texneg.datasets.corruptions.corrupt import CORRUPTIONS
from texneg.train.evaluate.metrics.corruption_error import (
    ALEXNET,
    ALEXNET_CLEAN,
    FIFTEEN,
    average_severities,
    compare_errors,
    name_missing,
    standard_error,
)


def test_the_fifteen_are_those_that_are_made():
    assert tuple(CORRUPTIONS) == FIFTEEN == tuple(ALEXNET)


def test_alexnet_against_its_own_table_is_one():
    found = compare_errors(ALEXNET, ALEXNET, clean=ALEXNET_CLEAN, reference_clean=ALEXNET_CLEAN)
    assert (found.mean, found.relative_mean) == (1.0, 1.0)
    assert set(found.by_corruption.values()) == {1.0}


def test_sums_over_severities_come_before_the_ratio():
    draw = np.random.default_rng(0)
    mine = {name: dict(enumerate(draw.uniform(0.2, 0.9, 5), 1)) for name in FIFTEEN}
    theirs = {name: dict(enumerate(draw.uniform(0.5, 0.9, 5), 1)) for name in FIFTEEN}
    found = compare_errors(
        average_severities(mine), average_severities(theirs), clean=0.15, reference_clean=0.4
    )
    ce, relative = [], []
    for name in FIFTEEN:
        ce.append(sum(mine[name].values()) / sum(theirs[name].values()))
        lost = sum(e - 0.15 for e in mine[name].values())
        relative.append(lost / sum(e - 0.4 for e in theirs[name].values()))
    assert list(found.by_corruption.values()) == pytest.approx(ce, abs=1e-12)
    assert found.mean == pytest.approx(np.mean(ce), abs=1e-12)
    assert found.relative_mean == pytest.approx(np.mean(relative), abs=1e-12)


def test_what_is_missing_has_no_mean_over_the_fifteen():
    some = {"fog": 0.5, "snow": 0.6, "speckle_noise": 0.5}
    found = compare_errors(some, ALEXNET)
    assert set(found.by_corruption) == {"fog", "snow"}
    assert (found.mean, found.relative, found.relative_mean) == (None, None, None)
    assert len(name_missing(list(some))) == 13
    nothing_lost = compare_errors({"fog": 0.5}, {"fog": 0.3}, clean=0.2, reference_clean=0.3)
    assert nothing_lost.relative == {"fog": None}


def test_standard_error_against_a_bootstrap_of_both_networks():
    draw = np.random.default_rng(1)
    hard = draw.random(400)
    mine = {name: (draw.random((5, 400)) < 0.7 * hard).mean(0) for name in ("fog", "snow")}
    theirs = {name: (draw.random((5, 400)) < 0.9 * hard).mean(0) for name in ("fog", "snow")}
    picked = draw.integers(400, size=(4000, 400))
    for reference in (theirs, {"fog": 0.6, "snow": 0.5}):
        means = [
            mine[name][picked].mean(1)
            / (reference[name][picked].mean(1) if np.ndim(reference[name]) else reference[name])
            for name in mine
        ]
        assert standard_error(mine, reference) == pytest.approx(np.mean(means, axis=0).std(), rel=0.06)
