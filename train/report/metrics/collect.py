"""All metrics of a report, and their tables."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from texneg.train.report.metrics.base import MetricTable, read_tested_arms
from texneg.train.report.metrics.consistency import (
    Consistency,
    HumanConsistency,
    collect_consistency,
    collect_humans,
    tabulate_consistency,
    tabulate_humans,
)
from texneg.train.report.metrics.corruption import CorruptionErrors, collect_corruption, tabulate_corruption
from texneg.train.report.metrics.humans import read_humans
from texneg.train.report.metrics.ranks import SetRanks, collect_ranks, tabulate_ranks
from texneg.train.report.metrics.robustness import (
    Robustness,
    collect_robustness,
    read_lines,
    tabulate_robustness,
)
from texneg.train.report.metrics.same_classes import (
    SameClasses,
    collect_same_classes,
    tabulate_same_classes,
)
from texneg.train.report.metrics.scores import SetScores, collect_scores, tabulate_scores
from texneg.train.report.runs import Arm, Run


@dataclass(frozen=True)
class Metrics:
    """Metrics of all arms, by what they tell."""

    scores: Sequence[SetScores]
    ranks: Sequence[SetRanks]
    corruption: Sequence[CorruptionErrors]
    same_classes: Sequence[SameClasses]
    robustness: Sequence[Robustness]
    consistency: Sequence[Consistency]
    humans: Sequence[HumanConsistency]
    tables: Sequence[MetricTable]
    """the same numbers as they are printed"""

    def to_json(self) -> dict[str, Any]:
        """Plain values for report.json."""
        plain = asdict(self)
        del plain["tables"]
        return plain


def collect_metrics(
    arms: Sequence[Arm],
    *,
    reference: Run | None = None,
    lines: Sequence[str] = (),
    family: Sequence[str] = (),
    humans: Sequence[str] = (),
) -> Metrics:
    """Collect the metrics of a report.

    Args:
        arms: of the report.
        reference: run that corruption errors are relative to.
        lines: tables of networks for effective robustness, CSV files.
        family: patterns of the names of these networks.
        humans: folders with trials of people.

    Raises:
        InputError: a file or folder is of no use, or sets are not the same test in all runs.
    """
    tested = read_tested_arms(arms)
    names = list(dict.fromkeys(key[2] for arm in tested.results for run in arm for key in run))
    scores, corruption = collect_scores(tested), collect_corruption(tested, reference)
    ranks = collect_ranks(tested)
    same_classes, consistency = collect_same_classes(tested), collect_consistency(tested)
    robustness = collect_robustness(tested, same_classes, read_lines(lines, names, family))
    people = collect_humans(tested, read_humans(humans, names))
    tables = [
        tabulate_scores(tested, scores),
        tabulate_ranks(tested, ranks),
        tabulate_same_classes(tested, same_classes),
        *(tabulate_corruption(tested, one) for one in corruption),
        tabulate_robustness(tested, robustness),
        tabulate_consistency(tested, consistency),
        tabulate_humans(tested, people),
    ]
    shown = [table for table in tables if table is not None]
    return Metrics(scores, ranks, corruption, same_classes, robustness, consistency, people, shown)
