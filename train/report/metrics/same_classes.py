"""Accuracy in distribution on the classes of another set, beside the accuracy on that set.

A set such as ImageNet-R has some of a head's classes: a fair drop is from the in-distribution accuracy of the
same choice among the same classes. The answers among them follow from the kept ranking, exactly.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from texneg.errors import InputError
from texneg.train.evaluate.intervals import Interval, wilson
from texneg.train.evaluate.metrics.restricted_accuracy import restrict_answers
from texneg.train.evaluate.outcomes import Answers, load_outcomes
from texneg.train.evaluate.probe import outcomes_name
from texneg.train.evaluate.sets.accuracy import Accuracy
from texneg.train.evaluate.sets.base import Record
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
from texneg.train.report.runs import Run
from texneg.train.report.sets import PROBE_ROW, Key, SetResult


@dataclass(frozen=True)
class Clean:
    """Accuracy in distribution on the classes of a set."""

    name: str
    """of the set in distribution"""
    n: int
    """its images of these classes"""
    accuracy: float


@dataclass(frozen=True)
class ArmSameClasses:
    """One arm: accuracies among the same classes, in distribution and on the set."""

    clean: Spread
    low: float
    """Wilson 95 %, over images"""
    high: float
    out: Spread
    gap: Spread
    """in distribution minus out of it, seed by seed"""
    runs: tuple[tuple[float, float], ...]
    """both accuracies of each run"""
    name: str
    """of the set in distribution"""
    n: int
    """its images of these classes"""


@dataclass(frozen=True)
class SameClasses:
    """A set beside the in-distribution test on its classes."""

    head: str
    kind: str
    name: str
    choices: int | None
    n: int
    """images of the set"""
    arms: tuple[ArmSameClasses | None, ...]
    """None where the in-distribution test has no ranking, or none of these classes"""


def collect_same_classes(tested: TestedArms) -> list[SameClasses]:
    """All sets out of distribution for which a run has the in-distribution accuracy on their classes."""
    found = []
    for key in tested.sets():
        everywhere = list(tested.everywhere(key))
        if any(one.clean or one.record.get("fitted_on") for one in everywhere):
            continue
        record = everywhere[0].record
        arms = tuple(_compare_arm(tested, number, key) for number in range(len(tested.arms)))
        found.append(SameClasses(*key, cells_of(record)[0].get("choices"), record["n"], arms))
    return [one for one in found if any(one.arms)]


def _compare_arm(tested: TestedArms, number: int, key: Key) -> ArmSameClasses | None:
    pairs: list[tuple[Clean, float]] = []
    for place, one in tested.of_arm(number, key).items():
        clean = find_clean(tested.arms[number].runs[place], tested.results[number][place], key, one)
        if clean is not None and one.value is not None:
            pairs.append((clean, one.value))
    if not pairs:
        return None
    inside, outside = [clean.accuracy for clean, _ in pairs], [value for _, value in pairs]
    mean, out = spread(inside), spread(outside)
    gap = spread([a - b for a, b in zip(inside, outside, strict=True)])
    assert mean is not None and out is not None and gap is not None
    n = pairs[0][0].n
    ends: Interval = wilson(min(mean.mean * n, n), n)
    return ArmSameClasses(
        mean, ends.low, ends.high, out, gap, tuple(zip(inside, outside, strict=True)), pairs[0][0].name, n
    )


def find_clean(run: Run, results: Mapping[Key, SetResult], key: Key, one: SetResult) -> Clean | None:
    """Find the accuracy in distribution on the classes of a set of a run.

    None where no set in distribution has its ranking on file, or none of its images is of these classes.
    """
    classes = find_classes(run, one.record, key[0])
    first = cells_of(one.record)[0]
    if classes is None or "choice_names" not in first:
        return None
    place = {name: number for number, name in enumerate(classes)}
    if not place.keys() >= set(first["choice_names"]):
        return None  # of a head that was fitted anew since
    choices = [place[name] for name in first["choice_names"]]
    groups = None
    if folders := first.get("choice_folders"):
        numbers = {name: number for number, name in enumerate(dict.fromkeys(folders))}
        groups = {choice: numbers[folder] for choice, folder in zip(choices, folders, strict=True)}
    for name, path in list_rankings(run, results, key[0], one.record):
        answers = read_answers(path)
        if answers is None or answers.ranking is None:
            continue
        if answers.ranking_right is None or answers.ranked is None:
            continue
        found = restrict_answers(answers.ranking, answers.ranking_right, answers.ranked, choices, groups)
        if len(found.right):
            right = found.right & (answers.predicted[found.places] >= 0)
            return Clean(name, len(right), float(right.mean()))
    return None


def list_rankings(
    run: Run, results: Mapping[Key, SetResult], head: str, record: Record
) -> Iterator[tuple[str, Path]]:
    """Outcomes of the sets in distribution that the same head answered, by name."""
    for (other, kind, name), one in results.items():
        if other == head and kind == Accuracy.name and one.clean and name != PROBE_ROW:
            yield name, one.outcomes[0]
    probe = run.probes.get(head)
    if probe and probe["test"] and probe.get("head") in (None, record.get("head", probe.get("head"))):
        yield PROBE_ROW, run.path / outcomes_name(head)


def find_classes(run: Run, record: Record, head: str) -> Sequence[str] | None:
    """Find the classes of the head that answered, in the order of its scores."""
    for one in (run.ood or {}).get("heads", ()):
        if one["head"] == record.get("head"):
            names: Sequence[str] = one["classes"]
            return names
    probe = run.probes.get(head)
    return probe["classes"] if probe else None


def read_answers(path: Path) -> Answers | None:
    """Read the answers of a set; None where there are none."""
    try:
        return load_outcomes(path).answers
    except InputError:
        return None


def tabulate_same_classes(tested: TestedArms, found: Sequence[SameClasses]) -> MetricTable | None:
    """Tabulate a row for each set; None without any."""
    if not found:
        return None
    rows = []
    for one in found:
        shown = next(arm for arm in one.arms if arm is not None)
        cells = [
            name_set((one.head, one.kind, one.name)),
            str(one.choices or ABSENT),
            f"{shown.n} of {shown.name}",
        ]
        for arm in one.arms:
            if arm is None:
                cells.append(ABSENT)
                continue
            ends = f"[{100 * arm.low:.1f}, {100 * arm.high:.1f}]"
            cells.append(
                f"{write_spread(arm.clean)} {ends}; {write_spread(arm.out)}; gap {write_spread(arm.gap)}"
            )
        rows.append(tuple(cells))
    return MetricTable(
        "same-classes",
        "Clean on the same classes",
        "Masked accuracy in % of the in-distribution test among the choices of each set [95 % over images],"
        " then that on the set, then the gap in points; ± sd over seeds.",
        ("set", "ways", "clean images", *(arm.label for arm in tested.arms)),
        tuple(rows),
    )
