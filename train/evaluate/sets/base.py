"""A kind of test set, its cells, and the images of each cell one by one.

A *set* has a name and one headline number. A *cell* is what is measured and kept at a time: most sets are one
cell; a set of many corruptions and strengths is many. Outcomes, image by image, are kept so that two runs can
be compared on the same images.

Shapes: N images, S runs.
"""

import functools
import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from texneg.datasets.images import ImageSet
from texneg.datasets.storage.atomic import write_bytes
from texneg.errors import InputError
from texneg.train.evaluate.features import Encoder, Features, extract
from texneg.train.evaluate.figures import Look
from texneg.train.evaluate.intervals import Interval, bootstrap, mcnemar
from texneg.train.evaluate.linear import Head

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Mapping[str, Any]
"""Numbers of a cell or of a set, as in ood.json."""
Values = npt.NDArray[np.int8] | npt.NDArray[np.float64]
"""(S, N): outcomes of the same images in S runs."""


@dataclass(frozen=True)
class Cell:
    """One measurement to make."""

    name: str
    """of its set"""
    path: str
    """of its images"""
    part: str = ""
    """which of the set's cells, where it has several"""
    options: dict[str, Any] = field(default_factory=dict)
    """what decides its numbers besides the images, the encoder and the head"""


@dataclass(frozen=True)
class Measured:
    """The numbers of one cell, and its images one by one."""

    numbers: dict[str, Any]
    """plain values, as they stand in ood.json"""
    keys: tuple[str, ...]
    """names of the images that count, unique"""
    values: npt.NDArray[np.int8]
    """(N,) their outcomes: 1 right and 0 wrong, unless the kind says otherwise"""


class Change(NamedTuple):
    """How sure the change between two arms is, as far as the test images go."""

    over_images: Interval
    p: tuple[float, ...] | None = None
    """of each pair of runs, by a paired test; None where there is none"""


@dataclass(frozen=True)
class Shown:
    """One arm on one set, as a figure sees it."""

    look: Look
    mean: float
    """headline number over seeds"""
    details: Mapping[str, Any]
    """what `SetKind.details` found"""


class Probed:
    """A frozen encoder with the head fitted on it, and the features of image sets."""

    def __init__(self, encoder: Encoder, head: Head, *, batch: int = 256, cache: str | None = None) -> None:
        self.encoder = encoder
        self.head = head
        self.weights = {"encoder": encoder.fingerprint, "head": head.fingerprint}
        """Fingerprints of both."""
        self.bank = functools.cache(self._make_bank)
        """Features of the head's training images, labelled by the head's classes; made once."""
        self._options: dict[str, Any] = {"batch": batch, "cache": cache}

    def features(self, images: ImageSet) -> Features:
        """Features of all images, in their order."""
        return extract(self.encoder, images, **self._options)

    def _make_bank(self, train: ImageSet) -> Features:
        if set(train.classes) != set(self.head.classes):
            raise InputError(
                "--data has other class folders than the head; give the images the probe was fitted on"
            )
        found = self.features(train)
        places = [self.head.classes.index(name) for name in train.classes]
        return Features(found.values, found.labels.new_tensor(places)[found.labels], found.keys)


class SetKind(ABC):
    """Test sets of one kind. A frozen dataclass whose fields are its flags of `texneg ood`.

    The class is appended to `texneg.train.evaluate.sets.KINDS`. What a report needs are class methods: it has
    the rows of ood.json alone.
    """

    name: ClassVar[str]
    """in ood.json"""
    note: ClassVar[str] = ""
    """below a set's name in the table: what the number is, where it is no accuracy"""
    averaged: ClassVar[bool] = True
    """the headline is an accuracy, which counts towards the mean over sets"""
    heading: ClassVar[str] = ""
    """of the section with its figure"""
    lede: ClassVar[str] = ""
    """what the figure shows"""
    caption: ClassVar[str] = ""
    """how to read the figure"""

    @abstractmethod
    def cells(self) -> Iterator[Cell]:
        """What the flags ask for, set by set."""

    @abstractmethod
    def measure(self, cell: Cell, images: ImageSet, probed: Probed) -> Measured:
        """Numbers of one cell; images that it cannot be measured on raise `InputError`."""

    @classmethod
    def headline(cls, cells: Sequence[Row]) -> dict[str, Any]:
        """Numbers of a set of several cells: the mean of their `value`s, and their images counted."""
        return {
            "value": fmean(cls.value(cell) or 0.0 for cell in cells),
            "n": sum(cell["n"] for cell in cells),
            **{name: cells[0].get(name) for name in ("classes", "chance")},
        }

    @classmethod
    def value(cls, row: Row) -> float | None:
        """The number that stands for a set or a cell, a share; None where there is none."""
        found: float | None = row["value"]
        return found

    @classmethod
    def summary(cls, row: Row) -> str:
        """One line for the terminal."""
        value = cls.value(row)
        return f"{row['name']}: {'undecided' if value is None else f'{100 * value:.1f} %'}, n {row['n']}"

    @classmethod
    def deciding(cls, row: Row) -> int:
        """Number of images behind `value`, for its interval."""
        return int(row["n"])

    @classmethod
    def details(cls, rows: Sequence[Row]) -> dict[str, Any]:
        """Further numbers of an arm, from its runs: for the remarks, the figure and report.json."""
        return {}

    @classmethod
    def remarks(cls, shown: Shown) -> list[str]:
        """Lines below an arm's number in the table."""
        return []

    @classmethod
    def compare(cls, mine: Values, base: Values) -> Change:
        """How sure the change from `base` to `mine` is, from the same images in S runs of each arm.

        Here: bootstrap over images of the differences, averaged over runs; McNemar's test of each pair of
        runs whose outcomes are right and wrong.
        """
        binary = np.isin(mine, (0, 1)).all() and np.isin(base, (0, 1)).all()
        pairs = [(int((a > b).sum()), int((a < b).sum())) for a, b in zip(mine, base, strict=True)]
        p = tuple(mcnemar(*pair) for pair in pairs) if binary else None
        return Change(bootstrap((mine.astype(np.float64) - base).mean(0)), p)

    @classmethod
    def figure(cls, arms: Sequence[Shown]) -> "Figure | None":
        """A figure of one set beside the table; None where the kind needs none."""
        return None


@dataclass(frozen=True)
class Outcomes:
    """One cell's images: names and what became of each."""

    keys: npt.NDArray[np.str_]
    """N names, unique"""
    values: npt.NDArray[np.int8]
    """(N,) as in `Measured`"""


def save_outcomes(path: Path, keys: Sequence[str], values: npt.NDArray[np.int8]) -> None:
    """Write a compressed .npz of names and values."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, keys=np.array(keys, np.str_), values=values.astype(np.int8))
    write_bytes(path, buffer.getvalue())


def load_outcomes(path: Path) -> Outcomes:
    """Read the file of `save_outcomes`."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return Outcomes(file["keys"], file["values"])
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"no readable outcomes at {path}; run texneg ood again into this folder") from error


def align(outcomes: Sequence[Outcomes]) -> npt.NDArray[np.int8] | None:
    """Values (runs, N) of several runs, image by image in one order; None unless all hold the same images."""
    orders = [np.argsort(one.keys) for one in outcomes]
    names = outcomes[0].keys[orders[0]]
    if any(not np.array_equal(one.keys[order], names) for one, order in zip(outcomes, orders, strict=True)):
        return None
    return np.stack([one.values[order] for one, order in zip(outcomes, orders, strict=True)])


def parse_paths(texts: Sequence[str], flag: str) -> dict[str, str]:
    """Path by name of a flag's NAME=PATH; a wrong or repeated name raises `InputError`."""
    paths: dict[str, str] = {}
    for text in texts:
        name, _, path = text.partition("=")
        if not name or not path:
            raise InputError(f"{flag} {text!r} is not NAME=PATH, for example {flag} sketch=/data/sketch")
        if name in paths:
            raise InputError(f"{flag}: the name {name!r} is given twice; give every set its own name")
        paths[name] = path
    return paths
