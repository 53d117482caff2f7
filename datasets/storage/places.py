"""Places, a `pathlib.Path` on disk or a `Url` in a store, and functions that treat both alike."""

import os
import shutil
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, TypeVar

from texneg.datasets.storage.url import Entry, Url
from texneg.errors import InputError

Place = Path | Url
FolderEntry = os.DirEntry[str] | Entry
THREADS = 16  # requests under way at the same time
SMALL_THREADS = 64  # of those for a few hundred bytes
_LOCAL = ("file", "local")
T = TypeVar("T")
R = TypeVar("R")


def parse_place(text: str | Place) -> Place:
    """Parse a path or a URL; `file://` is a path.

    Raises:
        InputError: a chain of URLs.
    """
    if not isinstance(text, str):
        return text
    scheme, mark, rest = text.partition("://")
    if not mark:
        return Path(text)
    if scheme in _LOCAL:
        return Path(rest)
    if "::" in text:
        raise InputError(f"{text}: chains of URLs are not supported; give one URL, or copy the data first")
    return Url(text.rstrip("/"))


def require_folder(folder: str | Place, flag: str) -> None:
    """Refuse a folder on disk that can be neither made nor written to, before any work is done for it.

    Raises:
        InputError: naming what stands in the way.
    """
    folder = parse_place(folder)
    if isinstance(folder, Url):
        return
    nearest = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), Path())
    if not nearest.is_dir():
        raise InputError(f"{flag} {folder}: {nearest} is no folder; give another place")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f"{flag} {folder}: this user cannot write to {nearest}; give another place")


def make_absolute(where: Place) -> Place:
    """Make a path absolute; a URL is."""
    return where if isinstance(where, Url) else where.absolute()


def resolve(where: Place) -> Place:
    """Resolve the links of a path; a URL stays as it is."""
    return where if isinstance(where, Url) else where.resolve()


def is_inside(where: Place, folder: Place) -> bool:
    """True if a place is a folder or lies below it."""
    if isinstance(where, Url) or isinstance(folder, Url):
        return f"{where}/".startswith(f"{folder}/") and type(where) is type(folder)
    return where.resolve().is_relative_to(folder.resolve())


def size_of(where: Place) -> int:
    """The size of a file in bytes; -1 if there is none."""
    try:
        return where.size() if isinstance(where, Url) else where.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return -1


def read_range(where: str | Place, offset: int, size: int) -> bytes:
    """Read `size` bytes of a file from `offset` on; fewer where the file ends."""
    where = parse_place(where)
    if isinstance(where, Url):
        return where.read_range(offset, size)
    with where.open("rb") as file:
        file.seek(offset)
        return file.read(size)


def open_read(where: Place) -> BinaryIO:
    """Open a file for reading."""
    return where.open_read() if isinstance(where, Url) else where.open("rb")


def list_dir(folder: Place, *, hidden: bool = False) -> Sequence[FolderEntry]:
    """List the visible entries of a folder, in the bytewise order of the paths below them.

    Args:
        folder: on disk or in a store.
        hidden: list those, too, whose names begin with a dot.
    """
    listed: list[FolderEntry]
    if isinstance(folder, Url):
        listed = [entry for entry in folder.listing() if hidden or not entry.name.startswith(".")]
    else:
        with os.scandir(folder) as entries:
            listed = [_without_circle(entry) for entry in entries if hidden or not entry.name.startswith(".")]
    return sorted(listed, key=lambda e: os.fsencode(f"{e.name}/" if e.is_dir() else e.name))


def _without_circle(entry: os.DirEntry[str]) -> FolderEntry:
    """Replace a link in a circle, for which `is_dir` fails, by an entry for a broken link."""
    try:
        entry.is_dir()
    except OSError:
        return Entry(entry.name, folder=False, size=None)
    return entry


def list_files(folder: Place) -> Iterator[str]:
    """List every file below a folder by its path from there, hidden ones too. Links are not followed."""
    if isinstance(folder, Url):
        yield from folder.files()
        return
    for here, _, names in os.walk(folder):
        prefix = "" if here == str(folder) else f"{here[len(str(folder)) + 1 :]}/"
        yield from (prefix + name for name in names)


def is_empty(folder: Place) -> bool:
    """True if a folder is empty or does not exist."""
    if isinstance(folder, Url):
        return not folder.listing()
    return not (folder.is_dir() and any(folder.iterdir()))


def free_bytes(folder: Path) -> int:
    """Free space on the file system where a folder lies or would lie."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def make_folder(folder: Place) -> None:
    """Make a folder and those above it; a store has none."""
    if isinstance(folder, Path):
        folder.mkdir(parents=True, exist_ok=True)


def remove_empty_folders(folder: Place) -> None:
    """Remove a folder and those below it as far as no file is in them; a store has none."""
    if isinstance(folder, Path):
        for here, _, _ in os.walk(folder, topdown=False):
            if not any(Path(here).iterdir()):
                Path(here).rmdir()


def remove_all(places: Iterable[Place]) -> None:
    """Remove those files that exist."""
    remote: list[Url] = []
    for where in places:
        if isinstance(where, Url):
            remote.append(where)
        else:
            where.unlink(missing_ok=True)
    for _ in map_in_order(lambda url: url.unlink(missing_ok=True), remote):
        pass


def remove_tree(folder: Place) -> None:
    """Remove a folder and all that is in it, if it is there."""
    if isinstance(folder, Url):
        remove_all([folder / name for name in folder.files()])
    else:
        shutil.rmtree(folder, ignore_errors=True)


def list_sizes(folder: Place) -> Iterator[tuple[str, int]]:
    """List name and size of each file directly in a folder; nothing if there is no folder."""
    if isinstance(folder, Url):
        yield from ((entry.name, entry.size or 0) for entry in folder.listing() if not entry.folder)
    elif folder.is_dir():
        with os.scandir(folder) as entries:
            yield from ((entry.name, entry.stat().st_size) for entry in entries if entry.is_file())


def read_all(places: Iterable[Place]) -> Iterator[bytes | None]:
    """Read many small files in order; None for each that does not exist."""
    return map_in_order(read_or_none, places, threads=SMALL_THREADS, ahead=2 * SMALL_THREADS)


def read_or_none(where: Place) -> bytes | None:
    """Read a file; None if it does not exist."""
    try:
        return where.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def map_in_order(
    function: Callable[[T], R], values: Iterable[T], *, threads: int = THREADS, ahead: int = 2 * THREADS
) -> Generator[R, None, None]:
    """Map in a thread pool, in order, never more than `ahead` values in front of the caller."""
    pending: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for value in values:
                pending.append(pool.submit(function, value))
                if len(pending) >= ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
