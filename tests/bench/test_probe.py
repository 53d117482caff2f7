"""The benchmark of the probe, tiny: its rows, its limit, equal objectives; never its speed."""

import pytest
import torch

from texneg.bench import probe
from texneg.bench.common.ratios import Row


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(probe, "CLASSES", 5)
    monkeypatch.setattr(probe, "FEATURES", 12)
    monkeypatch.setattr(probe, "NUMBER", 3)
    return probe.make_problem(200)


def test_both_sides_find_the_same_minimum(small):
    pytest.importorskip("sklearn")
    exact = probe.Problem(small.x.double(), small.labels, small.penalties)
    least = small.objectives(probe.solve(exact, tolerance=1e-9, steps=1000))
    assert ((small.objectives(probe.solve(small)) / least - 1) < probe.GAP).all()
    tolerance, gap = probe.match_tolerance(small, least)
    assert tolerance in probe.TOLERANCES
    assert gap <= probe.GAP
    tight = small.objectives(probe.solve_rival(exact, 1e-6))
    torch.testing.assert_close(torch.from_numpy(tight), torch.from_numpy(least), rtol=1e-5, atol=0)


def test_the_limit_has_a_row():
    rows = [Row(probe.CASE, probe.OURS, 1.0, {probe.X_RIVAL: 4.0})]
    assert [gate.value(rows) for gate in probe.GATES] == [4.0]


def test_without_scikit_learn_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(probe, "find_spec", lambda name: None)
    assert probe.bench(probe.RatioConfig()) == 0
    assert "scikit-learn is not installed" in capsys.readouterr().out
