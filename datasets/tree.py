"""Images in a folder tree, in the bytewise order of their POSIX paths, whatever the file system says."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from texneg.datasets.names import escape
from texneg.datasets.store import Listed, Place, in_order, listed
from texneg.datasets.url import Entry, Url
from texneg.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
Found = tuple[str, int | None]


def is_image(name: str) -> bool:
    """By the suffix; the content decides when the file is decoded."""
    return name.lower().endswith(SUFFIXES)


def without_suffix(path: str) -> str:
    """`a/b.c.jpg` gives `a/b.c`."""
    return path[: path.rindex(".")]


def walk(
    folder: Place,
    skipped: Counter[str],
    *,
    key: Callable[[str], str] | None = None,
    prefix: str = "",
    above: tuple[tuple[int, int], ...] = (),
    entries: Sequence[Listed] | None = None,
) -> Iterator[Found]:
    """Images below a folder with their bytes (None for a dangling link), following links but no circle.

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
    entries = listed(folder) if entries is None else entries
    if key is not None:
        _refuse_collisions(entries, key, prefix)
    inside = _listed_ahead(folder, [entry.name for entry in entries if entry.is_dir()])
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


def _listed_ahead(folder: Place, names: list[str]) -> Iterator[Sequence[Listed] | None]:
    """The listing of each folder: several requests at a time to a store, on disk none before it is needed."""
    if isinstance(folder, Url):
        return in_order(lambda name: listed(folder / name), names)
    return iter([None] * len(names))


def _size(entry: Listed) -> int | None:
    if isinstance(entry, Entry):
        return entry.size
    try:
        return entry.stat().st_size
    except OSError:
        return None


def _refuse_collisions(entries: Sequence[Listed], key: Callable[[str], str], prefix: str) -> None:
    """Names equal after case folding and Unicode composition overwrite each other on some file systems."""
    taken: dict[str, str] = {}
    for entry in entries:
        if not entry.is_dir() and not is_image(entry.name):
            continue
        name = f"{entry.name}/" if entry.is_dir() else key(entry.name)
        earlier = taken.setdefault(folded(name), entry.name)
        if earlier != entry.name:
            remedy = "rename one" if folded(earlier) == folded(entry.name) else "use --naming append"
            raise InputError(
                f"{escape(prefix + earlier)} and {escape(prefix + entry.name)} would give"
                f" the same output name on some file systems: {remedy}"
            )


def folded(name: str) -> str:
    """Equal for names that some file systems take for one: case and Unicode composition put aside."""
    return unicodedata.normalize("NFC", name).casefold()
