"""Files that are complete under their name or not there: temporary file, fsync, rename, fsync folder."""

import json
import os
import secrets
from pathlib import Path
from typing import Any

TEMPORARY_SUFFIX = ".tmp"
_NAME_BYTES = 180  # of the target's name inside the temporary name, so that both stay under NAME_MAX (255)


def temporary_name(name: str, tag: str = "") -> str:
    """`.<name>.<tag>-<8 hex>.tmp` (no tag: `.<name>.<8 hex>.tmp`): hidden, unique, and no loader's suffix."""
    token = secrets.token_hex(4)
    return (
        f".{os.fsdecode(os.fsencode(name)[:_NAME_BYTES])}.{f'{tag}-' if tag else ''}{token}{TEMPORARY_SUFFIX}"
    )


def write_bytes(path: str | Path, data: bytes, *, tag: str = "", sync_folder: bool = True) -> None:
    """Put `data` under `path` so that a reader, or a crash at any moment, sees the old file or the new one.

    Parent folders are made. The temporary file lies in the target's folder and is removed on failure.

    Args:
        path: the final name; an existing file is replaced.
        data: the whole content.
        tag: goes into the temporary name, so that a run can find what a kill left behind.
        sync_folder: also make the rename itself durable; a caller that writes many files into one folder
            passes False and calls `fsync_folder` once.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(temporary_name(path.name, tag))
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if sync_folder:
        fsync_folder(path.parent)


def fsync_folder(folder: str | Path) -> None:
    """Make the renames inside a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def to_json(value: Any, *, indent: int | None = 2) -> bytes:
    """JSON with sorted keys and a final newline: equal values give equal bytes."""
    return (json.dumps(value, sort_keys=True, indent=indent, ensure_ascii=False) + "\n").encode(
        "utf-8", "surrogateescape"
    )


def write_json(path: str | Path, value: Any, *, tag: str = "") -> None:
    """`write_bytes` of `to_json(value)`."""
    write_bytes(path, to_json(value), tag=tag)


def append_json_line(path: str | Path, value: Any) -> None:
    """Append one JSON line in one write; a line that a crash cut short is closed off first."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        torn = False
        if file.tell() > 0:
            file.seek(-1, os.SEEK_END)
            torn = file.read(1) != b"\n"
        file.write((b"\n" if torn else b"") + to_json(value, indent=None))
        file.flush()
        os.fsync(file.fileno())
