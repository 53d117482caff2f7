"""Tar shards by the WebDataset rules: the images among their members, and tars written anew."""

import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from texneg.datasets.sources.items import Item
from texneg.datasets.sources.members import BLOCK, BrokenTar, Member, is_unsafe, samples
from texneg.datasets.sources.passed_over import (
    HIDDEN,
    NO_IMAGE,
    SYSTEM,
    TAR_BELOW,
    TAR_INSIDE,
    PassedOver,
    explain_file,
    is_image,
    is_system_folder,
)
from texneg.datasets.storage.names import escape, show_dots
from texneg.datasets.storage.places import THREADS, Place, map_in_order
from texneg.datasets.storage.url import Url

TRAILER = bytes(2 * BLOCK)
IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp")
# Of images, where a sample has none of the former.
OTHER_EXTENSIONS = ("bmp", "gif", "tif", "tiff", "jpe", "jfif", "ppm", "pgm", "pbm", "pnm")
TEXTURE_EXTENSIONS = ("texture.webp", "texture.png", "texture.tiff", "texture.npy")  # beside an image
ARRAY_EXTENSIONS = ("npy",)
NO_SAMPLE = "member of a sample without an image"
MORE_IMAGES = "further image of a sample, of which one is taken"
DOTTED = "in a tar the suffix begins at the first dot of a name: write the dots that are no part of it as %2E"
LOST_LABEL = ".cls apart from its image: the members of a sample stand together and differ in suffix alone"
_MODE = 0o644

Wanted = tuple[tuple[str, ...], ...]
"""Extensions of members to take, the best group first; of a group the first member."""
IMAGES: Wanted = (IMAGE_EXTENSIONS, OTHER_EXTENSIONS)


@dataclass
class Listing:
    """The images of one tar; once they are taken, also its faults."""

    items: Iterable[Item]
    passed_over: PassedOver = field(default_factory=PassedOver)
    broken: str = ""
    """The place at which the tar breaks off."""


def tar_listings(
    root: Place, split: str, tars: Iterable[str], *, textures: bool = False, arrays: bool = False
) -> Iterator[Listing]:
    """List every tar in order; several at a time in a store, where each header may be a request of its own.

    Args:
        root: what the names are relative to.
        split: of all.
        tars: names.
        textures: of a sample that holds an image and its texture, take the texture.
        arrays: take .npy files for images, too, where a sample has no other.
    """
    images = (*IMAGES, ARRAY_EXTENSIONS) if arrays else IMAGES
    wanted = (TEXTURE_EXTENSIONS, *images) if textures else images
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
    """List the items of a tar up to its end or break; counts in the listing what it passes over."""
    passed_over = listing.passed_over
    seen: set[str] = set()
    early: dict[str, str] = {}  # labels that came before their images: key, name
    try:
        for sample in samples(path):
            yield from (_make_bad_item(split, name, m, "unsafe_path", m.problem) for m in sample if m.problem)
            usable = [
                member for member in sample if not member.problem and _is_own(member, name, passed_over)
            ]
            image = next((m for group in wanted for m in usable if m.extension in group), None)
            if image is None:
                yield from _pass_over(usable, split, name, seen, early, passed_over)
                continue
            _count_more(image, usable, name, passed_over)
            if (lost := early.pop(image.key, None)) is not None:
                passed_over.add(LOST_LABEL, f"{name}::{lost}")
            yield _add_label(_make_item(split, name, image), _label(image, usable), image.key in seen)
            seen.add(image.key)
    except BrokenTar as error:
        listing.broken = str(error)
    for label in early.values():
        passed_over.add(NO_SAMPLE, f"{name}::{label}")


def _is_own(member: Member, tar: str, passed_over: PassedOver) -> bool:
    """True unless the member is hidden, as readers of tars see it, or in a folder that a system made."""
    hidden = not member.key or member.key.endswith("/")
    system = any(map(is_system_folder, member.name.split("/")[:-1]))
    if (hidden or system) and is_image(member.name):
        passed_over.add(HIDDEN if hidden else SYSTEM, f"{tar}::{member.name}")
    return not (hidden or system)


def _pass_over(
    sample: list[Member],
    split: str,
    tar: str,
    seen: set[str],
    early: dict[str, str],
    passed_over: PassedOver,
) -> Iterator[Item]:
    """Count the members of a sample without an image; those called like one become items with a status."""
    for member in sample:
        if is_image(member.name) and member.key in seen:
            passed_over.add(MORE_IMAGES, f"{tar}::{member.name}")
        elif is_image(member.name):
            whole = replace(member, key=member.name.rpartition(".")[0])
            yield _make_bad_item(split, tar, whole, "dotted_name", DOTTED)
        elif member.extension == "cls" and member.key not in seen:
            early[member.key] = member.name
        else:
            passed_over.add(_explain_member(member), f"{tar}::{member.name}")


def _explain_member(member: Member) -> str:
    if member.extension == "cls":
        return LOST_LABEL
    reason = explain_file(member.name)
    return {TAR_BELOW: TAR_INSIDE, NO_IMAGE: NO_SAMPLE}.get(reason, reason)


def _count_more(image: Member, sample: list[Member], tar: str, passed_over: PassedOver) -> None:
    """Count further images of a sample, besides the pair of an image and its texture, and lost labels."""
    texture = image.extension in TEXTURE_EXTENSIONS
    labelled = any(member.extension == "cls" for member in sample)
    for member in sample:
        if member is image:
            continue
        if is_image(member.name) and not texture and member.extension not in TEXTURE_EXTENSIONS:
            passed_over.add(MORE_IMAGES, f"{tar}::{member.name}")
        elif member.extension.endswith(".cls") and not labelled:
            passed_over.add(LOST_LABEL, f"{tar}::{member.name}")


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


def _make_bad_item(split: str, tar: str, member: Member, status: str, error: str) -> Item:
    return replace(_make_item(split, tar, member), status=status, error=error)


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
