"""Most frequent mistakes of every set: which class was taken for which, how often, and images of that."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from texneg.datasets.storage.arrays import read_arrays
from texneg.train.report.pictures import Album, Picture, prepare
from texneg.train.report.rows import Row
from texneg.train.report.runs import Arm
from texneg.train.report.sets import SetResult, Tested
from texneg.train.report.table import compare_arms
from texneg.train.report.tables import Table

MOST = 5  # mistakes of a set
PICTURES = 4  # of a mistake
NEEDED = {"keys", "values", "predicted", "target"}
ARROW = " → "

Pair = tuple[int, int]
"""True and chosen class, by their places among the choices."""


@dataclass(frozen=True)
class Answers:
    """Wrong answers of one run on one set."""

    mistakes: Counter[Pair]
    images: Mapping[Pair, Sequence[str]]
    """names of the images of each mistake"""
    counts: Counter[int]
    """images of each true class"""


@dataclass(frozen=True)
class Confusions:
    """The most frequent mistakes of all sets, and pictures by head, set and mistake."""

    table: Table
    pictures: Mapping[tuple[str, str, str], Sequence[Picture]]


def read_confusions(arms: Sequence[Arm], tested: Tested, album: Album) -> Confusions | None:
    """The mistakes that all arms make most often; None where no answers were kept."""
    rows: list[Row] = []
    pictures: dict[tuple[str, str, str], Sequence[Picture]] = {}
    for key in dict.fromkeys(key for runs in tested for run in runs for key in run):
        results = [[run.get(key) for run in runs] for runs in tested]
        first = next(one for runs in results for one in runs if one)
        names = first.record.get("choice_names")
        if "cells" in first.record or not names:
            continue
        answers = [
            {
                str(seed): found
                for seed, one in zip(arm.seeds, runs, strict=True)
                if (found := read_answers(one))
            }
            for arm, runs in zip(arms, results, strict=True)
        ]
        every = [one for seeds in answers for one in seeds.values()]
        total = sum((one.mistakes for one in every), Counter[Pair]())
        for pair, _ in total.most_common(MOST):
            name = f"{names[pair[0]]}{ARROW}{names[pair[1]]}"
            values = [{seed: _share(one, pair) for seed, one in seeds.items()} for seeds in answers]
            n = every[0].counts[pair[0]]
            rows.append(Row(name, None, compare_arms(arms, values), head=key[0], group=key[2], n=n))
            pictures[key[0], key[2], name] = _find_pictures(arms, first, every, pair, album)
    if not rows:
        return None
    note = (
        "Share of the images of a class that are taken for another, percent, ± standard deviation over seeds;"
        " change in points. The mistakes that all runs together make most often."
    )
    table = Table("confusions", "Most confused", note, rows, first="Class taken for", judged=False)
    return Confusions(table, pictures)


def read_answers(result: SetResult | None) -> Answers | None:
    """Read the answers of a run on a set; None where its outcomes do not hold any."""
    arrays = read_arrays(result.outcomes[0]) if result else None
    if arrays is None or not arrays.keys() >= NEEDED:
        return None
    wrong = (arrays["values"] == 0) & (arrays["predicted"] >= 0) & (arrays["target"] >= 0)
    target, predicted = arrays["target"], arrays["predicted"]
    pairs = list(zip(target[wrong].tolist(), predicted[wrong].tolist(), strict=True))
    images: dict[Pair, list[str]] = {}
    for pair, key in zip(pairs, arrays["keys"][wrong].tolist(), strict=True):
        images.setdefault(pair, []).append(str(key))
    return Answers(Counter(pairs), images, Counter(target.tolist()))


def _share(answers: Answers, pair: Pair) -> float:
    return answers.mistakes[pair] / max(1, answers.counts[pair[0]])


def _find_pictures(
    arms: Sequence[Arm], first: SetResult, answers: Sequence[Answers], pair: Pair, album: Album
) -> list[Picture]:
    """Pictures of the images that most runs mistake in this way."""
    counts = Counter(key for one in answers for key in one.images.get(pair, ()))
    runs = [run for arm in arms for run in arm.runs]
    tested: Any = next((run.ood for run in runs if run.ood), None)
    prepared = prepare(tested, first.record.get("transform"))
    found = []
    for key, _ in sorted(counts.items(), key=lambda one: (-one[1], one[0])):
        picture = album.take(str(first.record.get("path", "")), key, prepared)
        if picture is not None:
            found.append(picture)
        if len(found) == PICTURES:
            break
    return found
