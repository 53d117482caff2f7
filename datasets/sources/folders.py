"""Images in a folder tree, in the bytewise order of their POSIX paths, on every file system."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from stat import S_ISREG

from texneg.datasets.storage.names import escape
from texneg.datasets.storage.places import FolderEntry, Place, list_dir, map_in_order
from texneg.datasets.storage.url import Entry, Url
from texneg.errors import InputError

TEXTURE_SUFFIXES = (".webp", ".png")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
Found = tuple[str, int | None]


def is_image(name: str) -> bool:
    """True if the suffix is that of an image; the content decides when the file is decoded."""
    return name.lower().endswith(SUFFIXES)


def strip_suffix(path: str) -> str:
    """Drop the last suffix: `a/b.c.jpg` gives `a/b.c`."""
    return path[: path.rindex(".")]


def walk(
    folder: Place,
    skipped: Counter[str],
    *,
    key: Callable[[str], str] | None = None,
    prefix: str = "",
    above: tuple[tuple[int, int], ...] = (),
    entries: Sequence[FolderEntry] | None = None,
) -> Iterator[Found]:
    """Find the images below a folder with their sizes (None for a broken link). Follows links, but no circle.

    Args:
        folder: where to begin.
        skipped: counts what is passed over, by reason.
        key: output name of a file name; if given, two that would overwrite each other are refused.
        prefix: path of the folder, put before what is found.
        above: (device, inode) of the folders on the way here.
        entries: what the folder holds, where that is known.

    Raises:
        InputError: two names of a folder give one key.
    """
    if not isinstance(folder, Url):
        here = folder.stat()
        identity = (here.st_dev, here.st_ino)
        if identity in above:
            skipped["link to a folder above it"] += 1
            return
        above = (*above, identity)
    entries = list_dir(folder) if entries is None else entries
    if key is not None:
        _refuse_collisions(entries, key, prefix)
    inside = _list_ahead(folder, [entry.name for entry in entries if entry.is_dir()])
    for entry in entries:
        if entry.is_dir():
            below = f"{prefix}{entry.name}/"
            yield from walk(
                folder / entry.name, skipped, key=key, prefix=below, above=above, entries=next(inside)
            )
        elif is_image(entry.name) and (entry.is_file() or entry.is_symlink()):
            yield prefix + entry.name, _size(entry)
        else:
            skipped["no image by its suffix"] += 1


def _list_ahead(folder: Place, names: list[str]) -> Iterator[Sequence[FolderEntry] | None]:
    """List folders: in a store by several requests at a time, on disk not before each is needed."""
    if isinstance(folder, Url):
        return map_in_order(lambda name: list_dir(folder / name), names)
    return iter([None] * len(names))


def _size(entry: FolderEntry) -> int | None:
    if isinstance(entry, Entry):
        return entry.size
    try:
        found = entry.stat()
    except OSError:
        return None
    return found.st_size if S_ISREG(found.st_mode) else None


def _refuse_collisions(entries: Sequence[FolderEntry], key: Callable[[str], str], prefix: str) -> None:
    """Refuse names that differ in case or Unicode composition only: one file on some file systems."""
    taken: dict[str, FolderEntry] = {}
    for entry in entries:
        for name in _output_names(entry, key):
            earlier = taken.setdefault(fold_name(name), entry)
            if earlier is not entry:
                both_files = not earlier.is_dir() and not entry.is_dir()
                apart = both_files and fold_name(earlier.name) != fold_name(entry.name)
                raise InputError(
                    f"{escape(prefix + earlier.name)} and {escape(prefix + entry.name)} would give the same"
                    f" output name on some file systems: {'use --naming append' if apart else 'rename one'}"
                )


def _output_names(entry: FolderEntry, key: Callable[[str], str]) -> tuple[str, ...]:
    """The output names that an entry takes: of a folder its own, and that of a texture so called."""
    if entry.is_dir():
        texture = entry.name.endswith(TEXTURE_SUFFIXES)
        return (f"{entry.name}/", strip_suffix(entry.name)) if texture else (f"{entry.name}/",)
    return (key(entry.name),) if is_image(entry.name) else ()


def fold_name(name: str) -> str:
    """Normalise case and Unicode composition: equal results are one file on some file systems."""
    return unicodedata.normalize("NFC", name).casefold()
