"""The rows of a report: test sets, means over some, and numbers of analyses, with changes to baselines."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from texneg.train.evaluate.analyses import ANALYSES
from texneg.train.evaluate.analyses.base import Analysis
from texneg.train.evaluate.intervals import Interval, mean_sd, t_interval
from texneg.train.evaluate.outcomes import align_files
from texneg.train.evaluate.sets.base import ArmResult, SetKind, Values
from texneg.train.report.rows import Change, Entry, Row
from texneg.train.report.runs import Arm
from texneg.train.report.sets import (
    FITTED,
    GROUPS,
    Key,
    SetResult,
    Tested,
    find_group,
    find_origin,
    read_tested,
    require_other_images,
    require_same_crops,
    require_same_test,
)

SPACE = ("declared", "class_names", "classes", "chance", "counted")  # of a set's record: alike where equal


def build_table(arms: Sequence[Arm], groups: Mapping[str, str] | None = None) -> list[Row]:
    """Rows head by head and group by group, in order of appearance, with the mean of what is alike.

    Args:
        arms: of the report.
        groups: of sets by name, as the user says.
    """
    tested = read_tested(arms)
    keys = list(dict.fromkeys(key for arm in tested for run in arm for key in run))
    rows = [make_set_row(arms, tested, key, groups or {}) for key in keys]
    order = [*dict.fromkeys([*GROUPS, *(row.group for row in rows)])]
    table = []
    for head in dict.fromkeys(row.head for row in rows):
        for group in order:
            found = [row for row in rows if (row.head, row.group) == (head, group)]
            table += [*found, *_mean_rows(arms, found)]
    return table


def find_headline(table: Sequence[Row]) -> Row | None:
    """Choose the row that stands for a report: the first mean of sets, else the first out of distribution."""
    accuracies = [row for row in table if row.averaged and row.group != FITTED]
    shifted = [row for row in accuracies if not row.clean]
    means = [row for row in shifted if row.kind is None]
    return next(iter([*means, *shifted, *accuracies]), None)


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
            rows = [Row(name, None, compare_arms(arms, by_arm)) for name, by_arm in values.items()]
            sections.append((analysis, rows))
    return sections


def make_set_row(arms: Sequence[Arm], tested: Tested, key: Key, groups: Mapping[str, str]) -> Row:
    """The row of a set.

    Args:
        arms: of the report.
        tested: the sets of each run of each arm.
        key: of the set.
        groups: of sets by name, as the user says.

    Raises:
        InputError: it is not the same test in all runs, or another set under a second name.
    """
    head, _, name = key
    everywhere = [run[key] for runs in tested for run in runs if key in run]
    require_same_test(name, everywhere)
    kind, first = everywhere[0].kind, everywhere[0].record
    require_other_images(key, everywhere[0], [run for runs in tested for run in runs])
    found: list[dict[str, SetResult]] = []
    values: list[dict[str, float]] = []
    for arm, runs in zip(arms, tested, strict=True):
        seeds = {str(seed): run[key] for seed, run in zip(arm.seeds, runs, strict=True) if key in run}
        values.append({seed: one.value for seed, one in seeds.items() if one.value is not None})
        found.append({seed: seeds[seed] for seed in values[-1]})
        base = () if arm.baseline is None else tested[arm.baseline]
        require_same_crops(name, [run[key] for run in (*runs, *base) if key in run])
    entries = [
        entry and _add_images(kind, arm, entry, sets, {} if arm.baseline is None else found[arm.baseline])
        for arm, entry, sets in zip(arms, compare_arms(arms, values), found, strict=True)
    ]
    clean = any(one.clean for one in everywhere)
    return Row(
        name,
        kind,
        entries,
        head=head,
        group=groups.get(name) or find_group(name, kind, first, clean=clean),
        clean=clean,
        space=repr([*(first.get(field) for field in SPACE), find_origin(first)]),
        parts=len(first.get("cells", ())),
        unreadable=first.get("unreadable", 0),
        bad=first.get("bad", "wrong"),
        **{name: first.get(name) for name in ("n", "classes", "chance", "left_out")},
    )


def _mean_rows(arms: Sequence[Arm], rows: Sequence[Row]) -> list[Row]:
    """Means over the sets of a group that have the same classes, where there are two or more."""
    alike: dict[str, list[Row]] = {}
    for row in rows:
        if row.averaged and not row.clean:
            alike.setdefault(row.space, []).append(row)
    several = [same for same in alike.values() if len(same) > 1]
    means = []
    for same in several:
        classes = f", {same[0].classes} classes" if len(several) > 1 else ""
        means.append(_mean_row(arms, same, f"{same[0].group}, mean of {len(same)} sets{classes}"))
    return means


def _mean_row(arms: Sequence[Arm], rows: Sequence[Row], name: str) -> Row:
    """Mean over test sets, seed by seed, for arms whose every seed was tested on all of them."""
    values = []
    for i, arm in enumerate(arms):
        parts = [entry.seeds if (entry := row.entries[i]) else {} for row in rows]
        seeds = [seed for seed in map(str, arm.seeds) if all(seed in part for part in parts)]
        values.append({seed: fmean(part[seed] for part in parts) for seed in seeds})
    entries = []
    for i, entry in enumerate(compare_arms(arms, values)):
        averaged = [one for row in rows if (one := row.entries[i])]
        entries.append(entry and _average(entry, averaged))
    first = rows[0]
    return Row(
        name, None, entries, head=first.head, group=first.group, classes=first.classes, chance=first.chance
    )


def _average(entry: Entry, parts: Sequence[Entry]) -> Entry:
    """Add to a mean what its sets say: the unmasked accuracy, and the interval of the change over images.

    Sets are independent: half the width of the interval is the root of the sum of squares over their number.
    """
    unmasked = [part.unmasked for part in parts if part.unmasked is not None]
    if len(unmasked) == len(parts):
        entry = replace(entry, details={"unmasked": fmean(unmasked)})
    ends = [part.difference.over_images for part in parts if part.difference and part.difference.over_images]
    if entry.difference is None or len(ends) < len(parts):
        return entry
    half = math.sqrt(sum((high - low) ** 2 for low, high in ends)) / 2 / len(ends)
    middle = fmean((low + high) / 2 for low, high in ends)
    return replace(
        entry, difference=replace(entry.difference, over_images=Interval(middle - half, middle + half))
    )


def compare_arms(arms: Sequence[Arm], values: Sequence[Mapping[str, float]]) -> list[Entry | None]:
    """Entries of a row from the values of each arm by seed: means, and the changes over seeds."""
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
    low, high = kind.interval(records, entry.mean) or (None, None)
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
    chance = records[0].get("chance")
    return replace(
        entry,
        low=low,
        high=high,
        details=details,
        remarks=remarks,
        difference=change,
        at_chance=low is not None and chance is not None and low <= chance,
    )


def _load_values(tested: Sequence[SetResult]) -> Values | None:
    """Outcomes (runs, N) of the same images, mean over a set's cells; None unless all runs have them."""
    paths = [path for one in tested for path in one.outcomes]
    values = align_files(paths)
    if values is None or len(paths) == len(tested):
        return values
    return values.reshape(len(tested), -1, values.shape[1]).mean(1)
