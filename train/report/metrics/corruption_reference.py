"""References of corruption errors, and how the images of a set came to be.

CE is against AlexNet's published errors where a head of 1,000 classes answers among all of them, on the
published files or on images that were made as they were (constants for 224 px, JPEG 85), at all five
severities; otherwise, or if the user says so, against a run. Published files, images made on the fly with
JPEG and without it are never mixed.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from texneg.errors import InputError
from texneg.train.evaluate.metrics.corruption_error import (
    ALEXNET,
    ALEXNET_CLEAN,
    Errors,
    average_severities,
)
from texneg.train.evaluate.sets.accuracy import Accuracy
from texneg.train.evaluate.sets.base import Record
from texneg.train.report.metrics.base import TestedArms, cells_of
from texneg.train.report.metrics.same_classes import find_clean
from texneg.train.report.runs import Run
from texneg.train.report.sets import Key, SetResult

ALEXNET_CLASSES, SEVERITIES, JPEG = 1000, 5, 85
FILES = "published files"

Results = Mapping[Key, SetResult]


class Reference(NamedTuple):
    """Errors that CE is relative to."""

    name: str
    errors: Mapping[str, float]
    """by corruption, mean over severities"""
    clean: float | None
    results: Sequence[SetResult] = ()
    """of its runs; empty for AlexNet"""


def describe_making(record: Record) -> str:
    """Describe how the images of a cell came to be: what must not be mixed."""
    options = record.get("options", {})
    if "jpeg_quality" not in options:
        return FILES
    quality = options["jpeg_quality"]
    return f"on the fly, JPEG {quality}" if quality else "on the fly, no JPEG"


def require_one_making(name: str, records: Sequence[Record]) -> None:
    """Refuse a set whose images were made in several ways; raises `InputError`."""
    ways = {describe_making(cell) for record in records for cell in cells_of(record)}
    if len(ways) > 1:
        raise InputError(
            f"set {name!r} holds images of several kinds ({'; '.join(sorted(ways))}), which are not to be"
            " mixed; measure it again in one way, or under two names"
        )


def find_reference(
    tested: TestedArms, key: Key, number: int, given: tuple[Run, Results] | None
) -> Reference | None:
    """Find what the errors of an arm on a set are relative to; None where there is nothing.

    Args:
        tested: arms and their results.
        key: of the set.
        number: place of the arm.
        given: run that the user names, with its results.
    """
    if given:
        run, results = given
        return _make_reference(run.path.name, key, [(run, results)]) if key in results else None
    arm, mine = tested.arms[number], tested.of_arm(number, key)
    record = next(iter(mine.values())).record if mine else None
    if record and is_like_alexnet(record):
        own_frost = bool(record.get("own_frost"))
        errors = {name: error for name, error in ALEXNET.items() if not (own_frost and name == "frost")}
        return Reference("AlexNet (published)", errors, ALEXNET_CLEAN)
    base = number if arm.baseline is None else arm.baseline
    if not any(other.baseline == base for other in tested.arms):
        return None
    runs = zip(tested.arms[base].runs, tested.results[base], strict=True)
    measured = [(run, results) for run, results in runs if key in results]
    return _make_reference(tested.arms[base].label, key, measured) if measured else None


def _make_reference(name: str, key: Key, runs: Sequence[tuple[Run, Results]]) -> Reference:
    errors = average_severities(average_errors([read_errors(results[key].record) for _, results in runs]))
    clean = [found[0] for run, results in runs if (found := find_clean_error(run, results, key))]
    known = fmean(clean) if len(clean) == len(runs) else None
    return Reference(name, errors, known, [results[key] for _, results in runs])


def is_like_alexnet(record: Record) -> bool:
    """Return True for a set like that of AlexNet's errors: 1,000 ways, images made alike, five severities."""
    cell = cells_of(record)[0]
    making = describe_making(cell)
    like_files = (
        making == f"on the fly, JPEG {JPEG}"
        and cell.get("constants") == "imagenet-c"
        and bool(cell.get("published_size"))
    )
    errors = read_errors(record)
    whole = all(len(by_severity) == SEVERITIES for by_severity in errors.values())
    ways = {cell.get("choices"), cell.get("head_classes")}
    known = not ALEXNET.keys().isdisjoint(errors)
    return (making == FILES or like_files) and known and whole and ways == {ALEXNET_CLASSES}


def read_errors(record: Record) -> dict[str, dict[int, float]]:
    """Read the top-1 errors of a set's cells by corruption and severity."""
    errors: dict[str, dict[int, float]] = {}
    for cell in cells_of(record):
        options = cell["options"]
        by_severity = errors.setdefault(options["corruption"], {})
        by_severity[int(options["severity"])] = 1 - cell["masked"]["accuracy"]
    return errors


def average_errors(every: Sequence[Errors]) -> dict[str, dict[int, float]]:
    """Mean over runs of the same cells."""
    return {
        name: {severity: fmean(one[name][severity] for one in every) for severity in by_severity}
        for name, by_severity in every[0].items()
    }


def find_clean_error(run: Run, results: Results, key: Key) -> tuple[float, str] | None:
    """Find the error on the same images without corruption, else in distribution on the same classes."""
    one = results[key]
    cell = cells_of(one.record)[0]
    for (head, kind, name), other in results.items():
        same = all(other.record.get(field) == cell.get(field) for field in ("data", "declared", "choices"))
        if head == key[0] and kind == Accuracy.name and same and other.value is not None:
            return 1 - other.value, f"the same images ({name})"
    found = find_clean(run, results, key, one)
    return None if found is None else (1 - found.accuracy, f"{found.name}, the same classes")
