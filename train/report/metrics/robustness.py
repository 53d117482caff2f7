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
    Line,
    bootstrap_residual,
    fit_line,
    keep_inside,
)
from texneg.train.report.metrics.base import (
    ABSENT,
    MetricTable,
    Spread,
    TestedArms,
    name_set,
    read_csv,
    spread,
)
from texneg.train.report.metrics.same_classes import SameClasses

RUNS = "the other arms"


@dataclass(frozen=True)
class Point:
    """A network of a line: shares."""

    name: str
    inside: float
    outside: float


@dataclass(frozen=True)
class ArmRobustness:
    """One arm: its distance from the line, as shares."""

    effective: Spread
    interval: Interval | None
    """95 %, over the line's points"""
    slope: float
    intercept: float
    """of the line on the logit scale"""
    points: int
    extrapolated: bool
    """accuracy in distribution outside that of the line's points"""


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


def collect_robustness(
    found: Sequence[SameClasses], lines: Mapping[str, tuple[str, Sequence[Point]]]
) -> list[Robustness]:
    """Effective robustness of all arms on the sets for which a line can be drawn.

    Args:
        found: both accuracies of every run.
        lines: points of reference tables with the table's name, by set; `read_line` reads them.
    """
    return [robust for one in found if (robust := _measure(one, lines.get(one.name)))]


def _measure(one: SameClasses, table: tuple[str, Sequence[Point]] | None) -> Robustness | None:
    arms = []
    for number, arm in enumerate(one.arms):
        others = [
            pair for place, other in enumerate(one.arms) if other and place != number for pair in other.runs
        ]
        pairs = [(point.inside, point.outside) for point in table[1]] if table else others
        arms.append(_measure_arm(pairs, arm.runs, arm.n, one.n, known=bool(table)) if arm else None)
    if not any(arms):
        return None
    name, points = table or (RUNS, ())
    return Robustness(one.head, one.kind, one.name, name, tuple(points), tuple(arms))


def _measure_arm(
    pairs: Sequence[tuple[float, float]],
    mine: Sequence[tuple[float, float]],
    n_inside: int,
    n_outside: int,
    *,
    known: bool,
) -> ArmRobustness | None:
    def bound(every: Sequence[tuple[float, float]], keep: bool) -> tuple[np.ndarray, np.ndarray]:
        sizes = (None, None) if keep else (n_inside, n_outside)
        columns = zip(*every, strict=True) if every else ((), ())
        inside, outside = (
            np.array([keep_inside(share, n) for share in column])
            for column, n in zip(columns, sizes, strict=True)
        )
        return inside, outside

    x, y = bound(pairs, known)
    line: Line | None = fit_line(x, y)
    if line is None:
        return None
    a, b = bound(mine, False)
    effective = spread((b - line.predict(a)).tolist())
    assert effective is not None
    outside_range = bool(a.min() < x.min() or a.max() > x.max())
    return ArmRobustness(
        effective, bootstrap_residual(x, y, (a, b)), line.slope, line.intercept, len(x), outside_range
    )


def read_lines(texts: Sequence[str], sets: Sequence[str]) -> dict[str, tuple[str, list[Point]]]:
    """Read reference tables: a CSV of names, accuracies in distribution, and a column for each set.

    Args:
        texts: files.
        sets: names of the sets of the report.

    Raises:
        InputError: no such file, an unknown column, or a cell that is no accuracy.
    """
    lines: dict[str, tuple[str, list[Point]]] = {}
    for path in texts:
        rows = read_csv(path, "--reference-line")
        head = [cell.strip() for cell in rows[0]] if rows else []
        known = [name for name in head[2:] if name in sets]
        if len(head) < 3 or not known:
            raise InputError(
                f"--reference-line {path}: its first line is {', '.join(head) or 'empty'}; it must be name,"
                f" in_distribution and names of sets, of {', '.join(sets) or 'none'}"
            )
        for name in known:
            lines[name] = (path, list(_read_points(path, rows[1:], head.index(name))))
    return lines


def _read_points(path: str, rows: Sequence[Sequence[str]], column: int) -> list[Point]:
    points = []
    filled = [row for row in rows if len(row) > column and row[1].strip() and row[column].strip()]
    for row in filled:
        try:
            inside, outside = float(row[1]), float(row[column])
        except ValueError as error:
            raise InputError(f"--reference-line {path}: {row[0]}: {error}; accuracies are numbers") from error
        points.append(Point(row[0].strip(), inside, outside))
    percent = any(max(point.inside, point.outside) > 1 for point in points)
    points = [Point(one.name, one.inside / 100, one.outside / 100) for one in points] if percent else points
    for point in points:
        if not (0 < point.inside < 1 and 0 < point.outside < 1):
            raise InputError(
                f"--reference-line {path}: {point.name}: accuracies must lie above 0 and below 1, or 100 %"
            )
    if len(points) < FEWEST:
        raise InputError(f"--reference-line {path}: {len(points)} networks; a line needs {FEWEST} or more")
    return points


def tabulate_robustness(tested: TestedArms, found: Sequence[Robustness]) -> MetricTable | None:
    """Tabulate a row for each set; None without any."""
    if not found:
        return None
    rows = []
    for one in found:
        cells = [name_set((one.head, one.kind, one.name)), one.line]
        cells += [_write(arm) for arm in one.arms]
        rows.append(tuple(cells))
    return MetricTable(
        "effective-robustness",
        "Effective robustness",
        "Accuracy on the set minus that of a line, in points [95 % over the line's points]. The line is"
        f" fitted to logits of accuracy in distribution and on the set, through {FEWEST} or more networks; an"
        " arm's own runs are not among them. * beyond the accuracies of the line.",
        ("set", "line through", *(arm.label for arm in tested.arms)),
        tuple(rows),
    )


def _write(arm: ArmRobustness | None) -> str:
    if arm is None:
        return ABSENT
    sd = "" if arm.effective.sd is None else f" ± {100 * arm.effective.sd:.1f}"
    ends = f" [{100 * arm.interval.low:+.1f}, {100 * arm.interval.high:+.1f}]" if arm.interval else ""
    mark = "*" if arm.extrapolated else ""
    return f"{100 * arm.effective.mean:+.1f}{mark}{sd}{ends} ({arm.points} networks)".replace("-", "−")
