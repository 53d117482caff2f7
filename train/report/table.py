"""The numbers of a report: rows by arms, with the changes to each arm's baseline.

All shares lie between 0 and 1. An entry holds the mean over seeds with Wilson's interval for the images of
the set; a change holds the interval over images (seeds fixed) and over seeds (Student's t on paired seeds,
images fixed).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from texneg.errors import InputError
from texneg.train.evaluate.analyses import ANALYSES
from texneg.train.evaluate.analyses.base import Analysis
from texneg.train.evaluate.intervals import Interval, mean_sd, t_interval, wilson
from texneg.train.evaluate.sets import KINDS
from texneg.train.evaluate.sets.accuracy import Accuracy
from texneg.train.evaluate.sets.base import ArmResult, Record, SetKind, Values, align, load_outcomes
from texneg.train.report.runs import Arm, Run

MEAN_ROW = "mean of the sets"
OOD_ROW = "mean out of distribution"
PROBE_ROW = "probe test"


@dataclass(frozen=True)
class Change:
    """Difference of an arm to its baseline, over the seeds that both ran."""

    mean: float
    seeds: Mapping[str, float]
    over_seeds: Interval | None
    over_images: Interval | None = None
    mcnemar: Mapping[str, float] | None = None
    """p of each seed"""


@dataclass(frozen=True)
class Entry:
    """One arm in one row."""

    seeds: Mapping[str, float]
    mean: float
    sd: float | None
    """None with a single seed"""
    low: float | None = None
    high: float | None = None
    difference: Change | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    """further numbers of the kind of set"""
    remarks: Sequence[str] = ()
    """these in words"""

    def to_json(self) -> dict[str, Any]:
        """Plain values, the details among them."""
        plain = asdict(self)
        del plain["remarks"]
        return plain | plain.pop("details")


@dataclass(frozen=True)
class Row:
    """A test set, the mean of several, or a number of an analysis."""

    name: str
    kind: type[SetKind] | None
    entries: Sequence[Entry | None]
    """one for each arm; None where no run of the arm has the number"""
    clean: bool = False
    """the probe's own test, which stays out of the mean"""
    n: int | None = None
    classes: int | None = None
    chance: float | None = None
    left_out: Mapping[str, Any] | None = None
    parts: int = 0
    """number of cells of a set that has several"""
    unreadable: int = 0
    """number of images that could not be read"""
    bad: str = ""
    """policy for these: wrong or skip"""

    @property
    def unreadable_note(self) -> str:
        """Number and treatment of images that could not be read; empty without any."""
        done = "counted as wrong" if self.bad == "wrong" else "left out"
        return f"{self.unreadable} unreadable, {done}" if self.unreadable else ""

    def to_json(self) -> dict[str, Any]:
        """Plain values for report.json."""
        entries = [None if entry is None else entry.to_json() for entry in self.entries]
        fields = ("name", "clean", "n", "classes", "chance", "left_out", "unreadable")
        kind = "mean" if self.kind is None else self.kind.name
        return {**{name: getattr(self, name) for name in fields}, "kind": kind, "cells": entries}

    @property
    def averaged(self) -> bool:
        """An accuracy: it counts towards the mean and stands in the figure of accuracies."""
        return self.kind is None or self.kind.averaged


@dataclass(frozen=True)
class SetResult:
    """One set as one run was tested on it."""

    kind: type[SetKind]
    record: Record
    """as in ood.json"""
    value: float | None
    outcomes: tuple[Path, ...]
    """a file for each cell of the set"""
    clean: bool


def build_table(arms: Sequence[Arm]) -> list[Row]:
    """Rows in order of appearance: accuracies, their mean, then the other kinds of sets."""
    tested = [[read_sets(run) for run in arm.runs] for arm in arms]
    names = list(dict.fromkeys(name for arm in tested for run in arm for name in run))
    rows = [_set_row(arms, tested, name) for name in names]
    accuracies = [row for row in rows if row.averaged]
    others = [row for row in accuracies if not row.clean]
    name = MEAN_ROW if len(others) == len(accuracies) else OOD_ROW
    mean = [_mean_row(arms, others, name)] if len(others) > 1 else []
    return accuracies + mean + [row for row in rows if not row.averaged]


def build_analyses(arms: Sequence[Arm]) -> list[tuple[type[Analysis], list[Row]]]:
    """The analyses that a run of an arm has, and the rows of their numbers."""
    sections = []
    for analysis in ANALYSES:
        found = [
            {str(run.seed): analysis.numbers(run.analyses[analysis.name]) for run in arm.runs
             if analysis.name in run.analyses}
            for arm in arms
        ]  # fmt: skip
        names = dict.fromkeys(name for arm in found for numbers in arm.values() for name in numbers)
        values = {
            name: [{seed: one[name] for seed, one in arm.items() if name in one} for arm in found]
            for name in names
        }
        if values:
            rows = [Row(name, None, _compare(arms, by_arm)) for name, by_arm in values.items()]
            sections.append((analysis, rows))
    return sections


def read_sets(run: Run) -> dict[tuple[str, str], SetResult]:
    """The sets of a run by kind and name; the probe's test only where `ood` has not the same data."""
    kinds = {kind.name: kind for kind in KINDS}
    sets = run.ood["sets"] if run.ood else []
    test = run.probe["test"] if run.probe else None
    clean = test["data"] if test else None
    found: dict[tuple[str, str], SetResult] = {}
    if test and all(record["data"] != clean for record in sets):
        paths = (run.path / "probe-outcomes.npz",)
        record = {**test, "masked": test}
        found[Accuracy.name, PROBE_ROW] = SetResult(Accuracy, record, test["accuracy"], paths, True)
    for record in sets:
        kind = kinds.get(record["kind"])
        if kind is None:
            raise InputError(
                f"{run.path / 'ood.json'} has a set of kind {record['kind']!r}, which is none of "
                f"{', '.join(kinds)}; append its class to texneg.train.evaluate.sets.KINDS"
            )
        paths = tuple(run.path / cell["outcomes"] for cell in record.get("cells", [record]))
        name, same = record["name"], record["data"] == clean
        found[kind.name, name] = SetResult(kind, record, kind.value(record), paths, same)
    return found


def _set_row(
    arms: Sequence[Arm], tested: Sequence[Sequence[Mapping[tuple[str, str], SetResult]]], key: tuple[str, str]
) -> Row:
    everywhere = [run[key] for runs in tested for run in runs if key in run]
    if len({one.record["data"] for one in everywhere}) > 1:
        raise InputError(
            f"set {key[1]!r} is not the same images in all runs; measure it again with texneg ood"
        )
    kind, first = everywhere[0].kind, everywhere[0].record
    unreadable = {(one.record.get("unreadable", 0), one.record.get("bad", "wrong")) for one in everywhere}
    if len(unreadable) > 1 and any(count for count, _ in unreadable):
        raise InputError(
            f"set {key[1]!r} was measured with other policies for unreadable images in some runs;"
            " measure it again with the same --bad and --allow-truncated"
        )
    found: list[dict[str, SetResult]] = []
    values: list[dict[str, float]] = []
    for arm, runs in zip(arms, tested, strict=True):
        seeds = {str(seed): run[key] for seed, run in zip(arm.seeds, runs, strict=True) if key in run}
        values.append({seed: one.value for seed, one in seeds.items() if one.value is not None})
        found.append({seed: seeds[seed] for seed in values[-1]})
    entries = [
        entry and _add_images(kind, arm, entry, sets, {} if arm.baseline is None else found[arm.baseline])
        for arm, entry, sets in zip(arms, _compare(arms, values), found, strict=True)
    ]
    return Row(
        key[1],
        kind,
        entries,
        clean=any(one.clean for one in everywhere),
        parts=len(first.get("cells", ())),
        unreadable=first.get("unreadable", 0),
        bad=first.get("bad", "wrong"),
        **{name: first.get(name) for name in ("n", "classes", "chance", "left_out")},
    )


def _mean_row(arms: Sequence[Arm], rows: Sequence[Row], name: str) -> Row:
    """Mean over test sets, seed by seed, for arms whose every seed was tested on all of them."""
    values = []
    for i, arm in enumerate(arms):
        parts = [entry.seeds if (entry := row.entries[i]) else {} for row in rows]
        seeds = [seed for seed in map(str, arm.seeds) if all(seed in part for part in parts)]
        values.append({seed: fmean(part[seed] for part in parts) for seed in seeds})
    chances = [row.chance for row in rows if row.chance is not None]
    return Row(
        name, None, _compare(arms, values), chance=fmean(chances) if len(chances) == len(rows) else None
    )


def _compare(arms: Sequence[Arm], values: Sequence[Mapping[str, float]]) -> list[Entry | None]:
    """Cells of a row from the values of each arm by seed: means, and the changes over seeds."""
    entries: list[Entry | None] = []
    for arm, seeds in zip(arms, values, strict=True):
        if not seeds:
            entries.append(None)
            continue
        base = {} if arm.baseline is None else values[arm.baseline]
        changes = {seed: value - base[seed] for seed, value in seeds.items() if seed in base}
        mean, sd = mean_sd(list(seeds.values()))
        change = (
            Change(fmean(changes.values()), changes, t_interval(list(changes.values()))) if changes else None
        )
        entries.append(Entry(dict(seeds), mean, sd, difference=change))
    return entries


def _add_images(
    kind: type[SetKind],
    arm: Arm,
    entry: Entry,
    mine: Mapping[str, SetResult],
    base: Mapping[str, SetResult],
) -> Entry:
    """Add what single images say: the entry's interval, details of the kind, and the change over images."""
    records = [one.record for one in mine.values()]
    n = round(fmean(kind.deciding(record) for record in records))
    low, high = wilson(min(entry.mean * n, n), n) if n else (None, None)
    details = kind.details(records)
    remarks = kind.remarks(ArmResult(arm.look, entry.mean, details))
    change = entry.difference
    if change is not None:
        seeds = list(change.seeds)
        values = _load_values([tested[seed] for tested in (mine, base) for seed in seeds])
        if values is not None:
            found = kind.compare(values[: len(seeds)], values[len(seeds) :])
            tests = None if found.p is None else dict(zip(seeds, found.p, strict=True))
            change = replace(change, over_images=found.over_images, mcnemar=tests)
    return replace(entry, low=low, high=high, details=details, remarks=remarks, difference=change)


def _load_values(tested: Sequence[SetResult]) -> Values | None:
    """Outcomes (runs, N) of the same images, mean over a set's cells; None unless all runs have them."""
    paths = [path for one in tested for path in one.outcomes]
    if not all(path.is_file() for path in paths):
        return None
    values = align([load_outcomes(path) for path in paths])
    if values is None or len(paths) == len(tested):
        return values
    return values.reshape(len(tested), -1, values.shape[1]).mean(1)
