"""Effective robustness: points on a line have none, and a shift off it is found again."""

import numpy as np
import pytest

from texneg.train.evaluate.metrics.effective_robustness import (
    Line,
    bootstrap_residual,
    fit_line,
    keep_inside,
    logit,
    sigmoid,
)


def test_points_on_the_line_are_not_robust_and_a_shift_is_found():
    inside = np.array([0.4, 0.55, 0.6, 0.7, 0.8, 0.9])
    outside = sigmoid(-0.8 + 0.9 * logit(inside))
    line = fit_line(inside, outside)
    assert line == pytest.approx((-0.8, 0.9))
    assert line.predict(inside) == pytest.approx(outside, abs=1e-12)
    mine = np.array([0.75]), line.predict(np.array([0.75])) + 0.05
    assert bootstrap_residual(inside, outside, mine) == pytest.approx((0.05, 0.05), abs=1e-9)


def test_against_a_fit_of_numpy_and_the_interval_covers_the_truth():
    truth, covered = Line(-1.0, 0.8), 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        inside = draw.uniform(0.3, 0.9, 12)
        outside = sigmoid(logit(truth.predict(inside)) + draw.normal(0, 0.1, 12))
        line = fit_line(inside, outside)
        slope, intercept = np.polyfit(logit(inside), logit(outside), 1)
        assert line == pytest.approx((intercept, slope))
        mine = np.array([0.6]), truth.predict(np.array([0.6])) + 0.04
        low, high = bootstrap_residual(inside, outside, mine, resamples=500)
        covered += low < 0.04 < high
    assert covered > 45


def test_few_points_make_no_line():
    few = np.array([0.3, 0.4, 0.5, 0.6])
    assert fit_line(few, few) is None
    assert fit_line(np.full(6, 0.5), np.full(6, 0.4)) is None
    assert keep_inside(1.0, 50) == 0.99
    assert keep_inside(0.0, None) > 0
