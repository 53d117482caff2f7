"""The numbers of a report: every test set by every arm, with differences to the arm's baseline.

Everything here is plain dictionaries and lists of shares (0 ... 1), ready for JSON. A cell holds the mean
over seeds with Wilson's interval for the set's n images; a difference holds the interval over images
(bootstrap of the per-image differences, seeds fixed) and over seeds (Student's t on paired seeds, images
fixed).
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from texneg.errors import InputError
from texneg.train.evaluate.intervals import bootstrap, mcnemar, mean_sd, t_interval, wilson
from texneg.train.evaluate.outcomes import aligned, load_outcomes
from texneg.train.evaluate.sets.shape_bias import change_interval
from texneg.train.report.runs import Arm, Run

MEAN_ROW = "mean of the sets"
OOD_ROW = "mean out of distribution"
PROBE_ROW = "probe test"
Row = Mapping[str, Any]


def build(arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """Rows in order of appearance: accuracies, their mean, then shape bias.

    Each has "name", "kind", "clean" (the probe's own test, which stays out of the mean), "n", "classes",
    "chance", and "cells": one for each arm, None where no run of the arm was tested on the set.
    """
    measured = [[rows_of(run) for run in arm.runs] for arm in arms]
    names = list(dict.fromkeys(name for arm in measured for run in arm for name in run))
    rows = [_row(arms, measured, name) for name in names]
    accuracies = [row for row in rows if row["kind"] == "accuracy"]
    others = [row for row in accuracies if not row["clean"]]
    name = MEAN_ROW if len(others) == len(accuracies) else OOD_ROW
    mean = [_mean_row(arms, others, name)] if len(others) > 1 else []
    return accuracies + mean + [row for row in rows if row["kind"] != "accuracy"]


def rows_of(run: Run) -> dict[tuple[str, str], dict[str, Any]]:
    """What a run measured, by (kind, name); the probe's test only where `ood` has not the same data."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    sets = run.ood["sets"] if run.ood else []
    test = run.probe["test"] if run.probe else None
    clean = test["data"] if test else None
    if test and all(row["data"] != clean for row in sets):
        outcomes = run.path / "probe-outcomes.npz"
        row = {**test, "kind": "accuracy", "value": test["accuracy"], "outcomes": outcomes, "clean": True}
        rows["accuracy", PROBE_ROW] = row
    for row in sets:
        told = {"value": row["masked"]["accuracy"] if row["kind"] == "accuracy" else row["shape_bias"]}
        told |= {"outcomes": run.path / row["outcomes"], "clean": row["data"] == clean}
        rows[row["kind"], row["name"]] = {**row, **told}
    return rows


def _row(
    arms: Sequence[Arm], measured: Sequence[Sequence[Mapping[Any, Row]]], key: tuple[str, str]
) -> dict[str, Any]:
    kind, name = key
    found: list[dict[str, Row]] = []
    for arm, runs in zip(arms, measured, strict=True):
        rows = {str(seed): run[key] for seed, run in zip(arm.seeds, runs, strict=True) if key in run}
        found.append({seed: row for seed, row in rows.items() if row["value"] is not None})
    if len({row["data"] for rows in found for row in rows.values()}) > 1:
        raise InputError(f"set {name!r} is not the same images in all runs; measure it again with texneg ood")
    cells = [_cell(rows) for rows in found]
    for arm, cell, rows in zip(arms, cells, found, strict=True):
        if cell and arm.baseline is not None:
            base = found[arm.baseline]
            cell["difference"] = _over_images(_paired(_values(rows), _values(base)), rows, base)
    first = next((row for rows in found for row in rows.values()), {})
    clean = any(row["clean"] for rows in found for row in rows.values())
    told = {field: first.get(field) for field in ("n", "classes", "chance", "left_out")}
    return {"name": name, "kind": kind, "clean": clean, **told, "cells": cells}


def _mean_row(arms: Sequence[Arm], rows: Sequence[Row], name: str) -> dict[str, Any]:
    """Mean over test sets, seed by seed, for arms whose every seed was tested on all of them."""
    found: list[dict[str, float]] = []
    for i, arm in enumerate(arms):
        parts = [row["cells"][i]["seeds"] if row["cells"][i] else {} for row in rows]
        seeds = [seed for seed in map(str, arm.seeds) if all(seed in part for part in parts)]
        found.append({seed: fmean(part[seed] for part in parts) for seed in seeds})
    cells = [_summary(values) if values else None for values in found]
    for arm, cell, values in zip(arms, cells, found, strict=True):
        if cell and arm.baseline is not None:
            cell["difference"] = _paired(values, found[arm.baseline])
    told = {"n": None, "classes": None, "chance": fmean(row["chance"] for row in rows), "left_out": None}
    return {"name": name, "kind": "mean", "clean": False, **told, "cells": cells}


def _values(rows: Mapping[str, Row]) -> dict[str, float]:
    return {seed: row["value"] for seed, row in rows.items()}


def _summary(values: Mapping[str, float]) -> dict[str, Any]:
    mean, sd = mean_sd(list(values.values()))
    return {"seeds": dict(values), "mean": mean, "sd": sd, "low": None, "high": None, "difference": None}


def _cell(seeds: Mapping[str, Row]) -> dict[str, Any] | None:
    if not seeds:
        return None
    rows = list(seeds.values())
    cell = _summary(_values(seeds))
    # The images that decide: on cue-conflict sets those whose decision was for either cue.
    counts = [row["shape"] + row["texture"] if row["kind"] == "shape-bias" else row["n"] for row in rows]
    n = round(fmean(counts))
    cell["low"], cell["high"] = wilson(min(cell["mean"] * n, n), n)
    for name in ("unmasked", "knn"):
        if all(name in row for row in rows):
            cell[name] = fmean(row[name]["accuracy"] for row in rows)
    if rows[0]["kind"] == "shape-bias":
        cell["cue_accuracy"] = fmean(row["cue_accuracy"] for row in rows)
        cell["by_category"] = {name: _pooled(rows, name) for name in rows[0]["by_category"]}
    return cell


def _pooled(rows: Sequence[Row], category: str) -> float | None:
    """Shape bias of one shape category, decisions pooled over seeds; None where neither cue was chosen."""
    counts = [row["by_category"].get(category, {"shape": 0, "texture": 0}) for row in rows]
    shape, texture = (sum(count[cue] for count in counts) for cue in ("shape", "texture"))
    return shape / (shape + texture) if shape + texture else None


def _paired(mine: Mapping[str, float], base: Mapping[str, float]) -> dict[str, Any] | None:
    """Difference over the seeds that both arms ran; None without a common one."""
    seeds = {seed: value - base[seed] for seed, value in mine.items() if seed in base}
    if not seeds:
        return None
    interval = t_interval(list(seeds.values()))
    return {
        "mean": fmean(seeds.values()),
        "seeds": seeds,
        "over_seeds": list(interval) if interval else None,
        "over_images": None,
        "mcnemar": None,
    }


def _over_images(
    difference: dict[str, Any] | None, mine: Mapping[str, Row], base: Mapping[str, Row]
) -> dict[str, Any] | None:
    """Add the interval over images and, for accuracies, McNemar's p of each seed.

    Only where both arms kept the same images.
    """
    if difference is None:
        return None
    seeds = list(difference["seeds"])
    paths = [rows[seed]["outcomes"] for rows in (mine, base) for seed in seeds]
    if not all(path.is_file() for path in paths):
        return difference
    values = aligned([load_outcomes(path) for path in paths])
    if values is None:
        return difference
    a, b = values[: len(seeds)], values[len(seeds) :]
    if mine[seeds[0]]["kind"] == "shape-bias":
        return {**difference, "over_images": list(change_interval(a, b))}
    tests = {
        seed: mcnemar(int((x > y).sum()), int((x < y).sum())) for seed, x, y in zip(seeds, a, b, strict=True)
    }
    interval = bootstrap((a.astype(np.float64) - b).mean(0))
    return {**difference, "over_images": list(interval), "mcnemar": tests}
