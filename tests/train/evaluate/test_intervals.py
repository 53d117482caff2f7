"""Intervals against closed forms, tabulated values and limits."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from texneg.train.evaluate.intervals import bootstrap, mcnemar, mean_sd, t_cdf, t_interval, t_quantile, wilson

Z = 1.959963984540054


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_solves_the_score_equation(case):
    correct, n = case
    share = correct / n
    low, high = wilson(correct, n)
    assert 0 <= low <= share <= high <= 1
    for end in (low, high):
        assert (share - end) ** 2 == pytest.approx(Z * Z * end * (1 - end) / n, abs=1e-9)


def test_wilson_limits():
    assert wilson(0, 10) == (0.0, pytest.approx(Z * Z / (10 + Z * Z)))
    assert wilson(10, 10) == (pytest.approx(10 / (10 + Z * Z)), 1.0)
    low, high = wilson(5_000_000, 10_000_000)
    assert high - low == pytest.approx(2 * Z * 0.5 / math.sqrt(1e7), rel=1e-4)
    with pytest.raises(ValueError, match="0 correct of 0"):
        wilson(0, 0)


@pytest.mark.parametrize(
    ("degrees", "tabulated"),
    [(1, 12.7062), (2, 4.30265), (3, 3.18245), (4, 2.77645), (9, 2.26216), (10, 2.22814), (1000, 1.96234)],
)
def test_t_quantile_against_the_table(degrees, tabulated):
    assert t_quantile(0.975, degrees) == pytest.approx(tabulated, rel=1e-5)
    assert t_cdf(-tabulated, degrees) == pytest.approx(0.025, rel=1e-4)


def test_t_interval():
    assert t_interval([0.1]) is None
    low, high = t_interval([0.1, 0.2])
    assert (low + high) / 2 == pytest.approx(0.15)
    assert (high - low) / 2 == pytest.approx(12.7062 * 0.05, rel=1e-5)
    assert mean_sd([0.1, 0.2]) == (pytest.approx(0.15), pytest.approx(0.1 / math.sqrt(2)))
    assert mean_sd([0.4]) == (0.4, None)


def test_bootstrap_is_the_normal_interval_for_many_images_and_repeats():
    draw = np.random.default_rng(0)
    values = draw.choice([-1.0, 0.0, 0.0, 1.0, 1.0], size=4000)
    low, high = bootstrap(values)
    half = Z * values.std() / math.sqrt(len(values))
    assert (low, high) == (
        pytest.approx(values.mean() - half, abs=1e-3),
        pytest.approx(values.mean() + half, abs=1e-3),
    )
    assert bootstrap(values) == (low, high)
    assert bootstrap(values[::-1]) == (low, high)
    assert bootstrap(np.full(9, 0.25)) == (0.25, 0.25)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_symmetric_and_a_probability(first, second):
    p = mcnemar(first, second)
    assert p == mcnemar(second, first)
    assert 0 < p <= 1


def test_mcnemar_closed_forms():
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(7, 7) == 1.0
    assert mcnemar(10, 0) == 2 / 2**10
    assert mcnemar(1, 5) == 2 * (1 + 6) / 2**6
