"""Sweeps in a report: which arms form one, and what their figure shows."""

from pathlib import Path

import pytest

from texneg.train.evaluate.figures import Look
from texneg.train.evaluate.sets.accuracy import Accuracy
from texneg.train.report.rows import Entry, Row
from texneg.train.report.runs import Arm, Run
from texneg.train.report.sweeps import draw_sweep, find_sweeps


def arm(number, baseline=None, **settings):
    run = Run(Path("run"), "title", "", 0, settings, {}, "", (), {}, None, {})
    return Arm(Look(f"arm {number}", number), (run,), baseline)


def settings(alpha, kind="patch", **others):
    return {"objective": {"loss": {"name": "info_nce", "alpha": alpha}}, "kind": kind, **others}


def test_arms_that_differ_in_one_number_are_a_sweep():
    (sweep,) = find_sweeps(
        [
            arm(0, **settings(0.0, "none")),
            arm(1, 0, **settings(4.0)),
            arm(2, 0, **settings(1)),
            arm(3, 0, **settings(2.0)),
            arm(4, 0, **settings(2.0, "texture")),
        ]
    )
    assert sweep.setting == "alpha"
    (series,) = sweep.series
    assert series.points == ((1, 2), (2.0, 3), (4.0, 1))
    assert sweep.baselines == (0,)


def test_other_settings_split_a_sweep_into_series_with_their_names():
    arms = [arm(i, **settings(alpha, kind)) for i, (kind, alpha) in enumerate(
        (kind, alpha) for kind in ("patch", "texture") for alpha in (1.0, 2.0, 3.0)
    )]  # fmt: skip
    (sweep,) = find_sweeps(arms)
    assert [series.look.label for series in sweep.series] == ["kind patch", "kind texture"]
    assert sweep.baselines == ()


@pytest.mark.parametrize(
    "values", [[1.0, 2.0], [True, False, True], ["a", "b", "c"], [None, 1.0, 2.0], [1.0, 1.0, 1.0]], ids=str
)
def test_two_values_and_what_is_no_number_are_no_sweep(values):
    assert find_sweeps([arm(i, value=value, other=0) for i, value in enumerate(values[:2])]) == []
    if 1.0 not in values[1:2]:
        assert find_sweeps([arm(i, value=value) for i, value in enumerate(values)]) == []


def test_the_figure_has_both_accuracies_and_one_against_the_other():
    arms = [arm(i, 0 if i else None, **settings(float(i), "none" if i == 0 else "patch")) for i in range(4)]
    (sweep,) = find_sweeps(arms)
    entries = [
        [Entry({}, mean / 100, 0.01) for mean in means] for means in ((70, 72, 71, 65), (40, 42, 45, 47))
    ]
    rows = [
        Row("probe test", Accuracy, entries[0], clean=True),
        Row("new textures", Accuracy, entries[1]),
        Row("out of distribution, mean of 2 sets", None, entries[1]),
    ]
    figure = draw_sweep(sweep, arms, rows)
    drawn = [[tuple(map(round, line.get_ydata())) for line in axes.lines] for axes in figure.axes]
    assert (72, 71, 65) in drawn[0]
    assert (42, 45, 47) in drawn[1]
    trade = [
        (list(map(round, line.get_xdata())), list(map(round, line.get_ydata())))
        for line in figure.axes[2].lines
    ]
    assert ([72, 71, 65], [42, 45, 47]) in trade
    assert ([70], [40]) in trade  # the baseline
    assert len(draw_sweep(sweep, arms, rows[:1]).axes) == 1
    assert draw_sweep(sweep, arms, []) is None
