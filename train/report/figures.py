"""Figures of the report itself: training curves, and the accuracy on all test sets with its changes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from texneg.train.evaluate.figures import AXIS, FAINT, GRID, INK, Look, subplots
from texneg.train.report.runs import Arm
from texneg.train.report.table import Change, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRICS = {
    "loss": "Loss",
    "positive": "Cosine to the positive",
    "negative": "Cosine to other images",
    "nonsemantic": "Cosine to non-semantic negatives",
    "knn": "kNN top-1, %",
    "accuracy": "Positives above all negatives, share",
    "nonsemantic_share": "Share of the softmax, p_ns",
    "uniformity": "Uniformity",
    "tolerance": "Tolerance",
    "gradient_norm": "Norm of the gradient",
}
COLUMNS, PANEL = 3, 210  # panels of training curves: in a row, and their height in pixels
STEP, PAD = 15, 16  # pixels: one arm's share of a row of accuracies, and the row's padding

Curve = list[tuple[float, float]]
"""Epochs and values."""


def read_curves(arms: Sequence[Arm]) -> dict[str, list[list[Curve]]]:
    """Collect curves by metric, then arm, then seed. A metric that no run logged is absent."""
    found = {
        metric: [
            [[(line["epoch"], line[metric]) for line in run.metrics if metric in line] for run in arm.runs]
            for arm in arms
        ]
        for metric in METRICS
    }
    return {metric: curves for metric, curves in found.items() if any(any(seeds) for seeds in curves)}


def draw_training(arms: Sequence[Arm], curves: dict[str, list[list[Curve]]]) -> "Figure":
    """Draw a panel for each logged quantity over epochs: seeds thin, their mean bold."""
    rows = -(-len(curves) // COLUMNS)
    figure, panels = subplots(rows, COLUMNS, height=PANEL * rows, squeeze=False)
    for axes in panels.flat[len(curves) :]:
        axes.set_axis_off()
    for axes, (metric, by_arm) in zip(panels.flat, curves.items(), strict=False):
        axes.set_title(METRICS[metric])
        axes.set_xlabel("epoch", loc="right")
        for arm, seeds in zip(arms, by_arm, strict=True):
            for curve in seeds if sum(map(bool, seeds)) > 1 else ():
                axes.plot(*zip(*curve, strict=True), color=arm.look.colour, alpha=0.35, linewidth=0.9)
            if mean := average_curves(seeds):
                axes.plot(*zip(*mean, strict=True), **arm.look.line)
                axes.plot(*mean[-1], clip_on=False, **arm.look.point)
        axes.set_xlim(left=0)
    return figure


def average_curves(seeds: Sequence[Curve]) -> Curve:
    """Average over seeds at the epochs that all of them logged."""
    tables = [dict(curve) for curve in seeds if curve]
    if not tables:
        return []
    common = sorted(set.intersection(*(set(table) for table in tables)))
    return [(x, sum(table[x] for table in tables) / len(tables)) for x in common]


def draw_sets(arms: Sequence[Arm], rows: Sequence[Row]) -> "Figure":
    """Draw the accuracy of every arm on every set with its interval, and the change to the baseline."""
    height = STEP * len(arms) + PAD
    figure, (left, right) = subplots(
        columns=2, height=height * len(rows) + 70, sharey=True, width_ratios=[0.55, 0.45]
    )
    reach = _find_reach(rows)
    for place, row in enumerate(rows):
        middle = height * (place + 0.5)
        if row.chance is not None:
            span = [middle - 0.4 * height, middle + 0.4 * height]
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
                _draw_change(right, arm.look, entry.difference, y)
    places = [height * (place + 0.5) for place in range(len(rows))]
    left.set_yticks(
        places, [f"{row.name} [{row.head}]" if row.head else row.name for row in rows], color=INK, size=14
    )
    left.set_ylim(height * len(rows), 0)
    for axes in (left, right):
        axes.grid(False, axis="y")
        for place in range(len(rows)):
            axes.axhline(height * place, color=GRID, linewidth=1)
    left.set_xlim(0, 100)
    left.set_title("Masked accuracy, %")
    right.set_xlim(-reach, reach)
    right.axvline(0, color=AXIS)
    right.set_title("Change to the baseline, points")
    if all(arm.baseline is None for arm in arms):
        right.set_visible(False)
    return figure


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
