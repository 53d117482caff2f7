"""Expected calibration error and likelihood against closed forms and a plain loop."""

import numpy as np
import pytest

from texneg.train.evaluate.metrics.calibration import BINS, measure_calibration


def test_a_calibrated_head_has_no_error():
    """Of 100 answers in each bin as many are right as its confidence says."""
    sure = np.repeat((np.arange(10) + 0.5) / 10, 100)
    right = np.concatenate([np.arange(100) + 0.5 < 100 * level for level in (np.arange(10) + 0.5) / 10])
    found = measure_calibration(sure, right, -np.log(sure), bins=10)
    assert found.ece == pytest.approx(0, abs=1e-12)
    assert [one.n for one in found.bins] == [100] * 10
    assert found.nll == pytest.approx(np.mean(-np.log(sure)))


def test_a_head_that_is_always_sure_errs_by_its_error():
    found = measure_calibration(np.ones(8), np.arange(8) < 3, np.zeros(8))
    assert found.ece == pytest.approx(5 / 8)
    assert [one.n for one in found.bins] == [0] * (BINS - 1) + [8]
    assert (found.bins[0].confidence, found.bins[0].accuracy) == (None, None)
    assert measure_calibration(np.ones(0), np.ones(0, bool), np.ones(0)) is None


def test_against_a_plain_loop():
    draw = np.random.default_rng(0)
    sure, right = draw.random(500).astype(np.float32), draw.random(500) < 0.4
    sure[:3] = 0, 1 / BINS, 1
    expected = 0.0
    for b in range(BINS):
        inside = [i for i in range(500) if b / BINS < float(sure[i]) <= (b + 1) / BINS or (b == 0 == sure[i])]
        if inside:
            gap = sum(map(float, right[inside])) - sum(map(float, sure[inside]))
            expected += abs(gap) / 500
    assert measure_calibration(sure, right, sure).ece == pytest.approx(expected, abs=1e-12)
