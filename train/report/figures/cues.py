"""Ranks of shape and of texture: a row for each set of one cue, and two for cue conflict."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from texneg.train.evaluate.figures import AXIS, INK, SOFT, is_narrow, shorten, subplots
from texneg.train.report.metrics.ranks import SetRanks
from texneg.train.report.runs import Arm

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW = 18  # pixels of an arm
NARROW_NAME, WIDE_NAME = 16, 60  # characters of a set


def find_cues(ranks: Sequence[SetRanks]) -> list[SetRanks]:
    """Find the sets of cues, those of shape before those of texture."""
    return [one for cue in ("shape", "texture") for one in ranks if one.cue == cue]


def draw_cues(arms: Sequence[Arm], found: Sequence[SetRanks]) -> "Figure":
    """Draw a marker for each arm with its interval over images, and chance."""
    narrow = is_narrow()
    panels = [[one for one in found if one.cue == cue] for cue in ("shape", "texture")]
    panels = [rows for rows in panels if rows]
    step = ROW * len(arms) + 14
    most = max(map(len, panels))
    figure, grid = subplots(
        1, len(panels), height=step * most + 70, narrow_columns=1, squeeze=False, sharex=True
    )
    for axes, rows in zip(grid.flat, panels, strict=True):
        axes.set_title(f"{rows[0].cue.capitalize()}: rank of its class", fontsize=13)
        for place, one in enumerate(rows):
            axes.plot([100 * one.chance] * 2, [place - 0.45, place + 0.45], color=AXIS, linestyle=(0, (4, 3)))
            for i, (arm, ranks) in enumerate(zip(arms, one.arms, strict=True)):
                if ranks is None:
                    continue
                y = place + (i - (len(arms) - 1) / 2) * ROW / step
                if ranks.low is not None and ranks.high is not None:
                    axes.plot([100 * ranks.low, 100 * ranks.high], [y, y], color=arm.look.colour)
                axes.plot(100 * ranks.mrr.mean, y, **arm.look.point)
        names = [shorten(one.name, NARROW_NAME if narrow else WIDE_NAME) for one in rows]
        axes.set_yticks(range(len(rows)), names, color=INK, size=11 if narrow else 13)
        axes.set_ylim((len(rows) if narrow else most) - 0.5, -0.5)
        axes.grid(False, axis="y")
        axes.set_xlim(0, 100)
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("100 x mean reciprocal rank", color=SOFT)
    return figure
