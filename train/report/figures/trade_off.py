"""Accuracy out of distribution against accuracy in it: a panel for each set or mean, a point for each run."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from texneg.train.evaluate.figures import FAINT, SOFT, is_narrow, shorten, subplots
from texneg.train.evaluate.metrics.effective_robustness import fit_line, keep_inside
from texneg.train.report.rows import Row
from texneg.train.report.runs import Arm

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS, NARROW_COLUMNS, MOST = 4, 2, 8
PANEL, NARROW_PANEL = 270, 210  # pixels


def find_shifted(table: Sequence[Row], clean: Row) -> list[Row]:
    """Find what is set against the row in distribution: means where there are any, then single sets."""
    rows = [row for row in table if row.averaged and not row.clean and row.head == clean.head]
    means = [row for row in rows if row.kind is None]
    return [*means, *(row for row in rows if row.kind is not None)][:MOST]


def draw_trade_offs(arms: Sequence[Arm], clean: Row, shifted: Sequence[Row]) -> "Figure":
    """Draw seeds faint, means bold, and a line fitted on the logit scale where there are enough runs."""
    columns = NARROW_COLUMNS if is_narrow() else max(3, min(COLUMNS, len(shifted)))
    rows, height = -(-len(shifted) // columns), NARROW_PANEL if is_narrow() else PANEL
    figure, panels = subplots(
        rows, columns, height=height * rows + 20, narrow_columns=columns, squeeze=False, sharex=True
    )
    for axes in panels.flat[len(shifted) :]:
        axes.set_axis_off()
    for axes, row in zip(panels.flat, shifted, strict=False):
        axes.set_title(shorten(row.name, 27), fontsize=12)
        points: list[tuple[float, float]] = []
        for arm, one, two in zip(arms, clean.entries, row.entries, strict=True):
            if one is None or two is None:
                continue
            seeds = [(one.seeds[seed], two.seeds[seed]) for seed in one.seeds if seed in two.seeds]
            points += seeds
            if len(seeds) > 1:
                x, y = 100 * np.array(seeds).T
                axes.plot(x, y, **{**arm.look.point, "markersize": 5, "alpha": 0.45})
            axes.plot(100 * one.mean, 100 * two.mean, **arm.look.point)
        if (fitted := trace_line(points)) is not None:
            axes.plot(*fitted, color=FAINT, linewidth=1.3, linestyle=(0, (4, 3)), zorder=1)
    for axes in panels.flat[max(0, len(shifted) - columns) : len(shifted)]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("in distribution, %", color=SOFT)
    return figure


def trace_line(points: Sequence[tuple[float, float]]) -> npt.NDArray[np.float64] | None:
    """Fit a line to the logits of shares in and out of distribution: (2, K) percent; None for too few."""
    kept = np.array([[keep_inside(share, None) for share in pair] for pair in points]).reshape(-1, 2)
    line = fit_line(kept[:, 0], kept[:, 1])
    if line is None:
        return None
    along = np.linspace(kept[:, 0].min(), kept[:, 0].max(), 40)
    return 100 * np.stack([along, line.predict(along)])
