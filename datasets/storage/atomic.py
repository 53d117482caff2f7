"""Atomic writing: a file is complete under its name, or not there.

On disk: temporary file, fsync, rename, fsync folder. In a store: built here, then put whole.
"""

import ctypes
import errno
import os
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from texneg.datasets.storage.places import Place, map_in_order, parse_place
from texneg.datasets.storage.url import Url
from texneg.errors import RunFailed

TEMPORARY_SUFFIX = ".tmp"
_NAME_BYTES = 180  # of the target's name inside the temporary name, so that both stay under NAME_MAX (255)


def temporary_name(name: str, tag: str = "") -> str:
    """Make a hidden and unique name: `.<name>.<tag>-<8 hex>.tmp`, or `.<name>.<8 hex>.tmp` without a tag."""
    token = secrets.token_hex(4)
    return (
        f".{os.fsdecode(os.fsencode(name)[:_NAME_BYTES])}.{f'{tag}-' if tag else ''}{token}{TEMPORARY_SUFFIX}"
    )


@contextmanager
def atomic_file(path: str | Place, *, tag: str = "") -> Iterator[BinaryIO]:
    """Open a file that takes its name when the block ends well and leaves nothing otherwise.

    Parent folders are made. A reader, or a crash at any moment, sees the old file or the whole new one.

    Args:
        path: the final name; an existing file is replaced. A URL is put when the block ends well.
        tag: goes into the temporary name, so that a run can find what a kill left behind.
    """
    path = parse_place(path)
    if isinstance(path, Url):
        with tempfile.NamedTemporaryFile(prefix="texneg-") as scratch:
            yield cast(BinaryIO, scratch)
            scratch.flush()
            path.put_file(Path(scratch.name))
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(temporary_name(path.name, tag))
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_folder(path.parent)


def write_bytes(path: str | Place, data: bytes, *, tag: str = "") -> None:
    """Write a file atomically and durably."""
    path = parse_place(path)
    if isinstance(path, Url):
        path.put(data)
        return
    with atomic_file(path, tag=tag) as file:
        file.write(data)


def write_many(files: Sequence[tuple[Place, bytes]], *, tag: str = "") -> None:
    """Write many files like `write_bytes`, all on disk or all in one store.

    On disk there is one flush of the file system instead of one a file, which would cost more than making an
    image does, and no file takes its name before the contents of all are on disk. A store gets several
    requests at a time.
    """
    for _ in map_in_order(lambda one: one[0].put(one[1]), [(p, d) for p, d in files if isinstance(p, Url)]):
        pass
    _write_many([(path, data) for path, data in files if isinstance(path, Path)], tag)


def _write_many(files: Sequence[tuple[Path, bytes]], tag: str) -> None:
    renames: dict[Path, Path] = {}
    folders = {path.parent for path, _ in files}
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        for path, data in files:
            temporary = path.with_name(temporary_name(path.name, tag))
            renames[temporary] = path
            with temporary.open("xb") as file:
                file.write(data)
        for folder in {folder.stat().st_dev: folder for folder in folders}.values():
            sync_file_system(folder)
        for temporary, path in renames.items():
            temporary.replace(path)
    except BaseException:
        for temporary in renames:
            temporary.unlink(missing_ok=True)
        raise
    for folder in folders:
        fsync_folder(folder)


def sync_file_system(folder: Path) -> None:
    """Wait until everything written to the file system of `folder` is on disk (syncfs of Linux)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "syncfs"):
            os.sync()
        elif libc.syncfs(descriptor) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), str(folder))
    finally:
        os.close(descriptor)


def fsync_folder(folder: str | Path) -> None:
    """Make the renames inside a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def write_errors(path: Path, goes_on: str) -> Iterator[None]:
    """Name the remedy where a file or a folder cannot be written.

    Args:
        path: of the file or folder, for the message.
        goes_on: what the same command does afterwards, such as "it goes on".

    Raises:
        RunFailed: in place of OSError.
    """
    try:
        yield
    except OSError as error:
        raise RunFailed(
            f"{path} cannot be written ({error.strerror}); {find_remedy(error)}, then run the same command"
            f" again: {goes_on}"
        ) from error


def find_remedy(error: OSError) -> str:
    """Return what helps where a file cannot be written, by the error's number."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "make room there"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "allow writing there, or choose another place"
    return "mend that, or choose another place"
