"""Accuracy over severities: a panel for each corruption."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from texneg.train.evaluate.figures import is_narrow, subplots
from texneg.train.report.corruptions import Curves, describe
from texneg.train.report.runs import Arm

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS, NARROW_COLUMNS, PANEL = 5, 2, 150


def draw_severities(arms: Sequence[Arm], curves: Curves) -> "Figure":
    """Draw a panel for each corruption: accuracy over severity, 0 the clean images."""
    names = list(curves.values)
    columns = NARROW_COLUMNS if is_narrow() else min(COLUMNS, max(3, len(names)))
    rows = -(-len(names) // columns)
    figure, panels = subplots(
        rows,
        columns,
        height=PANEL * rows + 20,
        narrow_columns=columns,
        squeeze=False,
        sharex=True,
        sharey=True,
    )
    steps = sorted({severity for arm in curves.values.values() for one in arm for severity in one})
    for axes in panels.flat[len(names) :]:
        axes.set_axis_off()
    for axes, name in zip(panels.flat, names, strict=False):
        axes.set_title(
            describe(name).capitalize() if describe(name)[0].islower() else describe(name), fontsize=12
        )
        for arm, values in zip(arms, curves.values[name], strict=True):
            if values:
                x, y = zip(*sorted(values.items()), strict=True)
                axes.plot(x, 100 * np.array(y), **arm.look.line)
                axes.plot(x, 100 * np.array(y), **{**arm.look.point, "markersize": 5.5})
        axes.set_xticks(steps, ["clean" if step == 0 else str(step) for step in steps])
        axes.set_xlim(steps[0] - 0.35, steps[-1] + 0.35)
    for axes in panels.flat[max(0, len(names) - columns) : len(names)]:
        axes.tick_params(labelbottom=True)
    panels.flat[0].set_ylim(0, 100)
    panels.flat[0].set_yticks([0, 50, 100], ["0", "50", "100 %"])
    return figure
