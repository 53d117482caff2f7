"""Error consistency against the definition, trial by trial."""

import numpy as np
import pytest

from texneg.train.evaluate.metrics.error_consistency import bootstrap_kappa, kappa, pairwise_kappa


def by_definition(one, other):
    n = len(one)
    p, q = sum(map(int, one)) / n, sum(map(int, other)) / n
    observed = sum(a == b for a, b in zip(one.tolist(), other.tolist(), strict=True)) / n
    expected = p * q + (1 - p) * (1 - q)
    return 1.0 if observed == 1 else (observed - expected) / (1 - expected)


def test_identical_observers_agree_and_independent_ones_do_not():
    one = np.tile([True, True, False, False], 100)
    other = np.tile([True, False, True, False], 100)  # of each answer of the first, half are right
    assert kappa(one, one) == 1
    assert kappa(one, other) == pytest.approx(0, abs=1e-12)
    assert kappa(one, ~one) == pytest.approx(-1)
    assert kappa(np.ones(5, bool), np.ones(5, bool)) == 1
    assert kappa(np.ones(5, bool), np.arange(5) < 2) == pytest.approx(0, abs=1e-12)


def test_all_pairs_against_the_definition():
    draw = np.random.default_rng(0)
    hard = draw.random(300)
    ones, others = (draw.random((k, 300)) < hard for k in (3, 4))
    expected = [[by_definition(one, other) for other in others] for one in ones]
    assert pairwise_kappa(ones, others) == pytest.approx(np.array(expected), abs=1e-12)
    low, high = bootstrap_kappa(ones, others)
    picked = draw.integers(300, size=(400, 300))
    means = [np.mean([[by_definition(a[at], b[at]) for b in others] for a in ones]) for at in picked[:100]]
    assert low < np.mean(expected) < high
    assert (high - low) / (2 * 1.96) == pytest.approx(np.std(means), rel=0.3)
