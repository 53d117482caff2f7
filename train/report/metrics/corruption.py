"""Corruption errors of every arm on every set of corruptions and severities."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import numpy.typing as npt

from texneg.errors import InputError
from texneg.train.evaluate.intervals import Interval
from texneg.train.evaluate.metrics.corruption_error import (
    FIFTEEN,
    Errors,
    average_severities,
    compare_errors,
    name_missing,
    standard_error,
)
from texneg.train.evaluate.outcomes import align_files
from texneg.train.evaluate.sets.corruptions import Corruptions
from texneg.train.report.metrics.base import (
    ABSENT,
    MetricTable,
    Spread,
    TestedArms,
    cells_of,
    name_set,
    spread,
    write_spread,
)
from texneg.train.report.metrics.corruption_reference import (
    Reference,
    Results,
    average_errors,
    describe_making,
    find_clean_error,
    find_reference,
    read_errors,
    require_one_making,
)
from texneg.train.report.runs import Run
from texneg.train.report.sets import Key, SetResult, read_sets, require_same_test

Z = 1.959964  # 95 %
NAMED = 4  # corruptions at most that a note names


@dataclass(frozen=True)
class ArmCorruption:
    """One arm on one set; shares, CE relative to the reference's 1."""

    errors: Errors
    """by corruption and severity, mean over seeds"""
    mean_error: Spread
    """over corruptions and severities, not normalised"""
    ce: Mapping[str, Spread]
    """by corruption; empty without a reference"""
    mean_ce: Spread | None
    """over the corruptions that count: mCE if these are the fifteen"""
    interval: Interval | None
    """95 % of the mean of CE, over images"""
    relative_ce: Mapping[str, Spread]
    """by corruption, where the error on clean images is known"""
    mean_relative_ce: Spread | None
    clean: str | None
    """of which images the clean error is"""


@dataclass(frozen=True)
class CorruptionErrors:
    """A set of corruptions and severities, with the errors of all arms."""

    head: str
    kind: str
    name: str
    making: str
    """published files; on the fly with JPEG 85; on the fly without JPEG"""
    n: int
    choices: int | None
    severities: tuple[int, ...]
    reference: str | None
    """name of what CE is relative to"""
    counted: tuple[str, ...]
    """corruptions in the mean of CE: of the fifteen, or all of a set that has none of these"""
    lacking: tuple[str, ...]
    """corruptions of the fifteen that CE is not known of; mCE needs all"""
    arms: tuple[ArmCorruption | None, ...]

    @property
    def mean_name(self) -> str:
        """Name of the mean of CE."""
        return f"mean CE of {len(self.counted)} corruptions" if self.lacking else "mCE"


def collect_corruption(tested: TestedArms, reference: Run | None = None) -> list[CorruptionErrors]:
    """Corruption errors on all sets of corruptions.

    Args:
        tested: arms and their results.
        reference: run that CE is relative to; None: AlexNet where it applies, else the baseline.

    Raises:
        InputError: the reference lacks all sets, or was tested otherwise; a set mixes kinds of images.
    """
    keys = [key for key in tested.sets() if key[1] == Corruptions.name]
    given = None if reference is None else (reference, read_sets(reference))
    if given and not any(key in given[1] for key in keys):
        sets = ", ".join(name_set(key) for key in keys) or "a set of corruptions, which no run has"
        raise InputError(
            f"--reference {given[0].path}: it was not tested on {sets}; measure one with texneg ood --corrupt"
        )
    return [_collect_set(tested, key, given) for key in keys]


def _collect_set(tested: TestedArms, key: Key, given: tuple[Run, Results] | None) -> CorruptionErrors:
    everywhere = list(tested.everywhere(key))
    if given and key in given[1]:
        everywhere.append(given[1][key])
    require_same_test(key[2], everywhere)
    require_one_making(key[2], [one.record for one in everywhere])
    first = everywhere[0].record
    cell = cells_of(first)[0]
    references = [find_reference(tested, key, number, given) for number in range(len(tested.arms))]
    arms = [_measure_arm(tested, key, number, references[number]) for number in range(len(tested.arms))]
    pairs = zip(references, arms, strict=True)
    used = list(dict.fromkeys(one.name for one, arm in pairs if one and arm and arm.ce))
    return CorruptionErrors(
        *key,
        making=describe_making(cell),
        n=first["n"],
        choices=cell.get("choices"),
        severities=tuple(sorted({one["options"]["severity"] for one in cells_of(first)})),
        reference=" / ".join(used) or None,
        counted=choose_counted({name for arm in arms if arm for name in arm.ce}),
        lacking=name_missing([name for arm in arms if arm for name in arm.ce]),
        arms=tuple(arms),
    )


def choose_counted(names: Collection[str]) -> tuple[str, ...]:
    """Choose the corruptions that count in a mean: those of the fifteen, or all where none is of them."""
    return tuple(name for name in FIFTEEN if name in names) or tuple(sorted(names))


def _measure_arm(
    tested: TestedArms, key: Key, number: int, reference: Reference | None
) -> ArmCorruption | None:
    mine = tested.of_arm(number, key)
    if not mine:
        return None
    every = [read_errors(one.record) for one in mine.values()]
    means = [average_severities(errors) for errors in every]
    mean_error = spread([fmean(one.values()) for one in means])
    assert mean_error is not None
    if reference is None:
        return ArmCorruption(average_errors(every), mean_error, {}, None, None, {}, None, None)
    runs, results = tested.arms[number].runs, tested.results[number]
    clean = [find_clean_error(runs[place], results[place], key) for place in mine]
    found = [
        compare_errors(errors, reference.errors, clean=known and known[0], reference_clean=reference.clean)
        for errors, known in zip(means, clean, strict=True)
    ]
    ce = {name: spread([one.by_corruption[name] for one in found]) for name in found[0].by_corruption}
    relative = {
        name: spread([(one.relative or {}).get(name) for one in found]) for name in found[0].relative or ()
    }
    counted = choose_counted(ce.keys())
    whole = counted and all(one.relative and None not in one.relative.values() for one in found)
    return ArmCorruption(
        errors=average_errors(every),
        mean_error=mean_error,
        ce={name: value for name, value in ce.items() if value},
        mean_ce=spread([fmean(one.by_corruption[name] for name in counted) for one in found if counted]),
        interval=find_interval(list(mine.values()), reference, counted),
        relative_ce={name: value for name, value in relative.items() if value},
        mean_relative_ce=spread(
            [fmean(float((one.relative or {})[name] or 0) for name in counted) for one in found if whole]
        ),
        clean=clean[0][1] if clean[0] else None,
    )


def find_interval(mine: Sequence[SetResult], reference: Reference, names: Sequence[str]) -> Interval | None:
    """Find the 95 % interval over images of the mean of CE over corruptions.

    None without the outcomes of all cells on the same images.
    """
    wrong = read_mistakes(mine, names)
    theirs: Mapping[str, npt.NDArray[np.float64] | float] | None = reference.errors
    if reference.results:
        theirs = read_mistakes([*mine, *reference.results], names, first=len(mine))
    if wrong is None or theirs is None or not names:
        return None
    middle = fmean(float(np.mean(wrong[name])) / float(np.mean(theirs[name])) for name in names)
    half = Z * standard_error({name: wrong[name] for name in names}, theirs)
    return Interval(middle - half, middle + half) if math.isfinite(half) else None


def read_mistakes(
    results: Sequence[SetResult], names: Sequence[str], *, first: int = 0
) -> dict[str, npt.NDArray[np.float64]] | None:
    """Read the errors (n,) of each image under each corruption, mean over severities and runs.

    Runs before `first` only have to show the same images. None unless all cells do, with their outcomes
    on file.
    """
    paths: list[Path] = []
    owners: list[str] = []
    for number, one in enumerate(results):
        for path, cell in zip(one.outcomes, cells_of(one.record), strict=True):
            paths.append(path)
            owners.append(cell["options"]["corruption"] if number >= first else "")
    values = align_files(paths)
    if values is None:
        return None
    of = np.array(owners)
    return {name: 1 - values[of == name].astype(np.float64).mean(0) for name in names}


def tabulate_corruption(tested: TestedArms, one: CorruptionErrors) -> MetricTable:
    """Tabulate the means, then a row for each corruption."""
    label = one.mean_name if one.reference else "mean error"
    rows = [(label, *(_write_means(arm) for arm in one.arms))]
    clean = next((arm.clean for arm in one.arms if arm and arm.clean and arm.mean_relative_ce), None)
    if clean:
        relative = (write_spread(arm.mean_relative_ce) if arm else ABSENT for arm in one.arms)
        rows.append((f"relative {one.mean_name}", *relative))
    for name in dict.fromkeys(name for arm in one.arms if arm for name in arm.errors):
        rows.append((name.replace("_", " "), *(_write_one(arm, name) for arm in one.arms)))
    severities = ", ".join(map(str, one.severities))
    note = f"{one.making}; {one.n} images, {one.choices or '?'}-way, severities {severities}."
    if one.reference:
        note += (
            f" CE, relative to {one.reference} = 100, lower is better [95 % over images]; in brackets the"
            " top-1 error in %, mean over severities; ± sd over seeds."
        )
    else:
        note += " Top-1 error in %, mean over severities; ± sd over seeds. CE needs a --reference RUN."
    if clean:
        note += f" Relative CE: errors above the clean error, of {clean}."
    if one.reference and 0 < len(one.lacking) < len(FIFTEEN):
        names = ", ".join(name.replace("_", " ") for name in one.lacking)
        many = f"{len(one.lacking)} of the fifteen corruptions"
        note += f" Not in the mean: {names if len(one.lacking) <= NAMED else many}."
    slug = "-".join(filter(None, (one.head, one.name)))
    heading = f"Corruption error: {name_set((one.head, one.kind, one.name))}"
    columns = ("", *(arm.label for arm in tested.arms))
    return MetricTable(f"corruption-{slug}", heading, note, columns, tuple(rows))


def _write_means(arm: ArmCorruption | None) -> str:
    if arm is None:
        return ABSENT
    error = write_spread(arm.mean_error)
    if arm.mean_ce is None:
        return error
    ends = f" [{100 * arm.interval.low:.1f}, {100 * arm.interval.high:.1f}]" if arm.interval else ""
    return f"{write_spread(arm.mean_ce)}{ends} ({error})"


def _write_one(arm: ArmCorruption | None, name: str) -> str:
    if arm is None or name not in arm.errors:
        return ABSENT
    error = f"{100 * fmean(arm.errors[name].values()):.1f}"
    return f"{write_spread(arm.ce.get(name))} ({error})" if arm.ce else error
