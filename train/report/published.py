"""`texneg published`: tables of published networks by themselves, from the user's copy.

For each set the line of accuracy on it over accuracy in distribution, both rank correlations, and where the
table has shape bias, its rank correlation with accuracy on every set.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from texneg.cli import console
from texneg.cli.fields import Positional
from texneg.datasets.storage.json_files import write_json
from texneg.datasets.storage.places import require_folder
from texneg.errors import InputError
from texneg.train.evaluate.intervals import Interval
from texneg.train.evaluate.metrics.effective_robustness import FEWEST, fit_line
from texneg.train.evaluate.metrics.rank_correlation import bootstrap_ranks, correlate_ranks
from texneg.train.report.metrics.published_tables import PublishedSet, PublishedTable, read_published


@dataclass(frozen=True)
class PublishedConfig:
    """Accuracies of published networks on shifted sets, and what they go with."""

    tables: Positional[tuple[str, ...]]
    """timm's results-sketch.csv and the like, or their folder; benchmark.csv of Gavrikov and Keuper; or a CSV
    of name, in_distribution, and columns named after sets"""
    family: tuple[str, ...] = ()
    """which networks count: patterns of their names, such as *resnet50*, or a JSON file of names"""
    out: str | None = None
    """JSON file for the numbers"""


def published(config: PublishedConfig) -> int:
    """Print the lines and rank correlations of each table."""
    if not config.tables:
        raise InputError(
            "no tables given; name benchmark.csv of Gavrikov and Keuper, or timm's results folder"
        )
    if config.out:
        require_folder(Path(config.out).parent, "--out")
    tables = [read_published(path, flag="table", family=config.family) for path in config.tables]
    record: list[dict[str, Any]] = []
    for table in tables:
        sets = [describe_set(one) for one in table.sets]
        biases = correlate_bias(table)
        console.out(f"{table.path}")
        if sets:
            what = "accuracy on a set over accuracy in distribution"
            console.out(f"  {what:<50}{'networks':>9}{'slope':>7}{'rank corr.':>12}")
            for one in sets:
                left = f" ({one['left_out']} at 0 or 100 % left out)" if one["left_out"] else ""
                slope = "–" if one["slope"] is None else f"{one['slope']:.2f}"
                console.out(
                    f"    {one['set']:<48}{one['networks']:>9}{slope:>7}{_write(one['rank'], None):>12}{left}"
                )
        if biases:
            console.out(f"  {'rank correlation of shape bias with accuracy on':<50}{'networks':>9}")
            for bias in biases:
                console.out(
                    f"    {bias['set']:<48}{bias['networks']:>9}{_write(bias['rank'], bias['interval']):>26}"
                )
        record.append({"table": table.path, "sets": sets, "shape_bias": biases})
    if config.out:
        write_json(Path(config.out), {"family": list(config.family), "tables": record})
    return 0


def describe_set(one: PublishedSet) -> dict[str, Any]:
    """Line and rank correlation of a set: on the logit scale, through all its networks."""
    x, y = np.array([(point.inside, point.outside) for point in one.points]).T
    line = fit_line(x, y)
    return {
        "set": one.name,
        "networks": len(x),
        "left_out": one.left_out,
        "slope": line.slope if line else None,
        "intercept": line.intercept if line else None,
        "rank": correlate_ranks(x, y),
    }


def correlate_bias(table: PublishedTable) -> list[dict[str, Any]]:
    """Rank correlation of shape bias with accuracy on every set that the table has."""
    found = []
    for name, of in table.accuracies.items():
        both = [one for one in table.shape_bias if one in of]
        if len(both) < FEWEST:
            continue
        x, y = np.array([(table.shape_bias[one], of[one]) for one in both]).T
        rank, interval = correlate_ranks(x, y), bootstrap_ranks(x, y)
        found.append({"set": name, "networks": len(both), "rank": rank, "interval": interval})
    return found


def _write(rank: float | None, interval: Interval | None) -> str:
    if rank is None:
        return "–"
    ends = f" [{interval.low:+.2f}, {interval.high:+.2f}]" if interval else ""
    return f"{rank:+.2f}{ends}"
