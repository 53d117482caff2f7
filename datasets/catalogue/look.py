"""A folder that is given under the name of a published set: what must be in it, and its class map."""

from dataclasses import dataclass

from texneg.datasets.catalogue.catalogue import find_known
from texneg.datasets.catalogue.known import KnownSet
from texneg.datasets.class_maps import OBJECTNET, read_class_map
from texneg.datasets.sources.compressed import is_tar
from texneg.datasets.sources.folders import list_own
from texneg.datasets.sources.splits import SPLITS
from texneg.datasets.storage.places import Place, parse_place
from texneg.errors import InputError

SHOWN = 4


@dataclass(frozen=True)
class Located:
    """Images of one cell, and how the set's description says to take them."""

    path: str
    """of the class folders"""
    classes: str | None
    """class map, by name or path"""
    ready_cut: bool
    """images are cut to size already"""


def locate(name: str, path: str, classes: str | None = None) -> Located:
    """Find the class folders of a set and its class map; sets without a description stay as they are given.

    Args:
        name: of the set.
        path: as it was given.
        classes: class map that was given; with one, the names of the folders are not looked at.

    Raises:
        InputError: a folder that does not look like the set of this name.
    """
    known, place = find_known(name), parse_place(path)
    if known is None:
        return Located(path, classes, ready_cut=False)
    if not place.is_dir():
        return Located(path, classes, known.ready_cut)
    if known.own_map:
        return _locate_own_map(known, place, classes)
    if classes is None and not has_layout(known, place):
        if known.plain_name:
            return Located(path, classes, ready_cut=False)
        raise InputError(describe_misfit(known, place))
    return Located(path, classes, known.ready_cut)


def has_layout(known: KnownSet, place: Place) -> bool:
    """Return True for a folder with any of the set's class folders; splits and tars are not looked into.

    Raises:
        InputError: it holds several sets.
    """
    folders, files = list_folder(place)
    if set(folders) & set(SPLITS) or any(map(is_tar, files)):
        return True
    if parts := [name for name in known.parts if name in folders]:
        raise InputError(
            f"set {known.name!r}: {place} holds several sets, {', '.join(parts)}: name each,"
            f" such as {known.flag} {parts[0]}={place / parts[0]} --classes {parts[0]}={known.classes}"
        )
    return bool(set(read_class_map(known.classes).folders) & set(folders))


def describe_misfit(known: KnownSet, place: Place) -> str:
    """Say what is expected of a folder with the name of a known set, and what it has."""
    return (
        f"set {known.name!r}: {place} does not look like {known.title}; expected is {known.layout};"
        f" {describe_folder(place)}. Give its folder, declare the folders with --classes {known.name}=MAP, or"
        " give the set another name"
    )


def _locate_own_map(known: KnownSet, place: Place, classes: str | None) -> Located:
    """Find the class folders and the map of a set that brings its own, in the folder or beside it."""
    for root, images in ((place, place / known.below), (place.parent, place)):
        if (root / known.own_map / OBJECTNET).is_file() and images.is_dir():
            return Located(str(images), classes or str(root / known.own_map), known.ready_cut)
    if classes is None:
        raise InputError(describe_misfit(known, place))
    return Located(str(place), classes, known.ready_cut)


def list_folder(place: Place) -> tuple[list[str], list[str]]:
    """Names of the folders and of the files in a folder."""
    entries = list_own(place)
    folders = [entry.name for entry in entries if entry.is_dir()]
    return folders, [entry.name for entry in entries if not entry.is_dir()]


def describe_folder(path: str | Place) -> str:
    """Describe in words what a folder has: `it has the folders a, b, ... (12)`."""
    place = parse_place(path)
    if not place.is_dir():
        return "it is a file"
    folders, files = list_folder(place)
    names, what = (folders, "folders") if folders else (files, "files")
    if not names:
        return "it is empty"
    more = f", ... ({len(names)})" if len(names) > SHOWN else ""
    return f"it has the {what} {', '.join(names[:SHOWN])}{more}"
