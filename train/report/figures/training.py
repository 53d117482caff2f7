"""Training curves: a panel for each logged quantity."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from texneg.train.evaluate.figures import is_narrow, subplots
from texneg.train.report.rows import Row
from texneg.train.report.runs import Arm
from texneg.train.report.table import compare_arms
from texneg.train.report.tables import DECIMAL, Table

if TYPE_CHECKING:
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
COLUMNS, PANEL, NARROW_PANEL = 3, 210, 150  # panels in a row, and their height in pixels

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
    columns = 1 if is_narrow() else COLUMNS
    rows, height = -(-len(curves) // columns), NARROW_PANEL if is_narrow() else PANEL
    figure, panels = subplots(rows, columns, height=height * rows, squeeze=False)
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


def tabulate_training(arms: Sequence[Arm]) -> list[Table]:
    """The table of the last logged values; none where nothing was logged."""
    rows = []
    for metric in read_curves(arms):
        values = [
            {
                str(run.seed): float(found[-1])
                for run in arm.runs
                if (found := [line[metric] for line in run.metrics if metric in line])
            }
            for arm in arms
        ]
        rows.append(Row(METRICS[metric], None, compare_arms(arms, values)))
    note = "Last logged values, mean ± standard deviation over seeds; change to the baseline."
    return [Table("training", "End of training", note, rows, DECIMAL, judged=False)] if rows else []
