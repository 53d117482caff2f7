"""What a data set on disk holds: images in class folders, or WebDataset tar shards, in a fixed order.

The order is bytewise by POSIX path below the split, so that a plan made on one machine equals the plan made
on another.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from texneg.datasets.decode import SUFFIXES
from texneg.datasets.names import escape, show_dots, unescape
from texneg.datasets.tar import IMAGE_EXTENSIONS, BrokenTar, Member, is_unsafe, read_span, samples
from texneg.datasets.tree import is_image, listed, walk, without_suffix
from texneg.errors import InputError

Kind = Literal["folder", "webdataset"]
SPLITS = ("train", "val", "validation", "test")
_PACKED = (".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar.zst")
_CLASS_BYTES = 256  # longest `.cls` member that is read


@dataclass(frozen=True, slots=True)
class Item:
    """One input image: a file, or a span of a tar. Names are percent-escaped (`texneg.datasets.names`)."""

    split: str
    """train, val, validation or test; empty without splits."""
    key: str
    """Path below the split without its last suffix; in a tar the WebDataset key with `%2E` read as a dot."""
    label: str | None
    """Class folder, or content of the sample's `.cls`."""
    path: str
    """The file below the root: the image, or the tar that holds it."""
    member: str = ""
    """Name inside the tar; empty for a file."""
    offset: int = 0
    size: int = 0
    status: str = ""
    """Set where the scan already knows that the image cannot be used."""
    error: str = ""

    @property
    def src(self) -> str:
        """`path`, or `tar::member`."""
        return f"{self.path}::{self.member}" if self.member else self.path


@dataclass(frozen=True)
class Source:
    """An opened data set; `items` walks it."""

    root: Path
    kind: Kind
    splits: tuple[str, ...]
    """Split folders below the root; one empty name where there are none."""
    only: str = ""
    """Name of the one tar to read, where the source is a file."""
    naming: Literal["replace", "append"] = "replace"
    """Key of a file: without its suffix, or with it."""
    skipped: Counter[str] = field(default_factory=Counter)
    """What `items` passed over, by reason."""
    broken: list[str] = field(default_factory=list)
    """Tars that `items` found to break off."""

    def items(self, *, unique: bool = False) -> Iterator[Item]:
        """Every image in order.

        Raises:
            InputError: with `unique`, when two names of a folder would give one key on some file system.
        """
        self.skipped.clear()
        self.broken.clear()
        if self.splits != ("",):
            for entry in listed(self.root):
                if entry.name not in self.splits and (entry.is_dir() or is_image(entry.name)):
                    self.skipped["folder or image beside the splits (--splits none takes all)"] += 1
        for split in self.splits:
            if self.kind == "folder":
                yield from _tree_items(self, split, unique)
                continue
            for name in self.tars(split):
                try:
                    yield from _tar_items(self, split, name)
                except BrokenTar as error:
                    self.broken.append(str(error))

    def tars(self, split: str) -> list[str]:
        """Names of the tar shards of a split, relative to the root."""
        if self.only:
            return [self.only]
        prefix = f"{split}/" if split else ""
        return [prefix + entry.name for entry in listed(self.root / split) if _is_tar(entry)]


def open_source(
    path: str | Path,
    *,
    splits: Literal["auto", "none"] = "auto",
    naming: Literal["replace", "append"] = "replace",
) -> Source:
    """Recognise a class-folder tree, a flat folder of images, a folder of tar shards or a single tar.

    A split is a direct child called train, val, validation or test that holds folders or tars.

    Raises:
        InputError: nothing there, nothing in it, a remote or packed source.
    """
    if "://" in str(path):
        raise InputError(f"{path} is a URL; only local paths are read: mount or copy it first")
    root = Path(path)
    if not root.exists():
        raise InputError(
            f"{path} does not exist; give a folder of images, a folder of .tar shards, or a .tar"
        )
    if root.is_file():
        if root.suffix != ".tar":
            raise InputError(
                f"{path} is a file but no .tar; {_packed_hint(root.name) or 'give a folder or a .tar'}"
            )
        return Source(root.parent, "webdataset", ("",), only=root.name, naming=naming)
    entries = listed(root)
    found = () if splits == "none" else tuple(e.name for e in entries if e.name in SPLITS and _is_split(e))
    top = [entry for split in found for entry in listed(root / split)] if found else entries
    tars = any(_is_tar(entry) for entry in top)
    if tars and any(entry.is_dir() or is_image(entry.name) for entry in top):
        raise InputError(f"{path} holds tar shards beside folders or images: give the one or the other")
    if not tars and not any(entry.is_dir() or is_image(entry.name) for entry in top):
        hint = next(
            (h for h in (_packed_hint(e.name) for e in top) if h), f"images end in {' '.join(SUFFIXES)}"
        )
        raise InputError(f"{path} holds no images and no .tar shards; {hint}")
    return Source(root, "webdataset" if tars else "folder", found or ("",), naming=naming)


def root_of(path: str | Path) -> Path:
    """What the paths of a source's items are relative to."""
    return Path(path) if Path(path).is_dir() else Path(path).parent


def read_item(root: str | Path, item: Item) -> bytes:
    """Bytes of an image; one more than `item.size` where its file has grown."""
    return read_span(Path(root, unescape(item.path)), item.offset, item.size + (not item.member))


def _is_tar(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith(".tar") and entry.is_file()


def _is_split(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir() and any(child.is_dir() or _is_tar(child) for child in listed(Path(entry.path)))


def _packed_hint(name: str) -> str:
    return f"{name} is packed: unpack it first" if name.lower().endswith((*_PACKED, ".zip")) else ""


def _tree_items(source: Source, split: str, unique: bool) -> Iterator[Item]:
    name = without_suffix if source.naming == "replace" else str
    for relative, stat in walk(source.root / split, source.skipped, key=name if unique else None):
        folder, slash, _ = relative.partition("/")
        yield Item(
            split=split,
            key=escape(name(relative)),
            label=escape(folder) if slash else None,
            path=escape(f"{split}/{relative}" if split else relative),
            size=stat.st_size if stat else 0,
            status="" if stat else "decode_error",
            error="" if stat else "a link that leads nowhere",
        )


def _tar_items(source: Source, split: str, name: str) -> Iterator[Item]:
    seen: set[str] = set()
    path = source.root / name
    for sample in samples(path):
        usable = [member for member in sample if not member.problem]
        for member in sample:
            if member.problem:
                yield replace(_tar_item(split, name, member), status="unsafe_path", error=member.problem)
        image = next((member for member in usable if member.extension in IMAGE_EXTENSIONS), None)
        if image is None:
            if usable:
                source.skipped["sample without an image"] += 1
            continue
        label = _label(path, image, usable)
        item = _tar_item(split, name, image)
        if label is not None and is_unsafe(label):
            item = replace(item, status="unsafe_path", error="its .cls would be a folder outside")
        elif label is not None:
            item = replace(item, label=escape(label))
        if image.key in seen:
            item = replace(item, status="duplicate_key", error="the key occurs before in this tar")
        seen.add(image.key)
        yield item


def _label(path: Path, image: Member, sample: list[Member]) -> str | None:
    """Content of the sample's `.cls` unless that is empty, else the first folder of its key."""
    named = next((member for member in sample if member.extension == "cls"), None)
    if named is not None:
        text = read_span(path, named.offset, min(named.size, _CLASS_BYTES))
        if label := text.decode("utf-8", "surrogateescape").strip():
            return label
    folder, slash, _ = image.key.partition("/")
    return folder if slash else None


def _tar_item(split: str, tar: str, member: Member) -> Item:
    return Item(
        split=split,
        key=show_dots(escape(member.key, percent=False)),
        label=None,
        path=escape(tar),
        member=escape(member.name, percent=False),
        offset=member.offset,
        size=member.size,
    )
