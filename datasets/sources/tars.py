"""Tar shards by the WebDataset rules: members listed with their place in the file, and written reproducibly.

A sample is a run of members with one key; the key is the name up to the first dot of its last part.
Members are read in place and never extracted. The places in a packed tar are those in the stream inside.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from texneg.datasets.sources.compressed import DAMAGED, is_packed, open_stream
from texneg.datasets.storage.places import Place, place, size_of
from texneg.errors import InputError

BLOCK = 512
TRAILER = bytes(2 * BLOCK)
IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp")
OTHER_EXTENSIONS = ("bmp", "gif", "tif", "tiff")  # of images, where a sample has none of the former
TEXTURE_EXTENSIONS = ("texture.webp", "texture.png")  # beside an image
CLASS_BYTES = 256  # longest `.cls` member that is read
DRAIN = 2**20
_MODE = 0o644


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
    """All files of a tar in their order; links, devices and unsafe names carry a `problem`.

    Raises:
        BrokenTar: at the point where the tar breaks off, after the members before it.
        OSError: it cannot be read.
    """
    path = place(path)
    end = None if is_packed(path.name) else size_of(path)
    try:
        with open_stream(path) as file, tarfile.open(fileobj=file, mode="r:", encoding="utf-8") as tar:
            while (info := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # tarfile would keep every header
                if info.size < 0:  # tarfile would go back and read it again, for ever
                    raise BrokenTar(f"{path}: the member {info.name!r} has a negative size")
                if not info.isdir():
                    yield _member(info, file)
                if end is not None and info.offset_data + info.size > end:
                    raise BrokenTar(f"{path} breaks off inside the member {info.name!r}")
            file.seek(tar.offset)
            rest = file.read(BLOCK)
            while end is None and file.read(DRAIN):  # to the end, where the checksum of a packed tar is
                pass
    except (tarfile.TarError, ValueError, *DAMAGED) as error:  # damaged PAX headers leak ValueError
        if isinstance(error, InputError) or getattr(error, "errno", None) is not None:
            raise
        raise BrokenTar(f"{path}: {error}") from error
    if rest.strip(b"\0"):
        raise BrokenTar(f"{path}: what follows byte {tar.offset} is not a tar member")


def samples(path: str | Place) -> Iterator[list[Member]]:
    """Runs of members with one key.

    Raises:
        BrokenTar: after the last run, which is what there is of it, where the tar breaks off.
    """
    run: list[Member] = []
    try:
        for member in members(path):
            if run and member.key != run[0].key:
                yield run
                run = []
            run.append(member)
    except BrokenTar:
        if run:
            yield run
        raise
    if run:
        yield run


def _member(info: tarfile.TarInfo, file: BinaryIO) -> Member:
    name = str(PurePosixPath(info.name)) if info.name.startswith("./") else info.name
    key, extension = split_name(name)
    problem, text = _problem(name, info), b""
    if extension == "cls" and not problem:
        file.seek(info.offset_data)
        text = file.read(min(info.size, CLASS_BYTES))
    return Member(name, key, extension, info.offset_data, info.size, problem, text)


def _problem(name: str, info: tarfile.TarInfo) -> str:
    if not info.isreg() or info.issparse():
        return "a link, device or sparse member, not an ordinary file"
    return "the name is absolute, climbs out with '..' or holds a NUL" if is_unsafe(name) else ""


def is_unsafe(name: str) -> bool:
    """Whether a file of that name below a folder could lie outside of it, or nowhere."""
    parts = PurePosixPath(name).parts
    return name.startswith("/") or ".." in parts or "\0" in name or not parts


def fragment(name: str, data: bytes) -> bytes:
    """One member with header and padding. Fragments in a row plus `TRAILER` are a tar.

    USTAR with time 0, owner 0 and mode 0644: equal contents give equal bytes. A name that USTAR cannot
    hold takes a PAX header.
    """
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), _MODE
    try:
        header = info.tobuf(tarfile.USTAR_FORMAT, "utf-8")
    except ValueError:
        header = info.tobuf(tarfile.PAX_FORMAT, "utf-8")
    return header + data + bytes(-len(data) % BLOCK)


def data_offset(name: str) -> int:
    """Bytes of header before the data of a member called `name`."""
    return len(fragment(name, b""))
