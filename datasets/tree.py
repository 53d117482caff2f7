"""Images in a folder tree, in the bytewise order of their POSIX paths, whatever the file system says."""

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from texneg.datasets.decode import SUFFIXES
from texneg.datasets.names import escape
from texneg.errors import InputError

Found = tuple[str, os.stat_result | None]


def listed(folder: Path) -> list[os.DirEntry[str]]:
    """Visible entries of a folder, in the bytewise order of the paths below them."""
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
    return sorted(visible, key=lambda e: os.fsencode(f"{e.name}/" if e.is_dir() else e.name))


def is_image(name: str) -> bool:
    """By the suffix; the content decides when the file is decoded."""
    return name.lower().endswith(SUFFIXES)


def without_suffix(path: str) -> str:
    """`a/b.c.jpg` gives `a/b.c`."""
    return path[: path.rindex(".")]


def walk(
    folder: Path,
    skipped: Counter[str],
    *,
    key: Callable[[str], str] | None = None,
    prefix: str = "",
    above: tuple[tuple[int, int], ...] = (),
) -> Iterator[Found]:
    """Images below a folder with their stat (None for a dangling link), following links but no circle.

    Args:
        folder: where to begin.
        skipped: counts what is passed over, by reason.
        key: output name of a file name; if given, two that would overwrite each other are refused.
        prefix: path of the folder, put before what is found.
        above: (device, inode) of the folders on the way here.

    Raises:
        InputError: two names of a folder give one key.
    """
    here = folder.stat()
    identity = (here.st_dev, here.st_ino)
    if identity in above:
        skipped["link to a folder above it"] += 1
        return
    entries = listed(folder)
    if key is not None:
        _refuse_collisions(entries, key, prefix)
    for entry in entries:
        if entry.is_dir():
            inside = f"{prefix}{entry.name}/"
            yield from walk(Path(entry.path), skipped, key=key, prefix=inside, above=(*above, identity))
        elif is_image(entry.name) and (entry.is_file() or entry.is_symlink()):
            yield prefix + entry.name, _stat(entry)
        else:
            skipped["no image by its suffix"] += 1


def _stat(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat()
    except OSError:
        return None


def _refuse_collisions(entries: list[os.DirEntry[str]], key: Callable[[str], str], prefix: str) -> None:
    """Names equal after case folding and Unicode composition overwrite each other on some file systems."""
    taken: dict[str, str] = {}
    for entry in entries:
        if not entry.is_dir() and not is_image(entry.name):
            continue
        name = f"{entry.name}/" if entry.is_dir() else key(entry.name)
        earlier = taken.setdefault(_folded(name), entry.name)
        if earlier != entry.name:
            remedy = "rename one" if _folded(earlier) == _folded(entry.name) else "use --naming append"
            raise InputError(
                f"{escape(prefix + earlier)} and {escape(prefix + entry.name)} would give"
                f" the same output name on some file systems: {remedy}"
            )


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
