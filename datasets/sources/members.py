"""The members of a tar in place, and samples of them.

A sample is a run of members with one key; the key is the name up to the first dot of its last part.
Members are read in place and never extracted. Offsets in a compressed tar are in the decompressed stream.
"""

import tarfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from texneg.datasets.sources.compressed import DAMAGED, is_compressed, open_stream
from texneg.datasets.storage.places import Place, parse_place, size_of
from texneg.errors import InputError

BLOCK = 512
CLASS_BYTES = 256  # longest `.cls` member that is read


@dataclass(frozen=True, slots=True)
class Member:
    """One file in a tar: `size` bytes from `offset` on."""

    name: str
    key: str
    extension: str
    """Lower case, without the dot; `seg.png` for `a.seg.png`."""
    offset: int
    size: int
    problem: str = ""
    """Why this member must not be used; empty for an ordinary file with a safe name."""
    text: bytes = b""
    """Beginning of a `.cls` member."""


class BrokenTar(Exception):
    """A tar that ends or stops making sense before its trailer."""


def split_name(name: str) -> tuple[str, str]:
    """Key and lower-case extension of a member: `n01/a.seg.PNG` gives (`n01/a`, `seg.png`)."""
    folder, _, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    return (f"{folder}/{stem}" if folder else stem), extension.lower()


def members(path: str | Place) -> Iterator[Member]:
    """List all files of a tar in order; links, devices and unsafe names carry a `problem`.

    A tar may be several archives in a row, each with its own end and zeros after it.

    Raises:
        BrokenTar: at the point where the tar breaks off, after the members before it.
        OSError: it cannot be read.
    """
    path = parse_place(path)
    end = None if is_compressed(path.name) else size_of(path)
    start: int | None = 0
    try:
        with open_stream(path) as file:
            while start is not None:
                stopped = yield from _archive_members(path, file, start, end)
                start = _find_archive(path, file, stopped)
                if start == stopped:
                    raise BrokenTar(f"{path}: what follows byte {start} is not a tar member")
    except (tarfile.TarError, ValueError, *DAMAGED) as error:  # damaged PAX headers leak ValueError
        if isinstance(error, InputError) or getattr(error, "errno", None) is not None:
            raise
        raise BrokenTar(f"{path}: {error}") from error


def _archive_members(
    path: Place, file: BinaryIO, start: int, end: int | None
) -> Generator[Member, None, int]:
    """List the files of the archive that begins at byte `start`; returns where it stops making sense."""
    file.seek(start)
    with tarfile.open(fileobj=file, mode="r:", encoding="utf-8") as tar:
        while (info := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # tarfile would keep every header
            if info.size < 0:  # tarfile would go back and read it again, for ever
                raise BrokenTar(f"{path}: the member {info.name!r} has a negative size")
            if not info.isdir():
                yield _read_member(info, file)
            if end is not None and info.offset_data + info.size > end:
                raise BrokenTar(f"{path} breaks off inside the member {info.name!r}")
        return tar.offset


def _find_archive(path: Place, file: BinaryIO, stopped: int) -> int | None:
    """Find the next archive behind zeros; None at the end of the file, where a compressed one is checked."""
    file.seek(stopped)
    while block := file.read(BLOCK):
        if block.strip(b"\0"):
            try:
                tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except tarfile.TarError:
                raise BrokenTar(f"{path}: what follows byte {stopped} is not a tar member") from None
            return stopped
        stopped += len(block)
    return None


def samples(path: str | Place) -> Iterator[list[Member]]:
    """Group members into runs with one key. A name that a run has already begins another.

    Raises:
        BrokenTar: after the last run, which is what there is of it, where the tar breaks off.
    """
    run: list[Member] = []
    names: set[str] = set()
    try:
        for member in members(path):
            if run and (member.key != run[0].key or member.name in names):
                yield run
                run = []
                names.clear()
            run.append(member)
            names.add(member.name)
    except BrokenTar:
        if run:
            yield run
        raise
    if run:
        yield run


def _read_member(info: tarfile.TarInfo, file: BinaryIO) -> Member:
    name = str(PurePosixPath(info.name)) if info.name.startswith("./") else info.name
    key, extension = split_name(name)
    problem, text = _find_problem(name, info), b""
    if extension == "cls" and not problem:
        file.seek(info.offset_data)
        text = file.read(min(info.size, CLASS_BYTES))
    return Member(name, key, extension, info.offset_data, info.size, problem, text)


def _find_problem(name: str, info: tarfile.TarInfo) -> str:
    if not info.isreg() or info.issparse():
        return "a link, device or sparse member, not an ordinary file"
    return "the name is absolute, climbs out with '..' or holds a NUL" if is_unsafe(name) else ""


def is_unsafe(name: str) -> bool:
    """True if a file of this name below a folder could lie outside of it, or nowhere."""
    parts = PurePosixPath(name).parts
    return name.startswith("/") or ".." in parts or "\0" in name or not parts
