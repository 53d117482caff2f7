"""Which images the samples of a tar hold, and under which label."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from texneg.datasets.sources.items import Item
from texneg.datasets.sources.tars import (
    IMAGE_EXTENSIONS,
    OTHER_EXTENSIONS,
    TEXTURE_EXTENSIONS,
    BrokenTar,
    Member,
    is_unsafe,
    samples,
)
from texneg.datasets.storage.names import escape, show_dots
from texneg.datasets.storage.places import THREADS, Place, in_order
from texneg.datasets.storage.url import Url

Wanted = tuple[tuple[str, ...], ...]
"""Extensions of members to take, the best group first; of a group the first member."""
IMAGES: Wanted = (IMAGE_EXTENSIONS, OTHER_EXTENSIONS)
NO_IMAGE = "sample without an image (the suffix of a member begins at its first dot)"


@dataclass
class Listing:
    """The images of one tar, and what was found on the way once they are taken."""

    items: Iterable[Item]
    skipped: Counter[str] = field(default_factory=Counter)
    """What was passed over, by reason."""
    broken: str = ""
    """Where the tar breaks off."""


def tar_listings(
    root: Place, split: str, tars: Iterable[str], *, textures: bool = False
) -> Iterator[Listing]:
    """Every tar in order; several at a time from a store, where each header may be a request of its own.

    Args:
        root: what the names are relative to.
        split: of all.
        tars: names.
        textures: of a sample that holds an image and its texture, take the texture.
    """
    wanted = (TEXTURE_EXTENSIONS, *IMAGES) if textures else IMAGES
    if isinstance(root, Url):
        return in_order(lambda name: _whole(_listing(root, split, name, wanted)), tars, ahead=THREADS)
    return (_listing(root, split, name, wanted) for name in tars)


def _whole(listing: Listing) -> Listing:
    listing.items = list(listing.items)
    return listing


def _listing(root: Place, split: str, name: str, wanted: Wanted) -> Listing:
    listing = Listing(())
    listing.items = _items(root / name, split, name, wanted, listing)
    return listing


def _items(path: Place, split: str, name: str, wanted: Wanted, listing: Listing) -> Iterator[Item]:
    """Items of a tar up to its end or break; notes in the listing what it passes over."""
    seen: set[str] = set()
    try:
        for sample in samples(path):
            usable = [member for member in sample if not member.problem]
            for member in sample:
                if member.problem:
                    yield replace(_item(split, name, member), status="unsafe_path", error=member.problem)
            image = next((m for group in wanted for m in usable if m.extension in group), None)
            if image is None or _has_no_name(image):
                if usable:
                    listing.skipped[NO_IMAGE] += 1
                continue
            yield _labelled(_item(split, name, image), _label(image, usable), image.key in seen)
            seen.add(image.key)
    except BrokenTar as error:
        listing.broken = str(error)


def _has_no_name(image: Member) -> bool:
    """Whether nothing stands before the first dot: a hidden file, which readers of tars pass over."""
    return not image.key or image.key.endswith("/")


def _labelled(item: Item, label: str | None, twice: bool) -> Item:
    if label is not None and is_unsafe(label):
        item = replace(item, status="unsafe_path", error="its .cls would be a folder outside")
    elif label is not None:
        item = replace(item, label=escape(label))
    if twice:
        item = replace(item, status="duplicate_key", error="the key occurs before in this tar")
    return item


def _label(image: Member, sample: list[Member]) -> str | None:
    """Content of the sample's `.cls` unless that is empty, else the first folder of its key."""
    named = next((member for member in sample if member.extension == "cls"), None)
    if named is not None and (label := named.text.decode("utf-8", "surrogateescape").strip()):
        return label
    folder, slash, _ = image.key.partition("/")
    return folder if slash else None


def _item(split: str, tar: str, member: Member) -> Item:
    return Item(
        split=split,
        key=show_dots(escape(member.key, percent=False)),
        label=None,
        path=escape(tar),
        member=escape(member.name, percent=False),
        offset=member.offset,
        size=member.size,
    )
