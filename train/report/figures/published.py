"""The arms of a report among published networks: a panel for each set, both axes on the logit scale."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from texneg.train.evaluate.figures import FAINT, INK, SOFT, is_narrow, shorten, subplots
from texneg.train.evaluate.metrics.effective_robustness import Line, logit, sigmoid
from texneg.train.report.metrics.robustness import Robustness
from texneg.train.report.runs import Arm

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TICKS = np.array([0.1, 1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98, 99, 99.9])  # percent
COLUMNS, NARROW_COLUMNS = 3, 1
PANEL = 330  # pixels
MOST_TICKS = 6


def find_compared(found: Sequence[Robustness]) -> list[Robustness]:
    """Find the sets with published networks that an arm may be compared with."""
    return [one for one in found if one.points and any(one.arms)]


def draw_published(arms: Sequence[Arm], found: Sequence[Robustness]) -> "Figure":
    """Draw published networks faint with their line, arms bold, and how far each is from the line."""
    columns = NARROW_COLUMNS if is_narrow() else max(2, min(COLUMNS, len(found)))
    rows = -(-len(found) // columns)
    figure, panels = subplots(
        rows, columns, height=PANEL * rows, narrow_columns=NARROW_COLUMNS, squeeze=False
    )
    for axes in panels.flat[len(found) :]:
        axes.set_axis_off()
    for axes, one in zip(panels.flat, found, strict=False):
        axes.set_title(shorten(one.name, 34))
        axes.set_xlabel("in distribution, %")
        axes.set_ylabel("on the set, %")
        _draw_panel(axes, arms, one)
    return figure


def _draw_panel(axes: "Axes", arms: Sequence[Arm], one: Robustness) -> None:
    x, y = np.array([(point.inside, point.outside) for point in one.points]).T
    axes.plot(logit(x), logit(y), linestyle="none", marker="o", markersize=4, color=FAINT, alpha=0.55)
    shown = [(arm, found) for arm, found in zip(arms, one.arms, strict=True) if found]
    first = shown[0][1]
    line = Line(first.intercept, first.slope)
    every_x = np.array([*x, *(found.inside for _, found in shown)])
    along = np.linspace(logit(every_x).min(), logit(every_x).max(), 2)
    axes.plot(along, line.intercept + line.slope * along, color=SOFT, linewidth=1.3, zorder=2)
    for arm, found in shown:
        at, height = float(logit(np.array(found.inside))), float(logit(np.array(found.outside)))
        foot = line.intercept + line.slope * at
        axes.plot([at, at], [foot, height], color=arm.look.colour, linewidth=1.6, zorder=3)
        axes.plot(at, height, **arm.look.point)
    every_y = np.array([*y, *(found.outside for _, found in shown)])
    _label(axes, every_x, every_y)
    axes.text(0.02, 0.97, f"{len(x)} networks", transform=axes.transAxes, va="top", color=INK, size=12)


def _label(axes: "Axes", x: np.ndarray, y: np.ndarray) -> None:
    """Write percent at even places of both logit axes."""
    for values, set_ticks, set_limits in (
        (x, axes.set_xticks, axes.set_xlim),
        (y, axes.set_yticks, axes.set_ylim),
    ):
        low, high = logit(values).min(), logit(values).max()
        pad = 0.07 * max(high - low, 0.5)
        inside = [tick for tick in TICKS if low - pad <= logit(np.array(tick / 100)) <= high + pad]
        ends = sigmoid(np.array([low - pad, high + pad]))
        if len(inside) < 2:
            inside = [float(f"{100 * end:.2g}") for end in np.linspace(ends[0], ends[1], 4)[1:3]]
        step = -(-len(inside) // MOST_TICKS)
        shown = np.array(inside[::step])
        set_ticks(logit(shown / 100), [f"{tick:g}" for tick in shown])
        set_limits(low - pad, high + pad)
