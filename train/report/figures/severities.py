"""Accuracy over severities: a panel for each corruption; and a bar for each family."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from texneg.train.evaluate.figures import INK, is_narrow, subplots
from texneg.train.report.corruptions import FAMILIES, OTHERS, Curves, describe
from texneg.train.report.rows import Row
from texneg.train.report.runs import Arm

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS, NARROW_COLUMNS, PANEL = 5, 2, 150
BAR = 15  # pixels


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


def draw_families(arms: Sequence[Arm], rows: Sequence[Row]) -> "Figure | None":
    """Draw bars of each corruption, family by family: the value of every arm and its interval."""
    families = [family for family in [*FAMILIES, OTHERS] if any(find(row) == family for row in rows)]
    if not families:
        return None
    members = {family: [row for row in rows if find(row) == family] for family in families}
    step = BAR * len(arms) + 14
    most = max(len(found) for found in members.values())
    if is_narrow():
        total = sum(len(found) for found in members.values())
        figure, panels = subplots(
            len(families),
            height=step * total + 70 * len(families),
            squeeze=False,
            sharex=True,
            height_ratios=[len(found) for found in members.values()],
        )
    else:
        figure, panels = subplots(columns=len(families), height=step * most + 70, squeeze=False, sharex=True)
        figure.set_layout_engine(
            "constrained", wspace=0.06
        )  # names of one panel stand beside bars of another
    for axes, family in zip(panels.flat, families, strict=True):
        found = members[family]
        axes.set_title(family.capitalize())
        axes.grid(False, axis="y")
        for place, row in enumerate(found):
            for i, (arm, entry) in enumerate(zip(arms, row.entries, strict=True)):
                if entry is None:
                    continue
                y = place + (i - (len(arms) - 1) / 2) * BAR / step
                axes.barh(y, 100 * entry.mean, height=0.8 * BAR / step, color=arm.look.colour, alpha=0.85)
                if entry.low is not None and entry.high is not None:
                    axes.plot([100 * entry.low, 100 * entry.high], [y, y], color=INK, linewidth=1)
        axes.set_yticks(range(len(found)), [row.name for row in found], color=INK)
        axes.set_ylim((len(found) if is_narrow() else most) - 0.5, -0.5)
        axes.tick_params(labelbottom=True)
    panels.flat[0].set_xlim(left=0)
    return figure


def find(row: Row) -> str:
    """Family of a row: the end of its group."""
    return row.group.rpartition(": ")[2]
