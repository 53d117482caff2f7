"""Known sets on disk, told by what lies in a folder and by its name; counts show a broken download."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from texneg.datasets.catalogue.catalogue import CATALOGUE
from texneg.datasets.catalogue.cells import FoundCell, describe_missing, expect_cells, find_cells
from texneg.datasets.catalogue.known import SEVERITIES, KnownSet
from texneg.datasets.catalogue.look import list_folder
from texneg.datasets.class_maps import OBJECTNET, read_class_map
from texneg.datasets.rows import LABELS
from texneg.datasets.sources.compressed import is_tar
from texneg.datasets.sources.passed_over import is_image
from texneg.datasets.sources.splits import SPLITS
from texneg.datasets.storage.places import Place, parse_place
from texneg.errors import InputError

MOST_STRANGE = 0.1  # share of class folders that a set's class map may lack
SHOWN = 3


@dataclass(frozen=True)
class Recognised:
    """A folder, the known sets that it can be, and what is in it."""

    path: str
    sets: tuple[KnownSet, ...]
    """one where it is certain; none for class folders of another set"""
    counts: str


def recognise(path: str | Place) -> list[Recognised]:
    """Recognise a folder, or else the folders directly in it.

    Raises:
        InputError: it does not exist or is no folder.
    """
    place = parse_place(path)
    if not place.is_dir():
        raise InputError(f"--list {path}: no such folder, and no known set; give folders to look through")
    if found := _recognise(place):
        return [found]
    below = [_recognise(place / name) for name in list_folder(place)[0]]
    return [one for one in below if one]


def _recognise(place: Place) -> Recognised | None:
    """Recognise one folder; None where it holds no images in folders."""
    folders, files = list_folder(place)
    if any(name.endswith(".npy") for name in files):
        return _recognise_arrays(place, files)
    if found := _recognise_folders(place):
        return found
    for known in CATALOGUE:
        if known.own_map and (place / known.own_map / OBJECTNET).is_file() and known.below in folders:
            inside, _ = list_folder(place / known.below)
            return Recognised(str(place), (known,), f"{len(inside):,} class folders, {known.own_map}/")
    parts = [(one, [name for name in one.parts if name in folders]) for one in CATALOGUE]
    known, inside = max(parts, key=lambda pair: len(pair[1]))
    if len(inside) > 1:
        counts = f"{len(inside)} of {len(known.parts)} sets: {', '.join(inside)}"
        return Recognised(str(place), (known,), counts)
    return _recognise_classes(place, folders, files)


def _recognise_arrays(place: Place, files: Sequence[str]) -> Recognised | None:
    candidates = [known for known in CATALOGUE if known.cells == "arrays"]
    names = {*candidates[0].corruptions, *candidates[0].extra}
    inside = {name.removesuffix(".npy") for name in files} & names
    if not inside:
        return None
    whole = len(candidates[0].corruptions)
    counts = f"{len(inside & set(candidates[0].corruptions))} of {whole} arrays"
    counts += f", {len(inside - set(candidates[0].corruptions))} extra"
    counts += "" if LABELS in files else f"; {LABELS} is missing"
    return Recognised(str(place), _choose_by_name(place, candidates), counts)


def _recognise_folders(place: Place) -> Recognised | None:
    """Recognise folders CORRUPTION/SEVERITY by the corruptions, else by the name of the folder."""
    try:
        cells = find_cells(place)
    except InputError:
        return None
    if not cells:
        return None
    there = {cell.corruption for cell in cells}
    counts = {
        known.name: len(there & {*known.corruptions, *known.extra})
        for known in CATALOGUE
        if known.cells == "folders"
    }
    most = max(counts.values())
    best = [known for known in CATALOGUE if counts.get(known.name) == most]
    return Recognised(str(place), _choose_by_name(place, best), _count_cells(cells, best[0]))


def _count_cells(cells: Sequence[FoundCell], known: KnownSet) -> str:
    """Count cells, and the class folders in each: fewer in some tell of a broken download."""
    expected = expect_cells(known, cells)
    missing = describe_missing(cells, expected)
    folders = {}
    for cell in cells:
        place = parse_place(cell.path)
        folders[f"{cell.corruption} {cell.severity}"] = len(list_folder(place)[0]) if place.is_dir() else 0
    low, high = min(folders.values()), max(folders.values())
    fewer = [name for name, count in folders.items() if count < high]
    words = f"{len(cells)} of {len(expected) * SEVERITIES} cells"
    words += f", without {missing}" if missing else ""
    words += f"; {high:,} class folders in each" if low == high else f"; {low:,} to {high:,} class folders"
    more = f", ... ({len(fewer)} cells)" if len(fewer) > SHOWN else ""
    return words + (f", fewer in {', '.join(fewer[:SHOWN])}{more}" if fewer else "")


def _recognise_classes(place: Place, folders: Sequence[str], files: Sequence[str]) -> Recognised | None:
    """Recognise class folders by their names: the set of which most are there."""
    if set(folders) & set(SPLITS):
        return None
    if not folders:
        tars = ", ".join([name for name in files if is_tar(name)][:SHOWN])
        return Recognised(str(place), (), f"tars, not looked into: {tars}") if tars else None
    images = sum(_count_images(place / name) for name in folders)
    if not images:
        return None
    shares = dict(_rate(place, folders))
    most = max(shares.values(), default=0)
    best = [known for known in CATALOGUE if known.name in shares and shares[known.name] == most]
    if not best:
        listed = ", ".join(folders[:SHOWN]) + (", ..." if len(folders) > SHOWN else "")
        return Recognised(str(place), (), f"{images:,} images in {len(folders):,} class folders ({listed})")
    chosen = _choose_by_name(place, best)
    whole = len(read_class_map(chosen[0].classes).folders)
    sure = len(chosen) == 1 and chosen[0].images is not None and not chosen[0].parts
    total = f" of {chosen[0].images:,}" if sure else ""
    counts = f"{images:,}{total} images in {len(folders):,} of {whole:,} class folders"
    return Recognised(str(place), chosen, counts)


def _rate(place: Place, folders: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Shares of the class folders of sets that are there, for sets to which nearly all folders belong."""
    conflict = _has_two_cues(place, folders)
    for known in CATALOGUE:
        if known.cells != "one" or not known.classes or (conflict and known.flag != "--cue-conflict"):
            continue
        if not conflict and known.flag == "--cue-conflict":
            continue
        declared = set(read_class_map(known.classes).folders)
        inside = declared & set(folders)
        strange = len(folders) - len(inside)
        numbered = all(name.isdecimal() for name in folders) and len(inside) < len(declared) / 2
        if len(inside) > 1 and strange <= MOST_STRANGE * len(folders) and not numbered:
            yield known.name, len(inside) / len(declared)


def _has_two_cues(place: Place, folders: Sequence[str]) -> bool:
    """Return True if the images of the first folder are named <shape><i>-<texture><j>."""
    names = [name for name in list_folder(place / folders[0])[1] if is_image(name)]
    return bool(names) and all(name.startswith(folders[0]) and "-" in name for name in names)


def _count_images(place: Place) -> int:
    return sum(map(is_image, list_folder(place)[1]))


def _choose_by_name(place: Place, candidates: Sequence[KnownSet]) -> tuple[KnownSet, ...]:
    """Choose the candidates whose name the folder bears, the longest name of all; all of them without any."""

    def plain(text: str) -> str:
        return "".join(letter for letter in text.casefold() if letter.isalnum())

    def fit(known: KnownSet) -> int:
        names = [plain(name) for name in (known.name, *known.also)]
        return max((len(name) for name in names if name in plain(place.name)), default=0)

    most = max(map(fit, candidates))
    return tuple(known for known in candidates if fit(known) == most)
