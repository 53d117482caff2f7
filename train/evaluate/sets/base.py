"""A kind of test set, its cells, and the images of each cell one by one.

A *set* has a name and one headline number. A *cell* is what is measured and kept at a time: most sets are one
cell; a set of many corruptions and strengths is many. Outcomes, image by image, are kept so that two runs can
be compared on the same images.

Shapes: N images, S runs.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from texneg.datasets.images import ImageSet
from texneg.errors import InputError
from texneg.train.evaluate.encoders import Encoder
from texneg.train.evaluate.features import Bad, Edit, Features, extract
from texneg.train.evaluate.figures import Look
from texneg.train.evaluate.intervals import Interval, bootstrap, mcnemar, wilson
from texneg.train.evaluate.linear import Head
from texneg.train.evaluate.memo import Memo
from texneg.train.evaluate.outcomes import Answers
from texneg.train.networks.preprocessing import Preprocessing, Resize

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Record = Mapping[str, Any]
"""Numbers of a cell or of a set, as in ood.json."""
Values = npt.NDArray[np.int8] | npt.NDArray[np.float32] | npt.NDArray[np.float64]
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
    train: ImageSet | None = None
    """training images, where they decide its numbers, too"""
    classes: str | None = None
    """class map of its folders, by name or path"""
    in_distribution: bool = False
    """as the user says: it is of the distribution of the head's training images"""
    ready_cut: bool = False
    """its images are cut to size already: smaller ones than the resize asks for are not enlarged"""
    images: Callable[[], ImageSet] | None = None
    """opens its images, where they are not all that lies at its path"""


@dataclass(frozen=True)
class Measurement:
    """The numbers of one cell, and its images one by one."""

    numbers: dict[str, Any]
    """plain values, as they stand in ood.json"""
    keys: tuple[str, ...]
    """names of the images that count, unique"""
    values: npt.NDArray[np.int8] | npt.NDArray[np.float32]
    """(N,) their outcomes: 1 right and 0 wrong, unless the kind says otherwise"""
    answers: Answers | None = None
    """to these images, where the kind keeps them"""
    reciprocal: npt.NDArray[np.float64] | None = None
    """(N,) reciprocal ranks of their right classes, where the kind finds them; not kept"""


class Comparison(NamedTuple):
    """Certainty of the change between two arms, as far as the test images go."""

    over_images: Interval
    p: tuple[float, ...] | None = None
    """of each pair of runs, by a paired test; None where there is none"""


@dataclass(frozen=True)
class ArmResult:
    """Numbers of one arm on one set."""

    look: Look
    mean: float
    """headline number over seeds"""
    details: Mapping[str, Any]
    """of `SetKind.details`"""


class ProbedEncoder:
    """A frozen encoder with the head fitted on its features."""

    def __init__(
        self,
        encoder: Encoder,
        head: Head,
        *,
        batch: int = 256,
        cache: str | None = None,
        bad: Bad = "wrong",
        allow_truncated: bool = False,
        name: str = "",
        memo: Memo | None = None,
    ) -> None:
        self.encoder = encoder
        self.head = head
        self.name = name
        """Of the head, among those of the run folder; empty for the only one."""
        self.bad: Bad = bad
        """Policy for an image of a test set that cannot be read."""
        self.allow_truncated = allow_truncated
        """Take of images that are cut short what there is."""
        self.unreadable: dict[str, int] = {}
        """Number of images that cannot be read, of those that were asked for, by the root of their set."""
        self.weights = {"encoder": encoder.fingerprint, "head": head.fingerprint}
        """Fingerprints of both."""
        self.bank = functools.cache(self._make_bank)
        """Features of the head's training images that can be read, labelled by its classes; made once."""
        self._memo = memo or Memo()
        """Features and crops that several heads of one encoder share."""
        self._options: dict[str, Any] = {"batch": batch, "cache": cache, "flip": head.flip}

    def features(self, images: ImageSet, *, ready_cut: bool = False, edit: Edit | None = None) -> Features:
        """Features of the images in their order, edited or not; of unreadable ones as the policy says."""
        return self._extract(images, self.bad, ready_cut=ready_cut, edit=edit)

    def preprocessing(self, *, ready_cut: bool) -> Preprocessing:
        """The encoder's, with the resize that the head was fitted on, or that of images cut to size."""
        resize: Resize | None = "no-enlargement" if ready_cut else self.head.resize
        prepared = self.encoder.preprocessing
        return replace(prepared, resize=resize) if resize else prepared

    def _extract(
        self,
        images: ImageSet,
        bad: Bad,
        *,
        ready_cut: bool = False,
        edit: Edit | None = None,
        bank: bool = False,
    ) -> Features:
        if images.allow_truncated != self.allow_truncated:
            images = replace(images, allow_truncated=self.allow_truncated)
        prepared = self.preprocessing(ready_cut=ready_cut)
        set_key = (images.root, len(images), prepared)

        def make() -> Features:
            crops = self._memo.crops(set_key, len(images), prepared.image_size) if edit else None
            return extract(
                self.encoder, images, bad=bad, resize=prepared.resize, edit=edit, crops=crops, **self._options
            )

        key = (*set_key, bad, self.head.flip, edit.identity if edit else None)
        found = self._memo.features(key, make, bank=bank)
        self.unreadable[images.root] = found.unreadable
        return found

    def _make_bank(self, train: ImageSet) -> Features:
        if set(train.classes) != set(self.head.classes):
            raise InputError(
                "--data has other class folders than the head; give the images the probe was fitted on"
            )
        found = self._extract(train, "error" if self.bad == "error" else "skip", bank=True)
        places = [self.head.classes.index(name) for name in train.classes]
        return Features(found.values, found.labels.new_tensor(places)[found.labels], found.keys)


class SetKind(ABC):
    """Test sets of one kind: a frozen dataclass whose fields are flags of `texneg ood`.

    `texneg.train.evaluate.sets.KINDS` lists the classes. A report has no instance, only the records of
    ood.json, so the methods that it calls are class methods.
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
    parts_note: ClassVar[str] = ""
    """what the parts of its number are"""

    @abstractmethod
    def cells(self) -> Iterator[Cell]:
        """The measurements that the flags ask for; those of one set have its name in common."""

    def check(self, cell: Cell, images: ImageSet, probed: ProbedEncoder) -> None:
        """Refuse images that `measure` would refuse before any feature; finished cells are checked, too.

        Raises:
            InputError: the images are of no use to this kind; says why.
        """

    @abstractmethod
    def measure(self, cell: Cell, images: ImageSet, probed: ProbedEncoder) -> Measurement:
        """Measure one cell.

        Raises:
            InputError: the images are of no use to this kind; says why.
        """

    @classmethod
    def headline(cls, cells: Sequence[Record]) -> dict[str, Any]:
        """Numbers of a set of several cells: the mean of their values, and the images of the smallest cell.

        The cells of a set usually show the same images, so more cells do not narrow the interval.
        """
        values = [value for cell in cells if (value := cls.value(cell)) is not None]
        return {
            "value": fmean(values) if len(values) == len(cells) else None,
            "n": min(cell["n"] for cell in cells),
            **{name: cells[0].get(name) for name in ("classes", "chance")},
        }

    @classmethod
    def value(cls, record: Record) -> float | None:
        """The number that stands for a set or a cell, a share of 1; None where it is undefined."""
        found: float | None = record["value"]
        return found

    @classmethod
    def describe_value(cls, record: Record) -> str:
        """The value as words."""
        value = cls.value(record)
        return "undecided" if value is None else f"{100 * value:.1f} %"

    @classmethod
    def summary(cls, record: Record) -> str:
        """One line for the terminal."""
        return f"{record['name']}: {cls.describe_value(record)}, n {record['n']}"

    @classmethod
    def deciding(cls, record: Record) -> int:
        """Number of images behind the value, for its interval; 0 for none, where it is no share of images."""
        return int(record["n"])

    @classmethod
    def interval(cls, records: Sequence[Record], mean: float) -> Interval | None:
        """Interval over images of an arm's mean over runs: Wilson's, of a share of images; None for none."""
        n = round(fmean(cls.deciding(record) for record in records))
        return wilson(min(mean * n, n), n) if n else None

    @classmethod
    def details(cls, records: Sequence[Record]) -> dict[str, Any]:
        """Further numbers of an arm, from its runs: for the remarks, the figure and report.json."""
        return {}

    @classmethod
    def parts(cls, record: Record) -> dict[str, float]:
        """Parts of a set's number that the figure shows, by name, shares of 1: a table beside it."""
        return {}

    @classmethod
    def remarks(cls, shown: ArmResult) -> list[str]:
        """Lines below an arm's number in the table."""
        return []

    @classmethod
    def compare(cls, mine: Values, base: Values) -> Comparison:
        """Compare S runs of an arm with S of its baseline on the same images.

        Here: a bootstrap over images of the differences, averaged over runs, and McNemar's test of each pair
        of runs where the outcomes are right and wrong.
        """
        binary = np.isin(mine, (0, 1)).all() and np.isin(base, (0, 1)).all()
        pairs = [(int((a > b).sum()), int((a < b).sum())) for a, b in zip(mine, base, strict=True)]
        p = tuple(mcnemar(*pair) for pair in pairs) if binary else None
        return Comparison(bootstrap((mine.astype(np.float64) - base).mean(0)), p)

    @classmethod
    def figure(cls, arms: Sequence[ArmResult]) -> "Figure | None":
        """A figure of one set beside the table; None where the kind needs none."""
        return None


def parse_paths(texts: Sequence[str], flag: str) -> dict[str, str]:
    """Parse a flag's NAME=PATH into paths by name; a wrong or repeated name raises `InputError`."""
    paths: dict[str, str] = {}
    for text in texts:
        name, _, path = text.partition("=")
        if not name or not path:
            raise InputError(f"{flag} {text!r} is not NAME=PATH, for example {flag} sketch=/data/sketch")
        if name in paths:
            raise InputError(f"{flag}: the name {name!r} is given twice; give every set its own name")
        paths[name] = path
    return paths


def require_known(names: Sequence[str], sets: Mapping[str, str], flag: str) -> None:
    """Refuse names of a flag that no set has; raises `InputError`."""
    for name in names:
        if name not in sets:
            raise InputError(f"{flag} {name}: no set has this name; the sets are {', '.join(sets) or 'none'}")
