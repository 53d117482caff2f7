"""Reliability diagrams: accuracy over confidence, a panel for each set."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from texneg.train.evaluate.figures import AXIS, SOFT, is_narrow, shorten, subplots
from texneg.train.report.metrics.base import name_set
from texneg.train.report.metrics.scores import SetScores
from texneg.train.report.runs import Arm

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS, NARROW_COLUMNS, MOST = 4, 2, 8
PANEL, NARROW_PANEL = 270, 210  # pixels
FEWEST = 5  # images of a bin that is drawn


def find_calibrated(sets: Sequence[SetScores]) -> list[SetScores]:
    """Choose the sets with bins, as many as are drawn."""
    return [one for one in sets if any(arm and arm.bins for arm in one.arms)][:MOST]


def draw_reliability(arms: Sequence[Arm], shown: Sequence[SetScores]) -> "Figure":
    """Draw the bins of each arm; the diagonal is a head that knows how often it is right."""
    columns = NARROW_COLUMNS if is_narrow() else max(3, min(COLUMNS, len(shown)))
    rows, height = -(-len(shown) // columns), NARROW_PANEL if is_narrow() else PANEL
    figure, panels = subplots(
        rows,
        columns,
        height=height * rows + 20,
        narrow_columns=columns,
        squeeze=False,
        sharex=True,
        sharey=True,
    )
    for axes in panels.flat[len(shown) :]:
        axes.set_axis_off()
    for axes, one in zip(panels.flat, shown, strict=False):
        axes.set_title(shorten(name_set((one.head, one.kind, one.name)), 27), fontsize=12)
        axes.plot([0, 100], [0, 100], color=AXIS, linewidth=1, linestyle=(0, (3, 3)))
        for arm, found in zip(arms, one.arms, strict=True):
            kept = [bin_ for bin_ in found.bins if bin_.n >= FEWEST] if found else []
            x, y = (
                100 * np.array([getattr(bin_, name) for bin_ in kept]) for name in ("confidence", "accuracy")
            )
            axes.plot(x, y, **arm.look.line)
            axes.plot(x, y, **{**arm.look.point, "markersize": 5.5})
        known = [100 * found.ece.mean for found in one.arms if found and found.ece]
        if known:
            low, high = f"{min(known):.1f}", f"{max(known):.1f}"
            words = f"ECE {low}" if low == high else f"ECE {low} to {high}"
            axes.text(0.03, 0.97, words, transform=axes.transAxes, va="top", color=SOFT, fontsize=11)
    for axes in panels.flat[max(0, len(shown) - columns) : len(shown)]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("confidence, %")
    for axes in panels[:, 0]:
        axes.set_ylabel("accuracy, %")
    panels.flat[0].set(xlim=(0, 100), ylim=(0, 100), xticks=(0, 50, 100), yticks=(0, 50, 100))
    return figure
