"""Effective robustness of every arm on every set: its distance from the line of others.

The line goes through the runs of all other arms, or through a table that the user gives. Accuracy in
distribution is that on the set's classes, where the in-distribution test has its ranking on file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from texneg.errors import InputError
from texneg.train.evaluate.intervals import Interval
from texneg.train.evaluate.metrics.effective_robustness import (
    FEWEST,
    Shares,
    bootstrap_residual,
    fit_line,
    keep_inside,
)
from texneg.train.evaluate.sets.accuracy import Accuracy
from texneg.train.report.metrics.base import (
    ABSENT,
    MetricTable,
    Spread,
    TestedArms,
    name_set,
    spread,
)
from texneg.train.report.metrics.published_tables import Point, PublishedSet, read_published
from texneg.train.report.metrics.same_classes import SameClasses
from texneg.train.report.sets import Key

RUNS = "the other arms"


@dataclass(frozen=True)
class ArmRobustness:
    """One arm: its distance from the line, as shares."""

    effective: Spread
    interval: Interval | None
    """95 %, over the line's points and over the arm's images"""
    slope: float
    intercept: float
    """of the line on the logit scale"""
    points: int
    extrapolated: bool
    """accuracy in distribution outside that of the line's points"""
    inside: float
    outside: float
    """accuracies, means over runs"""
    scatter: float
    """standard deviation of the points about their line"""
    below: int
    """points that lie lower, each seen from the line"""


@dataclass(frozen=True)
class Robustness:
    """A set with the effective robustness of all arms."""

    head: str
    kind: str
    name: str
    line: str
    """of which networks: the other arms, or a table"""
    points: tuple[Point, ...]
    """of the table; empty for the other arms"""
    arms: tuple[ArmRobustness | None, ...]
    """None where a line has fewer than five points, or the arm was not tested"""
    refused: str = ""
    """why the table's figures are not to be compared with those of the report"""
    left_out: int = 0
    """networks of the table at 0 or 100 %"""


def collect_robustness(
    tested: TestedArms, found: Sequence[SameClasses], lines: Mapping[str, Sequence[PublishedSet]]
) -> list[Robustness]:
    """Effective robustness of all arms on the sets for which a line can be drawn.

    Args:
        tested: arms and their results.
        found: both accuracies of every run.
        lines: what tables of published networks have, by set; `read_lines` reads them.
    """
    every: list[Robustness | None] = []
    for one in found:
        tables = lines.get(one.name, ())
        every += [_measure_published(tested, one, table) for table in tables] or [_measure_others(one)]
    return [robust for robust in every if robust]


def _measure_others(one: SameClasses) -> Robustness | None:
    """Measure each arm against the runs of all others; None where no line can be drawn."""
    arms = []
    for number, arm in enumerate(one.arms):
        others = [
            pair for place, other in enumerate(one.arms) if other and place != number for pair in other.runs
        ]
        arms.append(_measure_arm(others, arm.runs, (arm.n, one.n), published=False) if arm else None)
    if not any(arms):
        return None
    return Robustness(one.head, one.kind, one.name, RUNS, (), tuple(arms))


def _measure_published(tested: TestedArms, one: SameClasses, table: PublishedSet) -> Robustness:
    """Measure each arm against published networks that chose among as many classes, on the set and in it."""
    if table.ways is not None and one.choices != table.ways:
        refused = f"{one.choices} ways here, {table.ways} in the table"
        return _describe(one, table, [None] * len(one.arms), refused)
    arms: list[ArmRobustness | None] = []
    for number, arm in enumerate(one.arms):
        runs, n = (arm.runs, arm.n) if arm else ((), 0)
        if arm and table.inside_ways not in (None, table.ways):
            runs, n = find_whole(tested, number, (one.head, one.kind, one.name), table.inside_ways)
        pairs = [(point.inside, point.outside) for point in table.points]
        arms.append(_measure_arm(pairs, runs, (n, one.n), published=True) if runs else None)
    missing = f"needs accuracy in distribution among {table.inside_ways} classes"
    return _describe(one, table, arms, "" if any(arms) else missing)


def _describe(
    one: SameClasses, table: PublishedSet, arms: Sequence[ArmRobustness | None], refused: str
) -> Robustness:
    return Robustness(
        one.head, one.kind, one.name, table.table, table.points, tuple(arms), refused, table.left_out
    )


def find_whole(
    tested: TestedArms, number: int, key: Key, ways: int | None
) -> tuple[tuple[tuple[float, float], ...], int]:
    """Accuracies of an arm's runs in distribution among this many classes, and on the set; and its images."""
    pairs, n = [], 0
    for place, one in tested.of_arm(number, key).items():
        for (head, kind, _), clean in tested.results[number][place].items():
            fits = head == key[0] and kind == Accuracy.name and clean.clean
            if fits and clean.record.get("choices") == ways and None not in (clean.value, one.value):
                pairs.append((float(clean.value or 0), float(one.value or 0)))
                n = int(clean.record["n"])
                break
    return tuple(pairs), n


def _measure_arm(
    pairs: Sequence[tuple[float, float]],
    mine: Sequence[tuple[float, float]],
    images: tuple[int, int],
    *,
    published: bool,
) -> ArmRobustness | None:
    def bound(every: Sequence[tuple[float, float]], sizes: tuple[int | None, int | None]) -> list[Shares]:
        columns = zip(*every, strict=True) if every else ((), ())
        return [
            np.array([keep_inside(share, n) for share in column])
            for column, n in zip(columns, sizes, strict=True)
        ]

    x, y = bound(pairs, (None, None) if published else images)
    line = fit_line(x, y)
    if line is None:
        return None
    a, b = bound(mine, images)
    residuals, effective = y - line.predict(x), spread((b - line.predict(a)).tolist())
    assert effective is not None
    return ArmRobustness(
        effective=effective,
        interval=bootstrap_residual(x, y, (a, b), images=images),
        slope=line.slope,
        intercept=line.intercept,
        points=len(x),
        extrapolated=bool(a.min() < x.min() or a.max() > x.max()),
        inside=float(a.mean()),
        outside=float(b.mean()),
        scatter=float(residuals.std(ddof=2)),
        below=int((residuals < effective.mean).sum()),
    )


def read_lines(
    texts: Sequence[str], sets: Sequence[str], family: Sequence[str] = ()
) -> dict[str, list[PublishedSet]]:
    """Read tables of published networks for the sets of a report, by the names of the sets.

    Args:
        texts: files, or folders of timm's files.
        sets: names of the sets of the report.
        family: patterns of the networks' names.

    Raises:
        InputError: no such table, or it has none of the sets.
    """
    if family and not texts:
        raise InputError("--family says which networks of --reference-line count; give that, too")
    known = {name.casefold(): name for name in sets}
    lines: dict[str, list[PublishedSet]] = {}
    for path in texts:
        found = read_published(path, flag="--reference-line", family=family).sets
        if not any(one.name.casefold() in known for one in found):
            raise InputError(
                f"--reference-line {path}: it has {', '.join(one.name for one in found)}, and the report"
                f" {', '.join(sets) or 'no set'}; names of sets must be equal (texneg ood --sets NAME=DIR)"
            )
        for one in found:
            if one.name.casefold() in known:
                lines.setdefault(known[one.name.casefold()], []).append(one)
    return lines


def tabulate_robustness(tested: TestedArms, found: Sequence[Robustness]) -> MetricTable | None:
    """Tabulate a row for each set; None without any."""
    if not found:
        return None
    rows = []
    for one in found:
        through = one.line + (f" ({one.left_out} at 0 or 100 % left out)" if one.left_out else "")
        cells = [name_set((one.head, one.kind, one.name)), through]
        cells += [_write(arm, one.refused) for arm in one.arms]
        rows.append(tuple(cells))
    return MetricTable(
        "effective-robustness",
        "Effective robustness",
        "Accuracy on the set minus that of a line, in points [95 %]. The line is fitted to logits of accuracy"
        f" in distribution and on the set, through {FEWEST} or more networks; an arm's own runs are not among"
        " them. The interval is over the networks of the line, and over the images that both accuracies of"
        " the arm were measured on; it says nothing of other seeds. Beside it the standard deviation of the"
        " line's networks about it, in points, and how many of them lie lower. * beyond the accuracies of the"
        " line.",
        ("set", "line through", *(arm.label for arm in tested.arms)),
        tuple(rows),
    )


def _write(arm: ArmRobustness | None, refused: str) -> str:
    if arm is None:
        return f"not comparable: {refused}" if refused else ABSENT
    sd = "" if arm.effective.sd is None else f" ± {100 * arm.effective.sd:.1f}"
    ends = f" [{100 * arm.interval.low:+.1f}, {100 * arm.interval.high:+.1f}]" if arm.interval else ""
    mark = "*" if arm.extrapolated else ""
    beside = f" (sd {100 * arm.scatter:.1f}; above {arm.below} of {arm.points} networks)"
    return f"{100 * arm.effective.mean:+.1f}{mark}{sd}{ends}{beside}".replace("-", "−")
