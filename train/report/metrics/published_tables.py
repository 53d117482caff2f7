"""Accuracies of published networks, from the user's copy of a table; texneg ships none.

Three formats are known, each by its first line:

    results-*.csv of timm       model,top1,top1_err,top5,...; accuracy in distribution is in another file
                                of the same folder
    benchmark.csv               of Gavrikov and Keuper (CVPR 2024): model,top1_acc/imagenet,top1_acc/SET,...,
                                shape-bias, ...
    a table of one's own        name,in_distribution,SET,...

A name of a set is that of texneg's catalogue where it has the set.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import fmean
from typing import Any

from texneg.datasets.catalogue.catalogue import find_known
from texneg.datasets.storage.json_files import read_json
from texneg.errors import InputError
from texneg.train.evaluate.metrics.effective_robustness import FEWEST
from texneg.train.report.metrics.base import read_csv

CLASSES = 1000
FEW_CLASSES = {"imagenet-a": 200, "imagenet-r": 200}
TIMM = {  # file: set, and the file with the accuracy in distribution of the same classes
    "results-imagenetv2-matched-frequency.csv": ("imagenet-v2", "results-imagenet.csv"),
    "results-sketch.csv": ("imagenet-sketch", "results-imagenet.csv"),
    "results-imagenet-r.csv": ("imagenet-r", "results-imagenet-r-clean.csv"),
    "results-imagenet-a.csv": ("imagenet-a", "results-imagenet-a-clean.csv"),
}
ACCURACY, SHAPE_BIAS = "top1_acc/", "shape-bias"
RENAMED = {"imagenet-cbar": "imagenet-c-bar", "imagenet-c": "imagenet-c of 19 corruptions"}
FIFTEEN = find_known("imagenet-c")
_CELL = re.compile(r".*_[1-5]$")


@dataclass(frozen=True)
class Point:
    """A network of a line: shares."""

    name: str
    inside: float
    outside: float


@dataclass(frozen=True)
class PublishedSet:
    """Accuracies of published networks on a set."""

    name: str
    table: str
    """its file"""
    points: tuple[Point, ...]
    left_out: int = 0
    """networks at 0 or 100 %, which have no logit"""
    ways: int | None = None
    """number of choices on the set; None where the table does not say"""
    inside_ways: int | None = None
    """the same of accuracy in distribution"""


@dataclass(frozen=True)
class PublishedTable:
    """A file, or a folder of timm's files."""

    path: str
    sets: tuple[PublishedSet, ...]
    shape_bias: Mapping[str, float]
    """by network; empty where the table has none"""
    accuracies: Mapping[str, Mapping[str, float]]
    """of what stands beside shape bias, by set and network: shares"""


def read_published(path: str, *, flag: str, family: Sequence[str] = ()) -> PublishedTable:
    """Read a table of published networks.

    Args:
        path: a CSV file, or a folder of timm's files.
        flag: that names it, for messages.
        family: patterns of names, as in *resnet50*, or JSON files that list names; empty for all networks.

    Raises:
        InputError: it is no such table, or fewer than five of its networks are left.
    """
    given = f"{flag} {path}"
    if Path(path).is_dir():
        parts = [_read_file(str(one), given) for one in sorted(Path(path).iterdir()) if one.name in TIMM]
        if not parts:
            raise InputError(f"{given}: has none of timm's files {', '.join(TIMM)}; give a folder with some")
        table = PublishedTable(path, tuple(one for part in parts for one in part.sets), {}, {})
    else:
        table = _read_file(path, given)
    return _restrict(table, given, family)


def _read_file(path: str, given: str) -> PublishedTable:
    rows = read_csv(path, given.partition(" ")[0])
    head = [cell.strip() for cell in rows[0]] if rows else []
    named = [dict(zip(head, row, strict=False)) for row in rows[1:]]
    if head[:2] == ["model", "top1"]:
        return _read_timm(path, given, named)
    if head[:1] == ["model"] and f"{ACCURACY}imagenet" in head:
        return _read_benchmark(path, given, named)
    if head[:2] == ["name", "in_distribution"] and len(head) > 2:
        return _read_own(path, given, named, head[2:])
    shown = ", ".join(head[:4]) + (", ..." if len(head) > 4 else "")
    raise InputError(
        f"{given}: its first line is {shown or 'empty'}; it must be name,in_distribution,SET,..., or that of"
        " timm's results-*.csv, or of benchmark.csv of Gavrikov and Keuper"
    )


def _read_timm(path: str, given: str, rows: Sequence[Mapping[str, str]]) -> PublishedTable:
    file = Path(path)
    if file.name not in TIMM:
        raise InputError(f"{given}: of timm's files give one with a shifted set, of {', '.join(TIMM)}")
    name, beside = TIMM[file.name]
    clean = file.with_name(beside)
    if not clean.is_file():
        raise InputError(f"{given}: its accuracy in distribution is in {beside}; put it into the same folder")
    inside = _read_column(str(clean), given, _read_rows(clean, given), "top1")
    outside = _read_column(path, given, rows, "top1")
    ways = FEW_CLASSES.get(name, CLASSES)
    return PublishedTable(path, (_pair(name, path, inside, outside, ways, ways),), {}, {})


def _read_rows(file: Path, given: str) -> list[dict[str, str]]:
    rows = read_csv(file, given.partition(" ")[0])
    return [dict(zip(rows[0], row, strict=False)) for row in rows[1:]] if rows else []


def _read_benchmark(path: str, given: str, rows: Sequence[Mapping[str, str]]) -> PublishedTable:
    columns = [name for name in rows[0] if name.startswith(ACCURACY)] if rows else []
    by_name = {name.removeprefix(ACCURACY): _read_column(path, given, rows, name) for name in columns}
    whole = {RENAMED.get(name, name): of for name, of in by_name.items() if not _CELL.match(name)}
    assert FIFTEEN is not None
    cells = [by_name.get(f"{one}_{severity}", {}) for one in FIFTEEN.corruptions for severity in range(1, 6)]
    everywhere = set(cells[0]).intersection(*cells)
    if everywhere:
        whole["imagenet-c"] = {
            one: fmean(cell[one] for cell in cells) for one in cells[0] if one in everywhere
        }
    inside = whole.pop("imagenet")
    sets = [
        _pair(name, path, inside, of, FEW_CLASSES.get(name, CLASSES), CLASSES)
        for name, of in whole.items()
        if find_known(name) and name != "cue-conflict"  # of 16 categories
    ]
    bias = _read_column(path, given, rows, SHAPE_BIAS, scale=1) if SHAPE_BIAS in (rows or [{}])[0] else {}
    return PublishedTable(path, tuple(sets), bias, {"imagenet": inside, **whole})


def _read_own(
    path: str, given: str, rows: Sequence[Mapping[str, str]], names: Sequence[str]
) -> PublishedTable:
    every = {
        name: _read_column(path, given, rows, name, label="name", scale=1)
        for name in ("in_distribution", *names)
    }
    percent = any(value > 1 for of in every.values() for value in of.values())
    scaled = {name: {one: v / 100 if percent else v for one, v in of.items()} for name, of in every.items()}
    inside = scaled.pop("in_distribution")
    sets = [_pair(name, path, inside, of, None, None) for name, of in scaled.items() if of]
    return PublishedTable(path, tuple(sets), {}, {})


def _read_column(
    path: str,
    given: str,
    rows: Sequence[Mapping[str, str]],
    column: str,
    *,
    label: str = "model",
    scale: float = 100,
) -> dict[str, float]:
    """Read the numbers of a column by network; empty cells are left out."""
    found: dict[str, float] = {}
    for row in rows:
        if not (text := (row.get(column) or "").strip()):
            continue
        try:
            found[row[label].strip()] = float(text) / scale
        except ValueError as error:
            raise InputError(
                f"{given}: {Path(path).name}, {row[label]}, {column}: {error}; accuracies are numbers"
            ) from error
    for name, value in found.items():
        if not 0 <= value <= (1 if scale > 1 else 100):
            raise InputError(
                f"{given}: {Path(path).name}, {name}, {column}: {value * scale:g} is no accuracy"
            )
    return found


def _pair(
    name: str,
    path: str,
    inside: Mapping[str, float],
    outside: Mapping[str, float],
    ways: int | None,
    inside_ways: int | None,
) -> PublishedSet:
    """Pair both accuracies of the networks that have them."""
    pairs = [Point(one, inside[one], outside[one]) for one in outside if one in inside]
    kept = [one for one in pairs if 0 < one.inside < 1 and 0 < one.outside < 1]
    return PublishedSet(name, path, tuple(kept), len(pairs) - len(kept), ways, inside_ways)


def _restrict(table: PublishedTable, given: str, family: Sequence[str]) -> PublishedTable:
    """Keep the networks of a family; raises `InputError` where fewer than five are left."""
    listed, patterns = set[str](), list[str]()
    for text in family:
        if text.endswith(".json"):
            listed |= set(_list_names(_read_list(text)))
        else:
            patterns.append(text)

    def fits(name: str) -> bool:
        return not family or name in listed or any(fnmatchcase(name, pattern) for pattern in patterns)

    sets = [replace(one, points=tuple(p for p in one.points if fits(p.name))) for one in table.sets]
    large = [one for one in sets if len(one.points) >= FEWEST]
    if not large:
        most = max((len(one.points) for one in sets), default=0)
        of = f" of --family {' '.join(family)}" if family else ""
        raise InputError(f"{given}: {most} networks{of}; a line needs {FEWEST} or more")
    bias = {name: value for name, value in table.shape_bias.items() if fits(name)}
    kept = {
        name: {one: value for one, value in of.items() if fits(one)} for name, of in table.accuracies.items()
    }
    return PublishedTable(table.path, tuple(large), bias, kept)


def _read_list(text: str) -> Any:
    if not Path(text).is_file():
        raise InputError(f"--family {text}: no such file; give patterns such as '*resnet50*', or a JSON file")
    return read_json(Path(text))


def _list_names(found: Any) -> list[str]:
    """All texts in a JSON file, however they are nested; keys are headings."""
    if isinstance(found, str):
        return [found]
    inner = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    return [name for one in inner for name in _list_names(one)]
