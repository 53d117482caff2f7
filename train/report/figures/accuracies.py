"""Accuracy of every arm on every set with its interval, and the change to the baseline."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from texneg.train.evaluate.figures import (
    AXIS,
    FAINT,
    GRID,
    INK,
    NAME,
    Look,
    is_narrow,
    shorten,
    subplots,
)
from texneg.train.report.rows import Change, Row
from texneg.train.report.runs import Arm

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEP, PAD = 15, 16  # pixels: one arm's share of a row, and the row's padding
NARROW_NAME, WIDE_NAME = 46, 60  # characters of a set's name


def draw_accuracies(arms: Sequence[Arm], rows: Sequence[Row]) -> "Figure":
    """Draw a row for each set: accuracies on the left, changes on the right."""
    compared = any(arm.baseline is not None for arm in arms)
    above = NAME if is_narrow() else 0
    height = STEP * len(arms) + PAD + above
    figure, panels = subplots(
        columns=1 + compared,
        height=height * len(rows) + 70,
        sharey=True,
        width_ratios=[0.55, 0.45] if compared else None,
        squeeze=False,
    )
    left = panels.flat[0]
    for place, row in enumerate(rows):
        middle = height * (place + 0.5) + above / 2
        if row.chance is not None:
            span = [middle - 0.4 * (height - above), middle + 0.4 * (height - above)]
            left.plot([100 * row.chance] * 2, span, color=FAINT, linestyle=(0, (2, 2)), linewidth=1.4)
        for i, (arm, entry) in enumerate(zip(arms, row.entries, strict=True)):
            y = middle + STEP * (i - (len(arms) - 1) / 2)
            if entry is None:
                continue
            if entry.low is not None and entry.high is not None:
                left.plot([100 * entry.low, 100 * entry.high], [y, y], color=arm.look.colour, linewidth=2)
            if len(entry.seeds) > 1:
                seeds = [100 * value for value in entry.seeds.values()]
                left.scatter(seeds, [y] * len(seeds), marker="|", s=90, color=arm.look.colour, alpha=0.6)
            left.plot(100 * entry.mean, y, **arm.look.point)
            if entry.difference is not None:
                _draw_change(panels.flat[1], arm.look, entry.difference, y)
    left.set_ylim(height * len(rows), 0)
    for axes in panels.flat:
        _name_rows(axes, rows, height)
    left.set_xlim(0, 100)
    left.set_title("Masked accuracy, %")
    if compared:
        right, reach = panels.flat[1], _find_reach(rows)
        right.set_xlim(-reach, reach)
        right.axvline(0, color=AXIS)
        right.set_title("Change to the baseline, points")
    return figure


def _name_rows(axes: "Axes", rows: Sequence[Row], height: float) -> None:
    """Write the names of sets beside their rows, or above them on a narrow page, with a line between rows."""
    most = NARROW_NAME if is_narrow() else WIDE_NAME
    names = [shorten(f"{row.name} [{row.head}]" if row.head else row.name, most) for row in rows]
    axes.grid(False, axis="y")
    for place in range(len(rows)):
        axes.axhline(height * place, color=GRID, linewidth=1)
    if is_narrow():
        axes.set_yticks([])
        for place, name in enumerate(names):
            where = axes.get_yaxis_transform()
            axes.text(0, height * place + 4, name, transform=where, va="top", color=INK, size=12)
    else:
        axes.set_yticks([height * (place + 0.5) for place in range(len(rows))], names, color=INK, size=14)


def _draw_change(axes: "Axes", look: Look, change: Change, y: float) -> None:
    """Draw a thin line over seeds, cut at the panel's edge, and a thick one over images."""
    for ends, width in ((change.over_seeds, 1), (change.over_images, 3.2)):
        if ends is not None:
            axes.plot([100 * end for end in ends], [y, y], color=look.colour, linewidth=width)
    axes.plot(100 * change.mean, y, **look.point)


def _find_reach(rows: Sequence[Row]) -> float:
    """Find half the width of the change panel in points: it covers seeds and image intervals."""
    changes = [entry.difference for row in rows for entry in row.entries if entry and entry.difference]
    ends = [abs(100 * end) for change in changes for end in (change.mean, *(change.over_images or ()))]
    seeds = [abs(100 * value) for change in changes for value in change.seeds.values()]
    return 1.15 * max(2.0, *ends, *seeds) if changes else 2.3
