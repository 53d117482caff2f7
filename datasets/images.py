"""A labelled image data set by index: class-folder tree, flat folder, folder of tar shards or one tar."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from texneg.datasets.decode import DecodeError, decode
from texneg.datasets.sources.compressed import is_compressed, is_tar
from texneg.datasets.sources.folders import list_own
from texneg.datasets.sources.items import Item
from texneg.datasets.sources.passed_over import PassedOver
from texneg.datasets.sources.sources import Source, open_source
from texneg.datasets.storage.names import unescape
from texneg.datasets.storage.places import Place, parse_place, read_range
from texneg.datasets.stored import Array, decode_stored
from texneg.errors import InputError

UNLABELLED = -1


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images in a fixed order, decoded on access. Holds no open file, so that workers may share it."""

    root: str
    classes: tuple[str, ...]
    """Class names: sorted by number where all are numbers, else by text. Of tars that number the class
    folders of their keys, these folders: a number may mean another class in another split."""
    keys: tuple[str, ...]
    """POSIX path below the split without its suffix, or tar key: the same for an image and its texture."""
    labels: npt.NDArray[np.int64]
    """(N,) index into `classes`; -1 where the image lies in no class folder."""
    _files: tuple[str, ...]
    _file: npt.NDArray[np.int64]
    _span: npt.NDArray[np.int64]
    """(N, 2) offset and size inside the file."""
    passed_over: PassedOver = field(default_factory=PassedOver)
    """Files there that are not among the images, by reason."""
    allow_truncated: bool = False
    """Decode a file that is cut short as far as it goes, as `decode` does."""
    stored: bool = False
    """Decode images as they are stored, with all channels and their depth."""

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def in_tars(self) -> bool:
        """True if the images are members of tars."""
        return any(map(is_tar, self._files))

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """(N,) bytes of each image as stored."""
        return self._span[:, 1]

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """(N,) first byte of each image in its file."""
        return self._span[:, 0]

    def name(self, i: int) -> str:
        """Key of image `i` with the suffix of its file; the key alone where it lies in a tar."""
        file = self._files[self._file[i]]
        return self.keys[i] if is_tar(file) else self.keys[i] + Path(file).suffix

    def full_name(self, i: int) -> str:
        """Name of image `i` that no other image has: in a tar, `TAR/KEY` with the tar's path below `root`."""
        file = self._files[self._file[i]]
        return f"{file.removeprefix(f'{self.root}/')}/{self.keys[i]}" if is_tar(file) else self.name(i)

    def place_of(self, i: int) -> tuple[str, int]:
        """File that holds image `i`, and the offset in it."""
        return self._files[self._file[i]], int(self._span[i, 0])

    def take(self, places: npt.NDArray[np.int64]) -> "ImageSet":
        """Make a data set of the images at these places; classes stay as they are."""
        return replace(
            self,
            keys=tuple(self.keys[i] for i in places.tolist()),
            labels=self.labels[places],
            _file=self._file[places],
            _span=self._span[places],
        )

    def read(self, i: int) -> bytes:
        """Bytes of image `i` as stored."""
        offset, size = self._span[i]
        return read_range(self._files[self._file[i]], int(offset), int(size))

    def pixels_of(self, i: int, *, upright: bool = False) -> Array:
        """Image `i` as uint8 (height, width, 3) RGB; with `stored` of its own depth and channels.

        Raises:
            DecodeError: it cannot be used.
        """
        read = decode_stored if self.stored else decode
        return read(self.read(i), upright=upright, allow_truncated=self.allow_truncated).pixels

    def __getitem__(self, i: int) -> tuple[Array, int]:
        """Pixels and label of image `i`; see `pixels_of`.

        Raises:
            DecodeError: naming the image; its status is `forbidden` where this user may not read the file.
        """
        try:
            return self.pixels_of(i), int(self.labels[i])
        except DecodeError as error:
            raise DecodeError(error.status, f"{self.full_name(i)} of {self.root}: {error.reason}") from error
        except PermissionError as error:
            raise DecodeError("forbidden", f"{self.full_name(i)} of {self.root}: {error.strerror}") from error


def open_images(
    path: str | Place, split: str | None = None, *, textures: bool = False, stored: bool = False
) -> ImageSet:
    """Open a data set for training or evaluation; nothing is decoded yet.

    Args:
        path: class-folder tree, flat folder of images, folder of WebDataset `.tar` shards, or one `.tar`.
        split: direct child of `path` to open; needed where `path` has more than one of train, val,
            validation and test.
        textures: of tars that hold images and their textures, open the textures.
        stored: take .npy files for images, too, and decode all as they are stored.

    Raises:
        InputError: nothing there, no images in it, compressed tars, no such split or a choice of splits.
    """
    root = parse_place(path)
    if split is not None:
        if not (root / split).is_dir():
            raise InputError(f"{path} has no folder {split!r}; {_list_folders(root)}")
        root = root / split
    source = open_source(
        root, splits="none" if split is not None else "auto", textures=textures, arrays=stored
    )
    if len(source.splits) > 1:
        splits = ", ".join(source.splits)
        raise InputError(f"{path} has the splits {splits}: give one, such as {root / source.splits[0]}")
    bad, items = PassedOver(), []
    for item in source.items():
        if item.status:
            bad.add(f"{item.status}: {item.error}", item.src)
        else:
            items.append(item)
    source.passed_over.update(bad)
    compressed = next((item.path for item in items if item.member and is_compressed(item.path)), None)
    if compressed is not None:
        raise InputError(
            f"{compressed} is compressed, so that no image can be read by itself: decompress it (gunzip,"
            " unxz, ...), or let texneg synth --layout paired make plain tars of it"
        )
    if source.broken:
        raise InputError(f"{source.broken[0]}; repair it or remove it")
    if not items:
        seen = ", ".join(source.passed_over.lines())
        raise InputError(f"{root} holds no images; {seen or 'expected CLASS/IMAGE folders or .tar shards'}")
    return replace(_make_image_set(source, items), stored=stored)


def _list_folders(root: Place) -> str:
    folders = [entry.name for entry in list_own(root) if entry.is_dir()] if root.is_dir() else []
    return f"it has: {', '.join(folders[:10])}" if folders else "it has no folders"


def _make_image_set(source: Source, items: list[Item]) -> ImageSet:
    items = _relabel_by_folder(items)
    names = {item.label for item in items if item.label is not None}
    numbers = all(name.isdecimal() for name in names)
    classes = sorted(names, key=lambda name: (int(name) if numbers else 0, name))
    index = {name: i for i, name in enumerate(classes)}
    files = {path: i for i, path in enumerate(dict.fromkeys(item.path for item in items))}
    return ImageSet(
        root=str(source.root),
        classes=tuple(classes),
        keys=tuple(item.key for item in items),
        labels=np.array([UNLABELLED if i.label is None else index[i.label] for i in items], np.int64),
        _files=tuple(str(source.root / unescape(path)) for path in files),
        _file=np.array([files[item.path] for item in items], np.int64),
        _span=np.array([(item.offset, item.size) for item in items], np.int64),
        passed_over=source.passed_over,
    )


def _relabel_by_folder(items: list[Item]) -> list[Item]:
    """Label items by the first folder of their key where their `.cls` only numbers these folders."""
    labelled = [item for item in items if item.label is not None and item.member]
    named = {(item.label, item.key.partition("/")[0]) for item in labelled}
    numbers, folders = {number for number, _ in named}, {folder for _, folder in named}
    numbered = all(number is not None and number.isdecimal() for number in numbers)
    if not numbered or not len(named) == len(numbers) == len(folders):
        return items
    if not all("/" in item.key for item in labelled):
        return items
    return [item if item.label is None else replace(item, label=item.key.partition("/")[0]) for item in items]
