"""Calibration of the heads: expected error and negative log-likelihood of every set, and what bins show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from texneg.train.report.rows import Row
from texneg.train.report.runs import Arm
from texneg.train.report.sets import Key, SetResult, Tested
from texneg.train.report.table import compare_arms
from texneg.train.report.tables import DECIMAL, Table

NUMBERS = {"ece": "expected calibration error", "nll": "negative log-likelihood"}


@dataclass(frozen=True)
class Reliability:
    """One set: bins of confidence of every arm, pooled over seeds."""

    title: str
    bins: Sequence[npt.NDArray[np.float64] | None]
    """by arm: (B, 3) number of images, mean confidence and accuracy of each bin that is not empty"""
    ece: Sequence[float | None]
    """by arm, mean over seeds"""


def read_reliability(arms: Sequence[Arm], tested: Tested) -> list[Reliability]:
    """The bins of every set that has any."""
    found = []
    for key in _find_keys(tested):
        by_arm = [[run[key].record["calibration"] for run in runs if _has(run, key)] for runs in tested]
        eces = [float(np.mean([one["ece"] for one in runs])) if runs else None for runs in by_arm]
        found.append(Reliability(_name(key), [_pool(runs) for runs in by_arm], eces))
    return found


def tabulate(arms: Sequence[Arm], tested: Tested) -> list[Table]:
    """The table of calibration errors and likelihoods; none where no set has any."""
    rows = []
    for name, group in NUMBERS.items():
        for key in _find_keys(tested):
            values = [
                {
                    str(seed): float(run[key].record["calibration"][name])
                    for seed, run in zip(arm.seeds, runs, strict=True)
                    if _has(run, key) and run[key].record["calibration"].get(name) is not None
                }
                for arm, runs in zip(arms, tested, strict=True)
            ]
            rows.append(Row(key[2], None, compare_arms(arms, values), head=key[0], group=group))
    note = "Mean ± standard deviation over seeds; change to the baseline; lower is better."
    table = Table("calibration", "Calibration", note, rows, DECIMAL, first="Test set", lower_is_better=True)
    return [table] if rows else []


def _find_keys(tested: Tested) -> list[Key]:
    return list(dict.fromkeys(key for runs in tested for run in runs for key in run if _has(run, key)))


def _has(run: Mapping[Key, SetResult], key: Key) -> bool:
    return key in run and bool(run[key].record.get("calibration"))


def _name(key: Key) -> str:
    return f"{key[2]} [{key[0]}]" if key[0] else key[2]


def _pool(runs: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.float64] | None:
    """Pool the bins of several seeds."""
    tables = [[(one["n"], one["confidence"], one["accuracy"]) for one in run["bins"]] for run in runs]
    if not tables or len({len(table) for table in tables}) > 1:
        return None
    values = np.nan_to_num(np.array(tables, np.float64))  # (S, B, 3); empty bins have no means
    counts = values[..., 0].sum(0)
    means = (values[..., :1] * values[..., 1:]).sum(0) / np.maximum(counts, 1)[:, None]
    return np.column_stack([counts, means])[counts > 0]
