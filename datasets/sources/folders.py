"""Images in a folder tree, in the bytewise order of their POSIX paths, on every file system."""

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from stat import S_ISREG

from texneg.datasets.sources.passed_over import (
    CIRCLE,
    DEAD_LINK,
    HIDDEN,
    NO_FILE,
    SYSTEM,
    PassedOver,
    explain_file,
    is_image,
    is_system_folder,
)
from texneg.datasets.storage.names import escape
from texneg.datasets.storage.places import FolderEntry, Place, list_dir, map_in_order
from texneg.datasets.storage.url import Entry, Url
from texneg.errors import InputError

TEXTURE_SUFFIXES = (".webp", ".png")
Found = tuple[str, int | None]


def strip_suffix(path: str) -> str:
    """Drop the last suffix: `a/b.c.jpg` gives `a/b.c`."""
    return path[: path.rindex(".")]


def list_own(
    folder: Place,
    passed_over: PassedOver | None = None,
    *,
    prefix: str = "",
    entries: Sequence[FolderEntry] | None = None,
) -> list[FolderEntry]:
    """List a folder without hidden entries and without the folders of file servers and systems.

    Args:
        folder: to list.
        passed_over: counts the folders and images among those.
        prefix: path of the folder, put before their names.
        entries: all that the folder holds, where that is known.
    """
    own = []
    for entry in list_dir(folder, hidden=True) if entries is None else entries:
        hidden = entry.name.startswith(".")
        if not hidden and not (is_system_folder(entry.name) and entry.is_dir()):
            own.append(entry)
        elif passed_over is not None and (entry.is_dir() or is_image(entry.name)):
            passed_over.add(HIDDEN if hidden else SYSTEM, prefix + entry.name)
    return own


def walk(
    folder: Place,
    passed_over: PassedOver,
    *,
    key: Callable[[str], str] | None = None,
    prefix: str = "",
    above: tuple[tuple[int, int], ...] = (),
    entries: Sequence[FolderEntry] | None = None,
    arrays: bool = False,
) -> Iterator[Found]:
    """Find the images below a folder with their sizes (None for a broken link). Follows links, but no circle.

    Args:
        folder: where to begin.
        passed_over: counts all else.
        key: output name of a file name; if given, two that would overwrite each other are refused.
        prefix: path of the folder, put before what is found.
        above: (device, inode) of the folders on the way here.
        entries: what the folder holds, where that is known.
        arrays: .npy files are images, too.

    Raises:
        InputError: two names of a folder give one key.
    """
    if not isinstance(folder, Url):
        here = folder.stat()
        identity = (here.st_dev, here.st_ino)
        if identity in above:
            passed_over.add(CIRCLE, prefix)
            return
        above = (*above, identity)
    entries = list_own(folder, passed_over, prefix=prefix, entries=entries)
    if key is not None:
        _refuse_collisions(entries, key, prefix, arrays)
    inside = _list_ahead(folder, [entry.name for entry in entries if entry.is_dir()])
    for entry in entries:
        if entry.is_dir():
            below = f"{prefix}{entry.name}/"
            yield from walk(
                folder / entry.name,
                passed_over,
                key=key,
                prefix=below,
                above=above,
                entries=next(inside),
                arrays=arrays,
            )
        elif is_image(entry.name, arrays=arrays) and (entry.is_file() or entry.is_symlink()):
            yield prefix + entry.name, _size(entry)
        else:
            passed_over.add(explain_entry(entry), prefix + entry.name)


def explain_entry(entry: FolderEntry) -> str:
    """The reason why what is neither a folder nor an image file is passed over."""
    if entry.is_file():
        return explain_file(entry.name)
    return DEAD_LINK if entry.is_symlink() else NO_FILE


def _list_ahead(folder: Place, names: list[str]) -> Iterator[Sequence[FolderEntry] | None]:
    """List folders: in a store by several requests at a time, on disk not before each is needed."""
    if isinstance(folder, Url):
        return map_in_order(lambda name: list_dir(folder / name, hidden=True), names)
    return iter([None] * len(names))


def _size(entry: FolderEntry) -> int | None:
    if isinstance(entry, Entry):
        return entry.size
    try:
        found = entry.stat()
    except OSError:
        return None
    return found.st_size if S_ISREG(found.st_mode) else None


def _refuse_collisions(
    entries: Sequence[FolderEntry], key: Callable[[str], str], prefix: str, arrays: bool
) -> None:
    """Refuse names that differ in case or Unicode composition only: one file on some file systems."""
    taken: dict[str, FolderEntry] = {}
    for entry in entries:
        for name in _output_names(entry, key, arrays):
            earlier = taken.setdefault(fold_name(name), entry)
            if earlier is not entry:
                both_files = not earlier.is_dir() and not entry.is_dir()
                apart = both_files and fold_name(earlier.name) != fold_name(entry.name)
                raise InputError(
                    f"{escape(prefix + earlier.name)} and {escape(prefix + entry.name)} would give the same"
                    f" output name on some file systems: {'use --naming append' if apart else 'rename one'}"
                )


def _output_names(entry: FolderEntry, key: Callable[[str], str], arrays: bool) -> tuple[str, ...]:
    """The output names that an entry takes: of a folder its own, and that of a texture so called."""
    if entry.is_dir():
        texture = entry.name.endswith(TEXTURE_SUFFIXES)
        return (f"{entry.name}/", strip_suffix(entry.name)) if texture else (f"{entry.name}/",)
    return (key(entry.name),) if is_image(entry.name, arrays=arrays) else ()


def fold_name(name: str) -> str:
    """Normalise case and Unicode composition: equal results are one file on some file systems."""
    return unicodedata.normalize("NFC", name).casefold()
