"""Error consistency between arms, and between arms and people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import fmean

import numpy as np
import numpy.typing as npt

from texneg.errors import InputError
from texneg.train.evaluate.intervals import Interval
from texneg.train.evaluate.metrics.error_consistency import bootstrap_kappa, kappa, pairwise_kappa
from texneg.train.evaluate.outcomes import align_files, load_outcomes
from texneg.train.evaluate.sets.accuracy import Accuracy
from texneg.train.evaluate.sets.corruptions import Corruptions
from texneg.train.evaluate.sets.shape_bias import ShapeBias
from texneg.train.report.metrics.base import (
    ABSENT,
    MetricTable,
    Spread,
    TestedArms,
    name_set,
    spread,
    write_spread,
)
from texneg.train.report.metrics.humans import HumanShapeBias, Trial, Trials, measure_human_bias, shorten
from texneg.train.report.sets import Key, SetResult

Right = npt.NDArray[np.bool_]
People = Mapping[str, Mapping[str, Mapping[str, Trial]]]


@dataclass(frozen=True)
class Consistency:
    """Error consistency between the arms on a set: kappa, mean over pairs of runs."""

    head: str
    kind: str
    name: str
    n: int
    kappa: tuple[tuple[float | None, ...], ...]
    """(arms, arms); on the diagonal pairs of seeds of one arm, None with one seed; None where not tested"""
    to_baseline: tuple[Interval | None, ...]
    """95 % of each arm's kappa with its baseline, over images"""


@dataclass(frozen=True)
class HumanConsistency:
    """Error consistency of the arms with people on a set, mean over people, then over conditions."""

    head: str
    kind: str
    name: str
    people: int
    n: int
    """images of the set that people saw"""
    between_people: float | None
    """mean over pairs of people: the ceiling; None with one person"""
    arms: tuple[Spread | None, ...]
    intervals: tuple[Interval | None, ...]
    """95 % over images, where all people saw the same images in one condition"""
    shape_bias: HumanShapeBias | None
    """of a cue-conflict set"""


def collect_consistency(tested: TestedArms) -> list[Consistency]:
    """Error consistency on all sets that two arms, or two runs of an arm, answered."""
    found = [_collect_set(tested, key) for key in _answered(tested)]
    return [one for one in found if one and any(value is not None for row in one.kappa for value in row)]


def _answered(tested: TestedArms) -> list[Key]:
    """Sets with right and wrong answers; for a cue-conflict set the shape's category is right."""
    keys = dict.fromkeys(key for arm in tested.results for run in arm for key in run)
    return [key for key in keys if key[1] in (Accuracy.name, Corruptions.name, ShapeBias.name)]


def _collect_set(tested: TestedArms, key: Key) -> Consistency | None:
    arms = [list(tested.of_arm(number, key).values()) for number in range(len(tested.arms))]
    every = [one for arm in arms for one in arm]
    right = read_right(every)
    if right is None:
        return None
    first = np.cumsum([0, *map(len, arms)])
    owned = [range(a, b) for a, b in pairwise(first.tolist())]
    pairs = np.mean([pairwise_kappa(cell, cell) for cell in right], 0)
    matrix = [[_mean_pairs(pairs, a, b) for b in owned] for a in owned]
    intervals = [
        bootstrap_kappa(right[0][list(owned[number])], right[0][list(owned[arm.baseline])])
        if arm.baseline is not None and len(right) == 1 and owned[number] and owned[arm.baseline]
        else None
        for number, arm in enumerate(tested.arms)
    ]
    return Consistency(*key, right[0].shape[1], tuple(map(tuple, matrix)), tuple(intervals))


def _mean_pairs(pairs: npt.NDArray[np.float64], a: Sequence[int], b: Sequence[int]) -> float | None:
    """Mean over pairs of runs; of one arm over pairs of different runs."""
    found = [pairs[i, j] for i in a for j in b if a is not b or i < j]
    return float(np.mean(found)) if found else None


def read_right(results: Sequence[SetResult]) -> list[Right] | None:
    """Read right and wrong (runs, N), cell by cell; None unless all runs have the same images on file."""
    paths = [one.outcomes for one in results]
    if not paths or len({len(of) for of in paths}) > 1:
        return None
    cells = []
    for same in zip(*paths, strict=True):
        values = align_files(same)
        if values is None:
            return None
        cells.append(values == 1)
    return cells


def collect_humans(tested: TestedArms, humans: Mapping[str, Trials]) -> list[HumanConsistency]:
    """Error consistency with people on the sets of which there are trials.

    Raises:
        InputError: an image of a set was shown in several conditions, or people saw no image of any set.
    """
    found = []
    for key in _answered(tested):
        if key[2] in humans and key[1] != Corruptions.name:
            one = _compare_with_people(tested, key, humans[key[2]])
            if one is not None:
                found.append(one)
    if humans and not found:
        raise InputError(
            f"--human: people saw no image of {', '.join(humans)}; images are matched by their names"
        )
    return found


def _compare_with_people(tested: TestedArms, key: Key, trials: Trials) -> HumanConsistency | None:
    arms: list[Spread | None] = []
    intervals: list[Interval | None] = []
    people: People = {}
    images: set[str] = set()
    for number in range(len(tested.arms)):
        runs = []
        for one in tested.of_arm(number, key).values():
            if one.outcomes[0].is_file():
                outcomes = load_outcomes(one.outcomes[0])
                names = [shorten(str(name)) for name in outcomes.keys]
                runs.append(dict(zip(names, (outcomes.values == 1).tolist(), strict=True)))
        if runs and not people:
            people = trials.restrict(list(runs[0]), key[2])
            images = {image for of in people.values() for by_image in of.values() for image in by_image}
        values = [value for run in runs if (value := compare_with_people(run, people)) is not None]
        arms.append(spread(values))
        intervals.append(_find_interval(runs, people) if runs else None)
    if not images:
        return None
    subjects = {subject for of in people.values() for subject in of}
    return HumanConsistency(
        *key,
        people=len(subjects),
        n=len(images),
        between_people=compare_people(people),
        arms=tuple(arms),
        intervals=tuple(intervals),
        shape_bias=measure_human_bias(people) if key[1] == ShapeBias.name else None,
    )


def is_right(trial: Trial) -> bool:
    """Return True for the right answer of a person."""
    return trial.response == trial.category


def compare_with_people(run: Mapping[str, bool], people: People) -> float | None:
    """Error consistency of a run with people, mean over them, then over conditions; None without an image."""
    means = []
    for by_subject in people.values():
        found = []
        for trials in by_subject.values():
            shared = [image for image in trials if image in run]
            if shared:
                theirs = np.array([is_right(trials[image]) for image in shared])
                found.append(kappa(np.array([run[image] for image in shared]), theirs))
        if found:
            means.append(fmean(found))
    return fmean(means) if means else None


def compare_people(people: People) -> float | None:
    """Error consistency of people, mean over pairs, then over conditions; None without a pair."""
    means = []
    for by_subject in people.values():
        found = []
        for one, other in combinations(by_subject.values(), 2):
            shared = [image for image in one if image in other]
            if shared:
                a, b = (np.array([is_right(of[image]) for image in shared]) for of in (one, other))
                found.append(kappa(a, b))
        if found:
            means.append(fmean(found))
    return fmean(means) if means else None


def _find_interval(runs: Sequence[Mapping[str, bool]], people: People) -> Interval | None:
    if len(people) != 1:
        return None
    (by_subject,) = people.values()
    images = [set(trials) for trials in by_subject.values()]
    if any(of != images[0] for of in images) or any(not images[0] <= run.keys() for run in runs):
        return None
    order = sorted(images[0])
    mine = np.array([[run[image] for image in order] for run in runs])
    theirs = np.array([[is_right(trials[image]) for image in order] for trials in by_subject.values()])
    return bootstrap_kappa(mine, theirs)


def tabulate_consistency(tested: TestedArms, found: Sequence[Consistency]) -> MetricTable | None:
    """Tabulate a row for each set and arm; None without any."""
    rows = []
    labels = [arm.label for arm in tested.arms]
    for one in found:
        for number, label in enumerate(labels):
            if any(value is not None for value in one.kappa[number]):
                values = [_write_kappa(value) for value in one.kappa[number]]
                rows.append((name_set((one.head, one.kind, one.name)), label, *values))
    if not rows:
        return None
    return MetricTable(
        "error-consistency",
        "Error consistency",
        "Cohen's kappa of right and wrong on the same images, mean over pairs of runs: 0 for independent"
        " errors, 1 for the same ones. An arm with itself: pairs of seeds. Cue conflict: the shape is right.",
        ("set", "arm", *labels),
        tuple(rows),
    )


def _write_kappa(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.2f}".replace("-", "−")


def tabulate_humans(tested: TestedArms, found: Sequence[HumanConsistency]) -> MetricTable | None:
    """Tabulate consistency with people, and their range of shape bias; None without any."""
    if not found:
        return None
    rows = []
    for one in found:
        ceiling = _write_kappa(one.between_people)
        bias = one.shape_bias
        ranged = ABSENT
        if bias:
            mean = 100 * fmean(bias.subjects.values())
            ranged = f"{100 * bias.low:.1f} to {100 * bias.high:.1f}, mean {mean:.1f}"
        cells = [name_set((one.head, one.kind, one.name)), str(one.n), str(one.people), ceiling, ranged]
        for arm, ends in zip(one.arms, one.intervals, strict=True):
            shown = f" [{ends.low:.2f}, {ends.high:.2f}]" if ends else ""
            cells.append(write_spread(arm, scale=1, digits=2) + shown.replace("-", "−"))
        rows.append(tuple(cells))
    return MetricTable(
        "humans",
        "Beside people",
        "Error consistency with people: kappa, mean over people, then over conditions [95 % over images];"
        " that between people; the range of their shape bias in % on the same images. People chose among"
        " 16 categories.",
        (
            "set",
            "images",
            "people",
            "between people",
            "their shape bias",
            *(arm.label for arm in tested.arms),
        ),
        tuple(rows),
    )
