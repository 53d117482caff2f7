"""Tar shards by the WebDataset rules: members listed in place, the images among them, tars written anew.

A sample is a run of members with one key; the key is the name up to the first dot of its last part.
Members are read in place and never extracted. Offsets in a compressed tar are in the decompressed stream.
"""

import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import BinaryIO

from texneg.datasets.sources.compressed import DAMAGED, is_compressed, open_stream
from texneg.datasets.sources.items import Item
from texneg.datasets.storage.names import escape, show_dots
from texneg.datasets.storage.places import THREADS, Place, map_in_order, parse_place, size_of
from texneg.datasets.storage.url import Url
from texneg.errors import InputError

BLOCK = 512
TRAILER = bytes(2 * BLOCK)
IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp")
OTHER_EXTENSIONS = ("bmp", "gif", "tif", "tiff")  # of images, where a sample has none of the former
TEXTURE_EXTENSIONS = ("texture.webp", "texture.png")  # beside an image
CLASS_BYTES = 256  # longest `.cls` member that is read
DRAIN = 2**20
NO_IMAGE = "sample without an image (the suffix of a member begins at its first dot)"
_MODE = 0o644

Wanted = tuple[tuple[str, ...], ...]
"""Extensions of members to take, the best group first; of a group the first member."""
IMAGES: Wanted = (IMAGE_EXTENSIONS, OTHER_EXTENSIONS)


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


@dataclass
class Listing:
    """The images of one tar; once they are taken, also its faults."""

    items: Iterable[Item]
    skipped: Counter[str] = field(default_factory=Counter)
    """Numbers of members passed over, by reason."""
    broken: str = ""
    """The place at which the tar breaks off."""


class BrokenTar(Exception):
    """A tar that ends or stops making sense before its trailer."""


def split_name(name: str) -> tuple[str, str]:
    """Key and lower-case extension of a member: `n01/a.seg.PNG` gives (`n01/a`, `seg.png`)."""
    folder, _, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    return (f"{folder}/{stem}" if folder else stem), extension.lower()


def members(path: str | Place) -> Iterator[Member]:
    """List all files of a tar in order; links, devices and unsafe names carry a `problem`.

    Raises:
        BrokenTar: at the point where the tar breaks off, after the members before it.
        OSError: it cannot be read.
    """
    path = parse_place(path)
    end = None if is_compressed(path.name) else size_of(path)
    try:
        with open_stream(path) as file, tarfile.open(fileobj=file, mode="r:", encoding="utf-8") as tar:
            while (info := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # tarfile would keep every header
                if info.size < 0:  # tarfile would go back and read it again, for ever
                    raise BrokenTar(f"{path}: the member {info.name!r} has a negative size")
                if not info.isdir():
                    yield _read_member(info, file)
                if end is not None and info.offset_data + info.size > end:
                    raise BrokenTar(f"{path} breaks off inside the member {info.name!r}")
            file.seek(tar.offset)
            rest = file.read(BLOCK)
            while end is None and file.read(DRAIN):  # to the end, where the checksum of a compressed tar is
                pass
    except (tarfile.TarError, ValueError, *DAMAGED) as error:  # damaged PAX headers leak ValueError
        if isinstance(error, InputError) or getattr(error, "errno", None) is not None:
            raise
        raise BrokenTar(f"{path}: {error}") from error
    if rest.strip(b"\0"):
        raise BrokenTar(f"{path}: what follows byte {tar.offset} is not a tar member")


def samples(path: str | Place) -> Iterator[list[Member]]:
    """Group members into runs with one key.

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


def tar_listings(
    root: Place, split: str, tars: Iterable[str], *, textures: bool = False
) -> Iterator[Listing]:
    """List every tar in order; several at a time in a store, where each header may be a request of its own.

    Args:
        root: what the names are relative to.
        split: of all.
        tars: names.
        textures: of a sample that holds an image and its texture, take the texture.
    """
    wanted = (TEXTURE_EXTENSIONS, *IMAGES) if textures else IMAGES
    if isinstance(root, Url):
        return map_in_order(
            lambda name: _read_whole(_listing(root, split, name, wanted)), tars, ahead=THREADS
        )
    return (_listing(root, split, name, wanted) for name in tars)


def _read_whole(listing: Listing) -> Listing:
    listing.items = list(listing.items)
    return listing


def _listing(root: Place, split: str, name: str, wanted: Wanted) -> Listing:
    listing = Listing(())
    listing.items = _list_items(root / name, split, name, wanted, listing)
    return listing


def _list_items(path: Place, split: str, name: str, wanted: Wanted, listing: Listing) -> Iterator[Item]:
    """List the items of a tar up to its end or break; counts in the listing what it skips."""
    seen: set[str] = set()
    try:
        for sample in samples(path):
            usable = [member for member in sample if not member.problem]
            for member in sample:
                if member.problem:
                    yield replace(_make_item(split, name, member), status="unsafe_path", error=member.problem)
            image = next((m for group in wanted for m in usable if m.extension in group), None)
            if image is None or _has_no_name(image):
                if usable:
                    listing.skipped[NO_IMAGE] += 1
                continue
            yield _add_label(_make_item(split, name, image), _label(image, usable), image.key in seen)
            seen.add(image.key)
    except BrokenTar as error:
        listing.broken = str(error)


def _has_no_name(image: Member) -> bool:
    """True if nothing stands before the first dot: a hidden file, which readers of tars skip."""
    return not image.key or image.key.endswith("/")


def _add_label(item: Item, label: str | None, twice: bool) -> Item:
    if label is not None and is_unsafe(label):
        item = replace(item, status="unsafe_path", error="its .cls would be a folder outside")
    elif label is not None:
        item = replace(item, label=escape(label))
    if twice:
        item = replace(item, status="duplicate_key", error="the key occurs before in this tar")
    return item


def _label(image: Member, sample: list[Member]) -> str | None:
    """The content of the sample's `.cls` unless that is empty, else the first folder of its key."""
    named = next((member for member in sample if member.extension == "cls"), None)
    if named is not None and (label := named.text.decode("utf-8", "surrogateescape").strip()):
        return label
    folder, slash, _ = image.key.partition("/")
    return folder if slash else None


def _make_item(split: str, tar: str, member: Member) -> Item:
    return Item(
        split=split,
        key=show_dots(escape(member.key, percent=False)),
        label=None,
        path=escape(tar),
        member=escape(member.name, percent=False),
        offset=member.offset,
        size=member.size,
    )


def fragment(name: str, data: bytes) -> bytes:
    """Build one member with header and padding. Fragments in a row plus `TRAILER` are a tar.

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
