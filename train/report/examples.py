"""Example images of every test set, the same for all runs, and which arms were right about them."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from texneg.datasets.corruptions.corrupt import ALL, corrupt
from texneg.datasets.corruptions.digital import reencode
from texneg.datasets.corruptions.draws import image_draws
from texneg.datasets.corruptions.pictures import own_pictures
from texneg.datasets.storage.arrays import read_arrays
from texneg.train.evaluate.features import U8, Edit
from texneg.train.evaluate.sets.base import Record
from texneg.train.evaluate.sets.corruptions import Corruptions
from texneg.train.report.corruptions import describe, is_corrupted, order, split_part
from texneg.train.report.pictures import Album, Picture, prepare
from texneg.train.report.runs import Arm
from texneg.train.report.sets import Key, SetResult, Tested

COUNT = 8  # pictures of a set
SEED = 0  # of their choice
SHOWN_SEVERITY = 3


@dataclass(frozen=True)
class Example:
    """A picture, and how many runs of each arm were right about it."""

    picture: Picture
    caption: str
    right: Sequence[tuple[int, int] | None]
    """by arm: runs that were right, and all that were asked"""


@dataclass(frozen=True)
class Strip:
    """The examples of one set."""

    title: str
    examples: Sequence[Example]
    note: str
    """why there are none, or how they were made"""


def read_examples(arms: Sequence[Arm], tested: Tested, album: Album) -> list[Strip]:
    """A strip for each test set, in order of appearance; a set that several heads were tested on has one."""
    strips: dict[str, Strip] = {}
    for key in dict.fromkeys(key for runs in tested for run in runs for key in run):
        results = [[run.get(key) for run in runs] for runs in tested]
        run, first = next(
            (run, one)
            for arm, ones in zip(arms, results, strict=True)
            for run, one in zip(arm.runs, ones, strict=True)
            if one
        )
        if "path" not in first.record and "cells" not in first.record:
            continue  # the test of a probe
        if first.record["data"] in strips:
            continue
        strips[first.record["data"]] = make_strip(run.ood, key, first, results, album)
    return list(strips.values())


def make_strip(
    tested: Any, key: Key, first: SetResult, results: Sequence[Sequence[SetResult | None]], album: Album
) -> Strip:
    """The strip of a set: images of several classes, or one image under several corruptions."""
    cells = _choose_cells(first)
    path = str(cells[0][1].get("path", ""))
    if fault := album.find_fault(path):
        return Strip(key[2], (), f"The images at {path} cannot be shown: {fault}.")
    outcomes = [[_read_outcomes(one, cells) for one in runs] for runs in results]
    known = sorted({image for runs in outcomes for cell in runs for one in cell for image in one})
    keys = choose(known, lambda image: album.find_class(path, image), 1 if len(cells) > 1 else COUNT)
    prepared = prepare(tested, cells[0][1].get("transform"))
    examples = []
    for number, (_, cell) in enumerate(cells):
        for image in keys:
            picture = album.take(str(cell.get("path", path)), image, prepared, make_edit(cell))
            if picture is None:
                continue
            right = [_count(runs, number, image) for runs in outcomes]
            part = split_part(cell)
            caption = f"{describe(part[0])} {part[1]}" if part else picture.label
            examples.append(Example(picture, caption, right))
    note = "" if examples else f"The images at {path} are not those that were measured."
    if len(cells) > 1 and examples:
        note = f"One image ({examples[0].picture.label}) under each corruption."
    return Strip(key[2], examples, note)


def choose(keys: Iterable[str], find_class: Any, count: int) -> list[str]:
    """Choose images in an order that their names decide, one a class as long as there are others."""
    drawn = sorted(
        keys, key=lambda key: hashlib.blake2b(f"{SEED} {key}".encode("utf-8", "surrogateescape")).digest()
    )
    rank: dict[str, int] = {}
    places = []
    for place, key in enumerate(drawn):
        kind = find_class(key)
        rank[kind] = rank.get(kind, -1) + 1
        places.append((rank[kind], place, key))
    return [key for _, _, key in sorted(sorted(places)[:count], key=lambda one: find_class(one[2]))]


def _choose_cells(result: SetResult) -> list[tuple[int, Record]]:
    """Cells to show with their places: the only one, or each corruption at a middle severity."""
    cells: Sequence[Record] = result.record.get("cells") or [result.record]
    if not is_corrupted(result):
        return [(0, cells[0])]
    nearest: dict[str, tuple[int, int]] = {}
    for place, cell in enumerate(cells):
        part = split_part(cell)
        if part:
            far = abs(part[1] - SHOWN_SEVERITY)
            if part[0] not in nearest or far < nearest[part[0]][0]:
                nearest[part[0]] = far, place
    return [(nearest[name][1], cells[nearest[name][1]]) for name in order(nearest)]


def _read_outcomes(result: SetResult | None, cells: Sequence[tuple[int, Record]]) -> list[dict[str, bool]]:
    """Right and wrong images of the cells of a run; empty where there are none."""
    found = []
    for place, _ in cells:
        arrays = read_arrays(result.outcomes[place]) if result and place < len(result.outcomes) else None
        keys, values = (arrays["keys"], arrays["values"]) if arrays else ((), np.zeros(0))
        found.append({str(key): bool(value == 1) for key, value in zip(keys, values, strict=True)})
    return found


def _count(runs: Sequence[Sequence[dict[str, bool]]], number: int, image: str) -> tuple[int, int] | None:
    """Runs of an arm that were right about an image, and all that have an outcome; None for none."""
    asked = [cells[number][image] for cells in runs if number < len(cells) and image in cells[number]]
    return (sum(asked), len(asked)) if asked else None


def make_edit(cell: Record) -> Edit | None:
    """The corruption of a cell that was made on the fly; None for other cells."""
    options = cell.get("options", {})
    name = options.get("corruption")
    if cell.get("kind") != Corruptions.name or name not in ALL or "constants" not in cell:
        return None

    def edit(pixels: U8, key: str) -> U8:
        draws = image_draws(options["seed"], name, options["severity"], key, own_pictures)
        changed = corrupt(
            pixels, name, severity=options["severity"], draws=draws, constants=cell["constants"]
        )
        quality = options["jpeg_quality"]
        return reencode(changed, quality) if quality else changed

    return Edit("example", edit)
