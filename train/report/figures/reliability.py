"""Reliability diagrams: accuracy over confidence, a panel for each set."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from texneg.train.evaluate.figures import AXIS, SOFT, is_narrow, subplots
from texneg.train.report.calibration import Reliability
from texneg.train.report.runs import Arm

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS, NARROW_COLUMNS, MOST = 4, 2, 8
PANEL, NARROW_PANEL = 270, 210  # pixels
FEWEST = 5  # images of a bin that is drawn


def draw_reliability(arms: Sequence[Arm], sets: Sequence[Reliability]) -> "Figure":
    """Draw the bins of each arm; the diagonal is a head that knows how often it is right."""
    shown = sets[:MOST]
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
        axes.set_title(one.title, fontsize=12)
        axes.plot([0, 100], [0, 100], color=AXIS, linewidth=1, linestyle=(0, (3, 3)))
        for arm, bins, ece in zip(arms, one.bins, one.ece, strict=True):
            if bins is None or ece is None:
                continue
            kept = bins[bins[:, 0] >= FEWEST]
            axes.plot(100 * kept[:, 1], 100 * kept[:, 2], **arm.look.line)
            axes.plot(100 * kept[:, 1], 100 * kept[:, 2], **{**arm.look.point, "markersize": 5.5})
        known = [ece for ece in one.ece if ece is not None]
        low, high = 100 * min(known), 100 * max(known)
        words = f"ECE {low:.1f}" if len(known) == 1 else f"ECE {low:.1f} to {high:.1f}"
        axes.text(0.03, 0.97, words, transform=axes.transAxes, va="top", color=SOFT, fontsize=11)
    for axes in panels.flat[max(0, len(shown) - columns) : len(shown)]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("confidence, %")
    for axes in panels[:, 0]:
        axes.set_ylabel("accuracy, %")
    panels.flat[0].set_xlim(0, 100)
    panels.flat[0].set_ylim(0, 100)
    panels.flat[0].set_xticks([0, 50, 100])
    panels.flat[0].set_yticks([0, 50, 100])
    return figure
