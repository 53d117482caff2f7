"""The cells of a published set on disk: folders CORRUPTION/SEVERITY, rows of CORRUPTION.npy, or tars."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath

import numpy as np

from texneg.datasets.catalogue.catalogue import CATALOGUE
from texneg.datasets.catalogue.corrupted import ARCHIVES
from texneg.datasets.catalogue.known import SEVERITIES, KnownSet
from texneg.datasets.images import ImageSet, open_images
from texneg.datasets.rows import LABELS, open_rows
from texneg.datasets.sources.compressed import is_tar
from texneg.datasets.sources.folders import list_own
from texneg.datasets.storage.places import Place, parse_place
from texneg.errors import InputError

NUMBER = re.compile(r"\d+(\.\d+)?$")  # at the end of the name of a severity's folder
LEVELS = range(1, SEVERITIES + 1)
SHOWN = 4

Open = Callable[[Sequence[str]], ImageSet]
"""Opens the images of a cell, given the names of the set's classes in their order."""


@dataclass(frozen=True)
class FoundCell:
    """One cell of a set, as it was found."""

    corruption: str
    severity: int
    path: str
    """of its folder, array file or tar"""
    open: Open


def find_cells(root: str | Place, known: KnownSet | None = None) -> list[FoundCell]:
    """Find the cells of a set, corruption by corruption in the order of its description.

    Args:
        root: folder; of a known set also a tar, or a folder of tars.
        known: description of the set; None takes the corruptions of every known set.

    Returns:
        The cells; none for a folder without any.

    Raises:
        InputError: a corruption lies there twice, or a folder of severities cannot be understood.
    """
    place, names = parse_place(root), name_corruptions(known)
    tar = known is not None and is_tar(place.name) and place.is_file()
    if not tar and not place.is_dir():
        return []
    entries = [] if tar else list_own(place)
    folders = [entry.name for entry in entries if entry.is_dir()]
    files = [entry.name for entry in entries if not entry.is_dir()]
    found = find_arrays(place, files, names) or find_folders(place, folders, names, sure=known is not None)
    if tar or (known is not None and not folders and any(map(is_tar, files))):
        found = find_in_tars(place, names)
    order = {name: i for i, name in enumerate(dict.fromkeys(names.values()))}
    return sorted(found, key=lambda cell: (order[cell.corruption], cell.severity))


def name_corruptions(known: KnownSet | None) -> dict[str, str]:
    """Names of corruption folders, and the corruptions that they mean."""
    sets = CATALOGUE if known is None else [known]
    plain = {name: name for one in sets for name in (*one.corruptions, *one.extra)}
    return plain | {name: meant for one in sets for name, meant in one.renamed.items()}


def find_folders(
    root: Place, folders: Iterable[str], names: Mapping[str, str], *, sure: bool
) -> list[FoundCell]:
    """Find folders CORRUPTION/SEVERITY, directly or below the folders of ImageNet-C's archives.

    Unless it is `sure` that they are cells, a folder without severities is a class called like a corruption.
    """
    places: dict[str, Place] = {}
    for name in folders:
        inside = list_own(root / name) if name in ARCHIVES and name not in names else []
        below = [entry.name for entry in inside if entry.is_dir()]
        for place in [root / name, *(root / name / one for one in below)]:
            if (meant := names.get(place.name)) is None:
                continue
            if meant in places:
                raise InputError(f"{meant} lies at {places[meant]} and at {place}; keep one of them")
            places[meant] = place
    found = []
    for meant, place in places.items():
        try:
            severities = read_severities(place)
        except InputError:
            if sure:
                raise
            continue
        found += [
            FoundCell(meant, severity, str(place / folder), partial(_open_tree, str(place / folder)))
            for severity, folder in severities.items()
        ]
    return found


def read_severities(place: Place) -> dict[int, str]:
    """Read which folder of a corruption is which severity, by the numbers at the ends of their names.

    Numbers other than 1 to 5 must be five, from the weakest to the strongest.

    Raises:
        InputError: two have the same number, or the five are not all there.
    """
    folders = [entry.name for entry in list_own(place) if entry.is_dir()]
    numbers: dict[float, str] = {}
    for name in folders:
        match = NUMBER.search(name)
        if match is None:
            continue
        if float(match[0]) in numbers:
            raise InputError(f"{place} has {numbers[float(match[0])]} and {name}: the same severity twice")
        numbers[float(match[0])] = name
    if set(numbers) <= set(LEVELS):
        return {int(number): name for number, name in numbers.items()}
    if len(numbers) != SEVERITIES:
        listed = ", ".join(numbers[number] for number in sorted(numbers))
        raise InputError(
            f"{place} has {listed or 'no folders with numbers'}; expected are folders 1 to {SEVERITIES}, or"
            f" {SEVERITIES} whose numbers grow with the severity"
        )
    return {level: numbers[number] for level, number in zip(LEVELS, sorted(numbers), strict=True)}


def find_arrays(root: Place, files: Iterable[str], names: Mapping[str, str]) -> list[FoundCell]:
    """Find files CORRUPTION.npy, each with all severities."""
    stems = {name.removesuffix(".npy"): name for name in files if name.endswith(".npy") and name != LABELS}
    return [
        FoundCell(names[stem], severity, str(root / file), partial(_open_rows, str(root), stem, severity))
        for stem, file in stems.items()
        if stem in names
        for severity in LEVELS
    ]


def find_in_tars(root: Place, names: Mapping[str, str]) -> list[FoundCell]:
    """Find cells among the members CORRUPTION/SEVERITY/CLASS/IMAGE of a tar, or of the tars of a folder."""
    images = open_images(root)
    members: dict[tuple[str, int], list[int]] = {}
    for i, key in enumerate(images.keys):
        parts = PurePosixPath(key).parts
        at = next((at for at, part in enumerate(parts[:-2]) if part in names), None)
        if at is not None and parts[at + 1].isdecimal() and int(parts[at + 1]) in LEVELS:
            members.setdefault((names[parts[at]], int(parts[at + 1])), []).append(i)
    return [
        FoundCell(*cell, str(root), partial(_open_members, images, *cell, places))
        for cell, places in members.items()
    ]


def _open_tree(path: str, classes: Sequence[str]) -> ImageSet:
    return open_images(path)


def _open_rows(folder: str, name: str, severity: int, classes: Sequence[str]) -> ImageSet:
    if not classes:
        raise InputError(
            f"{folder}: arrays have numbers in place of class folders; give the set the name of a known one,"
            " such as cifar-10-c, or its classes in the order of the numbers with --classes"
        )
    return open_rows(folder, name, severity, SEVERITIES, tuple(classes))


def _open_members(
    images: ImageSet, corruption: str, severity: int, places: list[int], classes: Sequence[str]
) -> ImageSet:
    """Make a data set of some images of a tar, named and labelled by their last two folders."""
    parts = [PurePosixPath(images.keys[i]).parts for i in places]
    names = sorted({part[-2] for part in parts})
    index = {name: i for i, name in enumerate(names)}
    return replace(
        images.take(np.array(places, np.int64)),
        root=f"{images.root} {corruption} severity {severity}",
        classes=tuple(names),
        keys=tuple("/".join(part[-2:]) for part in parts),
        labels=np.array([index[part[-2]] for part in parts], np.int64),
    )


def describe_missing(found: Sequence[FoundCell], expected: Mapping[str, Sequence[int]]) -> str:
    """Describe the cells that are not there: `fog 1 2, snow (all)`; empty where all are."""
    there = {(cell.corruption, cell.severity) for cell in found}
    lacking = {
        name: [level for level in levels if (name, level) not in there] for name, levels in expected.items()
    }
    words = [
        name if len(gone) == len(expected[name]) else f"{name} {' '.join(map(str, gone))}"
        for name, gone in lacking.items()
        if gone
    ]
    return ", ".join(words[:SHOWN]) + (f", ... ({len(words)} corruptions)" if len(words) > SHOWN else "")


def expect_cells(known: KnownSet | None, found: Sequence[FoundCell]) -> dict[str, list[int]]:
    """Severities by corruption that a set should have.

    Of a known set those of its headline, and of its further corruptions those of which any is there; of
    another set every severity that some corruption has, for each corruption.
    """
    there = {cell.corruption: None for cell in found}
    if known is None:
        levels = sorted({cell.severity for cell in found})
        return dict.fromkeys(there, levels)
    extra = [name for name in known.extra if name in there]
    return {name: list(LEVELS) for name in (*known.corruptions, *extra)}
