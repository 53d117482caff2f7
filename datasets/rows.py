"""Images that are rows of a .npy file, as CIFAR-10-C has them: one data set for each severity."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from texneg.datasets.decode import DecodeError, Pixels
from texneg.datasets.images import ImageSet
from texneg.datasets.storage.places import parse_place
from texneg.datasets.storage.url import Url
from texneg.errors import InputError

LABELS = "labels.npy"


@dataclass(frozen=True, eq=False)
class RowSet(ImageSet):
    """Rows of an array file in their order. Holds no open file; a row is read when it is asked for."""

    shape: tuple[int, ...] = ()
    """(height, width, 3) of every row."""

    def __getitem__(self, i: int) -> tuple[Pixels, int]:
        """Image `i` as uint8 (height, width, 3) RGB, and its label."""
        data = self.read(i)
        if len(data) < self._span[i, 1]:
            raise DecodeError("truncated", f"row {self.keys[i]} of {self.root}: the file breaks off")
        return np.frombuffer(data, np.uint8).reshape(self.shape), int(self.labels[i])


def open_rows(folder: str, name: str, severity: int, severities: int, classes: tuple[str, ...]) -> RowSet:
    """Open the rows of one severity of FOLDER/NAME.npy.

    Args:
        folder: on disk, with labels.npy beside the images.
        name: of the corruption.
        severity: 1 for the first part of the rows.
        severities: number of equal parts.
        classes: names, in the order of the numbers in labels.npy.

    Raises:
        InputError: a file is missing or holds something else.
    """
    file = _require_disk(folder) / f"{name}.npy"
    images = _map(file, "uint8 of shape (images, height, width, 3)")
    wrong = images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3
    if wrong or not images.flags.c_contiguous or not len(images) or len(images) % severities:
        raise InputError(
            f"{file} holds {_describe(images)}; expected are uint8 images of shape (rows, height, width, 3),"
            f" with the same number of rows for each of {severities} severities; download it again"
        )
    n, row = len(images) // severities, int(np.prod(images.shape[1:]))
    labels = read_labels(file.parent, n, len(images), len(classes))
    start = int(images.offset) + (severity - 1) * n * row
    return RowSet(
        root=f"{file} severity {severity}",
        classes=classes,
        keys=tuple(f"{i:05d}" for i in range(n)),
        labels=labels[:n] if len(labels) == n else labels[(severity - 1) * n : severity * n],
        _files=(str(file),),
        _file=np.zeros(n, np.int64),
        _span=np.stack([start + row * np.arange(n), np.full(n, row)], 1),
        shape=images.shape[1:],
    )


def read_labels(folder: Path, n: int, rows: int, classes: int) -> npt.NDArray[np.int64]:
    """Read labels.npy: a number for each of `n` images, or for each of all `rows`.

    Raises:
        InputError: it is missing, of another length, or has numbers of other classes.
    """
    labels = _map(folder / LABELS, "whole numbers")
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) not in (n, rows):
        raise InputError(
            f"{folder / LABELS} holds {_describe(labels)}; expected are {n} or {rows} whole numbers, one for"
            " each image; download it again"
        )
    found = np.array(labels, np.int64)
    if found.min() < 0 or found.max() >= classes:
        raise InputError(
            f"{folder / LABELS} has numbers {found.min()} to {found.max()}, the set {classes} classes, 0 to"
            f" {classes - 1}; give the folder of this set, or its own classes with --classes"
        )
    return found


def _require_disk(folder: str) -> Path:
    place = parse_place(folder)
    if isinstance(place, Url):
        raise InputError(f"{folder}: array files are read from disk alone; copy the folder there")
    return place


def _map(file: Path, what: str) -> np.memmap:
    """Map a .npy file without reading it."""
    try:
        found = np.load(file, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(f"{file} does not exist; it holds {what}: complete the download") from error
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{file} cannot be read as an array ({error}); download it again") from error
    if not isinstance(found, np.memmap):
        raise InputError(f"{file} is an archive of arrays; expected is one array of {what}")
    return found


def _describe(array: np.memmap) -> str:
    return f"{array.dtype} of shape {tuple(array.shape)}"
