"""The sets that runs were tested on, as a report reads them, and the groups they belong to.

Only sets of one group with the same classes are averaged: a mean over unlike things says nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from texneg.datasets.catalogue.catalogue import find_group as find_known_group
from texneg.datasets.catalogue.known import CORRUPTIONS, CUES, OUT, RENDITIONS
from texneg.errors import InputError
from texneg.train.evaluate.probe import is_split_of
from texneg.train.evaluate.sets import KINDS
from texneg.train.evaluate.sets.accuracy import Accuracy
from texneg.train.evaluate.sets.base import Record, SetKind
from texneg.train.evaluate.sets.corruptions import Corruptions, name_origin
from texneg.train.report.runs import Arm, Run

PROBE_ROW = "probe test"
FITTED = "images that the head was fitted on"
CLEAN = "in distribution"
SUBSETS = "subsets of the classes"
GROUPS = (FITTED, CLEAN, OUT, RENDITIONS, CUES, SUBSETS, CORRUPTIONS)

Key = tuple[str, str, str]
"""Head, kind and name of a set."""


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


def read_sets(run: Run) -> dict[Key, SetResult]:
    """The sets of a run by head, kind and name; a probe's test only where `ood` has not the same images."""
    kinds = {kind.name: kind for kind in KINDS}
    sets = run.ood["sets"] if run.ood else []
    found: dict[Key, SetResult] = {}
    clean: dict[str, str] = {}
    for head, probe in run.probes.items():
        test = probe["test"]
        if not test:
            continue
        told = test.get("in_distribution", is_split_of(**find_paths(probe)))
        if told:
            clean[head] = test["data"]
        if all(record["data"] != test["data"] or record.get("head_name", "") != head for record in sets):
            name = f"probe-{head}-outcomes.npz" if head else "probe-outcomes.npz"
            record = {"masked": test, "transform": probe.get("transform"), **test}
            found[head, Accuracy.name, PROBE_ROW] = SetResult(
                Accuracy, record, record["masked"]["accuracy"], (run.path / name,), told
            )
    for record in sets:
        kind = kinds.get(record["kind"])
        if kind is None:
            raise InputError(
                f"{run.path / 'ood.json'} has a set of kind {record['kind']!r}, which is none of "
                f"{', '.join(kinds)}; append its class to texneg.train.evaluate.sets.KINDS"
            )
        paths = tuple(run.path / cell["outcomes"] for cell in record.get("cells", [record]))
        name, head = record["name"], record.get("head_name", "")
        same = bool(record.get("in_distribution")) or record["data"] == clean.get(head)
        found[head, kind.name, name] = SetResult(kind, record, kind.value(record), paths, same)
    return found


Tested = Sequence[Sequence[Mapping[Key, SetResult]]]
"""The sets of each run of each arm."""


def read_tested(arms: Sequence[Arm]) -> Tested:
    """The sets of all runs."""
    return [[read_sets(run) for run in arm.runs] for arm in arms]


def find_paths(probe: Mapping[str, Any]) -> dict[str, Any]:
    """Training and test images of a probe, as they were given."""
    given = probe.get("config", {})
    return {"data": given.get("data", ""), "test": given.get("test")}


def require_same_test(name: str, everywhere: Sequence[SetResult]) -> None:
    """Refuse a set that is not the same test in all runs; raises `InputError`."""
    if len({one.record["data"] for one in everywhere}) > 1:
        raise InputError(f"set {name!r} is not the same images in all runs; measure it again with texneg ood")
    unreadable = {(one.record.get("unreadable", 0), one.record.get("bad", "wrong")) for one in everywhere}
    if len(unreadable) > 1 and any(count for count, _ in unreadable):
        raise InputError(
            f"set {name!r} was measured with other policies for unreadable images in some runs;"
            " measure it again with the same --bad and --allow-truncated"
        )
    spaces = {(one.record.get("declared"), one.record.get("classes")) for one in everywhere}
    origins = {find_origin(one.record) for one in everywhere}
    _require_one_way(name, "classes", spaces)
    _require_one_way(name, "corruptions", origins)


def require_same_crops(name: str, compared: Sequence[SetResult]) -> None:
    """Refuse a set whose images some runs of an arm or its baseline saw cut otherwise, or at another size.

    Encoders that were trained apart have preprocessings, and image sizes, of their own.

    Raises:
        InputError: naming the ways that there are.
    """
    cuts = {one.record.get("transform", "those of an earlier version") for one in compared}
    _require_one_way(name, "crops", cuts)
    _require_one_way(name, "constants of corruptions", {one.record.get("constants") for one in compared})


def _require_one_way(name: str, what: str, ways: Collection[object]) -> None:
    if len(ways) > 1:
        raise InputError(
            f"set {name!r} was measured with other {what} in some runs"
            f" ({'; '.join(sorted(map(str, ways)))}); measure it again in the same way"
        )


def find_origin(record: Record) -> str:
    """Find where the images of a corrupted set came from; empty for any other set.

    Accuracies on published files and on images corrupted in memory differ by points, and so by JPEG quality.
    """
    return name_origin(record) if record.get("files") or "jpeg_quality" in record else ""


def find_group(name: str, kind: type[SetKind], record: Record, *, clean: bool) -> str:
    """Find the group of a set that the user has put in none."""
    if record.get("fitted_on"):
        return FITTED
    if not kind.averaged:
        return CUES
    if clean:
        return CLEAN
    if kind is Corruptions or "cells" in record:
        return CORRUPTIONS
    if group := find_known_group(name, record.get("declared")):
        return group
    return SUBSETS if record.get("choices", 0) < record.get("head_classes", 0) else OUT


def require_other_images(key: Key, one: SetResult, runs: Sequence[Mapping[Key, SetResult]]) -> None:
    """Refuse a set whose images another one of the same head has, too; raises `InputError`."""
    same = {name: one.record.get(name) for name in ("data", "declared", "transform")}
    for other, result in (pair for run in runs for pair in run.items()):
        known = {name: result.record.get(name) for name in same}
        if other[:2] == key[:2] and other[2] < key[2] and known == same:
            raise InputError(
                f"sets {other[2]!r} and {key[2]!r} are the same images; take one out of its run with"
                " texneg ood --remove, and measure it under the name of the other"
            )
