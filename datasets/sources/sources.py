"""The images of a data set in a fixed order, from class folders or WebDataset tar shards.

The order is bytewise by POSIX path below the split, so that a plan made on one machine equals the plan made
on another.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from texneg.datasets.sources.compressed import is_tar, plain_tar_name
from texneg.datasets.sources.folders import explain_entry, fold_name, list_own, strip_suffix, walk
from texneg.datasets.sources.items import Item
from texneg.datasets.sources.passed_over import BESIDE, DEAD_LINK, SUFFIXES, PassedOver, is_image
from texneg.datasets.sources.splits import SPLITS, is_split
from texneg.datasets.sources.tars import tar_listings
from texneg.datasets.storage.names import escape, show
from texneg.datasets.storage.places import FolderEntry, Place, parse_place
from texneg.datasets.storage.url import Url
from texneg.errors import InputError

SourceKind = Literal["folder", "webdataset"]


@dataclass(frozen=True)
class Source:
    """An opened data set; `items` walks it."""

    root: Place
    kind: SourceKind
    splits: tuple[str, ...]
    """Split folders below the root; one empty name where there are none."""
    only: str = ""
    """Name of the one tar to read, where the source is a file."""
    naming: Literal["replace", "append"] = "replace"
    """Key of a file: without its suffix, or with it."""
    textures: bool = False
    """Of a sample that holds an image and its texture, take the texture."""
    arrays: bool = False
    """Take .npy files for images, too."""
    passed_over: PassedOver = field(default_factory=PassedOver)
    """Files that `items` passed over."""
    broken: list[str] = field(default_factory=list)
    """Tars that `items` found to break off, or not to be there."""

    def items(self, *, unique: bool = False) -> Iterator[Item]:
        """Walk every image in order.

        Raises:
            InputError: with `unique`, when two names of a folder would give one key on some file system.
        """
        self.passed_over.clear()
        self.broken.clear()
        if self.splits != ("",):
            for entry in list_own(self.root, self.passed_over):
                name = entry.name
                if name not in self.splits and (
                    entry.is_dir() or is_image(name, arrays=self.arrays) or is_tar(name)
                ):
                    self.passed_over.add(BESIDE, name)
        for split in self.splits:
            if self.kind == "folder":
                yield from _tree_items(self, split, unique)
                continue
            self._look_beside_tars(split)
            for listing in tar_listings(
                self.root, split, self.tars(split), textures=self.textures, arrays=self.arrays
            ):
                yield from listing.items
                self.passed_over.update(listing.passed_over)
                if listing.broken:
                    self.broken.append(listing.broken)

    def _look_beside_tars(self, split: str) -> None:
        """Count what lies beside the tars of a split; a tar that is a dead link is a broken one."""
        if self.only:
            return
        prefix = f"{split}/" if split else ""
        for entry in list_own(self.folder(split), self.passed_over, prefix=prefix):
            if is_tar(entry.name) and not entry.is_file() and not entry.is_dir():
                self.broken.append(f"{self.folder(split) / entry.name}: {DEAD_LINK}")
            elif not _is_tar(entry):
                self.passed_over.add(explain_entry(entry), prefix + entry.name)

    def find_dead_links(self) -> list[str]:
        """Name the tars that are dead links, each with the reason."""
        found = replace(self, passed_over=PassedOver(), broken=[])
        for split in self.splits if self.kind == "webdataset" else ():
            found._look_beside_tars(split)
        return found.broken

    def tars(self, split: str) -> list[str]:
        """Names of the tar shards of a split, relative to the root."""
        if self.only:
            return [self.only]
        prefix = f"{split}/" if split else ""
        return [prefix + entry.name for entry in list_own(self.folder(split)) if _is_tar(entry)]

    def classes(self) -> list[str]:
        """Class folders of all splits, escaped, numbered by torchvision's ImageFolder."""
        if self.kind != "folder":
            return []
        return sorted(
            {escape(e.name) for split in self.splits for e in list_own(self.folder(split)) if e.is_dir()}
        )

    def folder(self, split: str) -> Place:
        """The folder of a split."""
        return self.root / split if split else self.root


def open_source(
    path: str | Place,
    *,
    splits: Literal["auto", "none"] = "auto",
    naming: Literal["replace", "append"] = "replace",
    textures: bool = False,
    arrays: bool = False,
) -> Source:
    """Recognise a class-folder tree, a flat folder of images, a folder of tar shards or a single tar.

    A split is a direct child called train, val, validation or test that holds folders or tars.

    Args:
        path: on disk, or a URL.
        splits: none takes those children for ordinary folders.
        naming: of the keys of files.
        textures: of samples that hold an image and its texture, take the texture.
        arrays: take .npy files for images, too.

    Raises:
        InputError: nothing there, nothing in it, no tar.
        OSError: a store that cannot be reached.
    """
    root = parse_place(path)
    if isinstance(root, Url) and root.scheme in ("http", "https") and not is_tar(root.name):
        raise InputError(f"{path}: over {root.scheme} only one tar can be read; give a URL that ends in .tar")
    if root.is_file():
        if not is_tar(root.name):
            raise InputError(
                f"{path} is a file but no .tar; {_zip_hint(root.name) or 'give a folder or a .tar'}"
            )
        return Source(root.parent, "webdataset", ("",), root.name, naming, textures, arrays)
    if not root.exists():
        absent = "does not exist or cannot be reached" if isinstance(root, Url) else "does not exist"
        raise InputError(f"{path} {absent}; give a folder of images, a folder of .tar shards, or a .tar")
    entries = list_own(root)
    below = [entry.name for entry in entries if entry.name in SPLITS and entry.is_dir()]
    found = () if splits == "none" else tuple(name for name in below if is_split(root / name))
    top = [entry for split in found for entry in list_own(root / split)] if found else entries
    tars = any(_is_tar(entry) for entry in top)
    other = next((entry.name for entry in top if entry.is_dir() or is_image(entry.name, arrays=arrays)), None)
    if tars and other is not None:
        tar = next(entry.name for entry in top if _is_tar(entry))
        names = f"first: {show(escape(tar))} and {show(escape(other))}"
        raise InputError(f"{path} holds tar shards beside folders or images ({names}): give one or the other")
    if not tars and other is None:
        raise InputError(f"{path} holds no images and no .tar shards; {_describe_files(top)}")
    source = Source(root, "webdataset" if tars else "folder", found or ("",), "", naming, textures, arrays)
    if tars:
        _refuse_equal_outputs(source)
    return source


def root_of(path: str | Place) -> Place:
    """The folder that the paths of a source's items are relative to."""
    root = parse_place(path)
    return root.parent if root.is_file() else root


def _is_tar(entry: FolderEntry) -> bool:
    return is_tar(entry.name) and entry.is_file()


def _zip_hint(name: str) -> str:
    return f"{name} is an archive: unpack it first" if name.lower().endswith(".zip") else ""


def _describe_files(entries: Sequence[FolderEntry]) -> str:
    """List the files of a folder without images, by the reasons why they are none."""
    if hint := next((hint for hint in (_zip_hint(entry.name) for entry in entries) if hint), ""):
        return hint
    passed_over = PassedOver()
    for entry in entries:
        passed_over.add(explain_entry(entry), entry.name)
    return "; ".join([*passed_over.lines(), f"images end in {' '.join(SUFFIXES)}"])


def _refuse_equal_outputs(source: Source) -> None:
    """Refuse tars with one output name: x.tar and x.tar.gz, or x.tar and X.tar on some file systems."""
    taken: dict[str, str] = {}
    for split in source.splits:
        for name in source.tars(split):
            if (earlier := taken.setdefault(fold_name(plain_tar_name(name)), name)) != name:
                raise InputError(f"{earlier} and {name} would give one output tar: remove one of them")


def _tree_items(source: Source, split: str, unique: bool) -> Iterator[Item]:
    name = strip_suffix if source.naming == "replace" else str
    prefix = f"{split}/" if split else ""
    key = name if unique else None
    found = walk(source.folder(split), source.passed_over, key=key, prefix=prefix, arrays=source.arrays)
    for path, size in found:
        relative = path.removeprefix(prefix)
        label, slash, _ = relative.partition("/")
        yield Item(
            split=split,
            key=escape(name(relative)),
            label=escape(label) if slash else None,
            path=escape(path),
            size=size or 0,
            status="decode_error" if size is None else "",
            error=f"a {DEAD_LINK}" if size is None else "",
        )
