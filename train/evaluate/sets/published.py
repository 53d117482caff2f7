"""Accuracy on published corrupted images: one set with a cell for each corruption and severity.

`--sets imagenet-c=DIR` names such a set as it names others; its folder tells them apart. Cells are named as
those of corruptions that are made on the fly, and the images are cut to size already.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from texneg.datasets.catalogue.catalogue import find_known
from texneg.datasets.catalogue.cells import FoundCell, describe_missing, expect_cells, find_cells
from texneg.datasets.catalogue.known import KnownSet
from texneg.datasets.catalogue.look import describe_folder
from texneg.datasets.class_maps import FOLDERS, read_class_map
from texneg.datasets.images import ImageSet
from texneg.datasets.storage.places import parse_place
from texneg.errors import InputError
from texneg.train.evaluate.sets.accuracy import Accuracy, measure_images
from texneg.train.evaluate.sets.base import Cell, Measurement, ProbedEncoder, SetKind, parse_paths
from texneg.train.evaluate.sets.corruptions import Corruptions
from texneg.train.evaluate.sets.cues import Cues


@dataclass(frozen=True)
class Published(Corruptions):
    """Accuracy over the cells of sets that lie on disk; results are those of corruptions made on the fly."""

    accuracy: Accuracy = Accuracy()
    """the flags that name the sets"""
    found: Mapping[str, Sequence[FoundCell]] = field(default_factory=dict)
    """their cells, by the names of the sets"""

    def cells(self) -> Iterator[Cell]:
        """One for each corruption and severity of each set.

        Raises:
            InputError: cells are missing, and the set is not named by --incomplete.
        """
        asked = self.accuracy
        maps = parse_paths(asked.classes, "--classes")
        for name, path in parse_paths(asked.sets, "--sets").items():
            known, classes = find_known(name), maps.get(name)
            require_complete(name, path, known, self.found[name], incomplete=name in asked.incomplete)
            listed = list_classes(classes, known)
            for one in self.found[name]:
                yield Cell(
                    name,
                    one.path,
                    part=f"{one.corruption}-{one.severity}",
                    options={"corruption": one.corruption, "severity": one.severity, "files": True},
                    train=asked.train,
                    classes=classes,
                    in_distribution=name in asked.in_distribution,
                    ready_cut=True,
                    images=partial(one.open, listed),
                )

    def measure(self, cell: Cell, images: ImageSet, probed: ProbedEncoder) -> Measurement:
        """Masked and unmasked accuracy."""
        return measure_images(cell, images, probed, leave_out=self.leaves_out)

    @property
    def leaves_out(self) -> bool:
        """As --leave-out says."""
        return self.accuracy.leave_out


def divide(kind: SetKind) -> list[SetKind]:
    """Divide a kind into those that measure its sets.

    Of --sets, the ones of many cells go to `Published`; of --cues, cue conflict goes to `ShapeBias`.

    Raises:
        InputError: a set has the name of a known one of many cells, and its folder has none.
    """
    if isinstance(kind, Cues):
        return [kind, *kind.conflicts]
    if not isinstance(kind, Accuracy):
        return [kind]
    kind.require_known_names()
    paths = parse_paths(kind.sets, "--sets")
    found = {name: cells for name, path in paths.items() if (cells := find_many(name, path))}
    if not found:
        return [kind]
    one = [name for name in paths if name not in found]
    return [kind.choose(one), Published(accuracy=kind.choose(tuple(found)), found=found)]


def find_many(name: str, path: str) -> Sequence[FoundCell]:
    """Find the cells of a set that lies on disk cell by cell; none of another.

    Raises:
        InputError: it has the name of such a set, and there are none.
    """
    known = find_known(name)
    if (known and known.cells == "one") or not parse_place(path).exists():
        return ()
    found = find_cells(path, known)
    if known and not found:
        raise InputError(
            f"set {name!r}: {path} does not look like {known.title}; expected is {known.layout};"
            f" {describe_folder(path)}. For one cell alone, give the set another name"
        )
    return found


def require_complete(
    name: str, path: str, known: KnownSet | None, found: Sequence[FoundCell], *, incomplete: bool
) -> None:
    """Refuse a set of which cells are missing, for its mean is another set's; raises `InputError`."""
    expected = expect_cells(known, found)
    missing = describe_missing(found, expected)
    if missing and not incomplete:
        whole = sum(map(len, expected.values()))
        raise InputError(
            f"set {name!r}: {len(found)} of {whole} cells are in {path}; missing: {missing}. Complete the"
            f" download, or take the mean over those that are there with --incomplete {name}"
        )


def list_classes(classes: str | None, known: KnownSet | None) -> tuple[str, ...]:
    """List the classes of a set in the order of their numbers, for files that number them."""
    text = classes or (known.classes if known else "")
    return tuple(read_class_map(text).folders) if text and text != FOLDERS else ()
