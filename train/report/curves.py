"""What the figures of training and similarity draw, from the runs of each arm."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from texneg.train.report.runs import Arm

METRICS = {
    "loss": "Loss",
    "positive": "Cosine to the positive",
    "negative": "Cosine to other images",
    "nonsemantic": "Cosine to its own texture or patches",
    "knn": "kNN top-1, %",
}
KINDS = {
    "positive": "another view of it",
    "texture": "its texture",
    "texture_live": "its live texture",
    "patch": "its patches",
    "ordinary": "other images",
}


def training(arms: Sequence[Arm]) -> dict[str, list[list[list[list[float]]]]]:
    """Curves by metric, then arm, then seed: points [epoch, value]. A metric that no run logged is absent."""
    found = {
        metric: [
            [[[line["epoch"], line[metric]] for line in run.metrics if metric in line] for run in arm.runs]
            for arm in arms
        ]
        for metric in METRICS
    }
    return {metric: curves for metric, curves in found.items() if any(any(seeds) for seeds in curves)}


def mean_curve(seeds: Sequence[Sequence[Sequence[float]]]) -> list[list[float]]:
    """Mean over seeds at the epochs that all of them logged."""
    tables = [{point[0]: point[1] for point in points} for points in seeds if points]
    if not tables:
        return []
    common = sorted(set.intersection(*(set(table) for table in tables)))
    return [[x, sum(table[x] for table in tables) / len(tables)] for x in common]


def similarity(arms: Sequence[Arm]) -> list[dict[str, Any] | None]:
    """For each arm, by kind: histogram counts summed over seeds, and mean and AUC of each seed."""
    return [_pooled([run.similarity for run in arm.runs if run.similarity]) for arm in arms]


def _pooled(measured: Sequence[Any]) -> dict[str, Any] | None:
    if not measured:
        return None
    first = measured[0]
    same = [one for one in measured if one["edges"] == first["edges"]]
    kinds = {}
    for kind in KINDS:
        rows = [one["kinds"][kind] for one in same if kind in one["kinds"]]
        if not rows:
            continue
        kinds[kind] = {
            "n": sum(row["n"] for row in rows),
            "mean": float(np.mean([row["mean"] for row in rows])),
            "means": [row["mean"] for row in rows],
            "auc": None if kind == "positive" else float(np.mean([row["auc"] for row in rows])),
            "counts": np.sum([row["counts"] for row in rows], axis=0).tolist(),
        }
    return {"images": first["images"], "edges": first["edges"], "kinds": kinds}
