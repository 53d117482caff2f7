"""Accuracy of a head on a test set that shares only some of its classes.

*Masked*: the head chooses among the classes that the set is declared to have. *Unmasked*: among all of its
classes. The two differ a lot and both appear in the literature, so both are always reported, with n, classes,
chance and interval. *Macro*: the mean over classes of their accuracies.

Shapes: T test images, F features, C head classes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from texneg.datasets.catalogue.catalogue import find_group
from texneg.datasets.catalogue.known import CUES
from texneg.datasets.catalogue.look import locate
from texneg.datasets.class_maps import ClassMap
from texneg.datasets.images import ImageSet
from texneg.train.data.splits import open_train, require_labels
from texneg.train.evaluate.class_space import (
    HEAD,
    ClassSpace,
    check_classes,
    declare,
    describe_left_out,
    find_class_map,
    is_unequal,
)
from texneg.train.evaluate.features import Edit, Features
from texneg.train.evaluate.intervals import wilson
from texneg.train.evaluate.linear import Head
from texneg.train.evaluate.metrics.reciprocal_rank import MeanRank, average_ranks
from texneg.train.evaluate.neighbours import knn_scores
from texneg.train.evaluate.sets.answers import answer
from texneg.train.evaluate.sets.base import (
    ArmResult,
    Cell,
    Measurement,
    ProbedEncoder,
    Record,
    SetKind,
    parse_paths,
    require_known,
)

K, TEMPERATURE = 20, 0.07  # of the kNN vote


@dataclass(frozen=True)
class Accuracy(SetKind):
    """Accuracy over the classes that a set shares with the head."""

    sets: tuple[str, ...] = ()
    """test sets as NAME=PATH; class folders are matched with the head's classes by name or by a class map"""
    data: str | None = None
    """training images of the head, for kNN accuracy on every set too; none for the head alone"""
    classes: tuple[str, ...] = ()
    """class maps as NAME=MAP: a JSON file {folder: [classes]}, a list, a map that comes with texneg (pacs,
    imagenet-r, ...), or folders for the class folders that are there; without one every class of the head is
    a choice, unless the set has the name of a map"""
    leave_out: bool = False
    """leave out images in unknown class folders or in none, instead of refusing the set"""
    ready_cut: tuple[str, ...] = ()
    """names of sets whose images are cut to size already, such as ImageNet-C: they are not enlarged first"""
    in_distribution: tuple[str, ...] = ()
    """names of sets that are of the distribution of the head's training images"""
    incomplete: tuple[str, ...] = ()
    """names of sets of many cells, such as ImageNet-C, that lack some: the mean is over what is there"""

    name: ClassVar[str] = "accuracy"

    def cells(self) -> Iterator[Cell]:
        """One for each set."""
        self.require_known_names()
        maps = parse_paths(self.classes, "--classes")
        for name, path in parse_paths(self.sets, "--sets").items():
            located = locate(name, path, maps.get(name))
            yield Cell(
                name,
                located.path,
                train=self.train,
                classes=located.classes,
                ready_cut=located.ready_cut or name in self.ready_cut,
                in_distribution=name in self.in_distribution,
            )

    def require_known_names(self) -> None:
        """Refuse names of flags that no set has; raises `InputError`."""
        paths = parse_paths(self.sets, "--sets")
        require_known(self.ready_cut, paths, "--ready-cut")
        require_known(tuple(parse_paths(self.classes, "--classes")), paths, "--classes")
        require_known(self.in_distribution, paths, "--in-distribution")
        require_known(self.incomplete, paths, "--incomplete")

    def choose(self, names: Sequence[str]) -> "Accuracy":
        """Return the flags of some of the sets."""

        def keep(pairs: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(pair for pair in pairs if pair.partition("=")[0] in names)

        return replace(
            self,
            sets=keep(self.sets),
            classes=keep(self.classes),
            ready_cut=keep(self.ready_cut),
            in_distribution=keep(self.in_distribution),
            incomplete=keep(self.incomplete),
        )

    def check(self, cell: Cell, images: ImageSet, probed: ProbedEncoder) -> None:
        """Refuse class folders that cannot be used."""
        check_images(cell, images, probed, leave_out=self.leave_out)

    def measure(self, cell: Cell, images: ImageSet, probed: ProbedEncoder) -> Measurement:
        """Masked, unmasked and, with `data`, kNN accuracy."""
        return measure_images(cell, images, probed, leave_out=self.leave_out)

    @cached_property
    def train(self) -> ImageSet | None:
        """The head's training images."""
        return require_labels(open_train(self.data)) if self.data else None

    @classmethod
    def value(cls, record: Record) -> float:
        """Masked accuracy."""
        return float(record["masked"]["accuracy"])

    @classmethod
    def summary(cls, record: Record) -> str:
        """One line for the terminal."""
        cue = find_group(record["name"], record.get("declared")) == CUES and "mrr" in record
        rank = f", mean reciprocal rank {MeanRank(**record['mrr'])}" if cue else ""
        return f"{record['name']}: {describe_accuracy(record)}{rank}"

    @classmethod
    def details(cls, records: Sequence[Record]) -> dict[str, Any]:
        """The accuracies beside the masked one, mean over runs."""
        names = [name for name in ("unmasked", "knn") if all(name in record for record in records)]
        found = {name: fmean(record[name]["accuracy"] for record in records) for name in names}
        smaller = {record["knn"]["k"] for record in records if _votes_whole(record.get("knn"))}
        if all(is_unequal(record) for record in records):
            found["macro"] = fmean(record["masked"]["macro"] for record in records)
        return found | ({"knn_k": min(smaller)} if smaller else {})

    @classmethod
    def remarks(cls, shown: ArmResult) -> list[str]:
        """Macro accuracy where classes have unequal numbers of images, and the accuracy of kNN."""
        found = shown.details
        k = f" (k = {found['knn_k']})" if "knn_k" in found else ""
        lines = [f"macro {100 * found['macro']:.1f}"] if "macro" in found else []
        return [*lines, f"kNN {100 * found['knn']:.1f}{k}"] if "knn" in found else lines


def describe_accuracy(record: Record) -> str:
    """Describe an accuracy for the terminal: masked and unmasked, of which classes, what was left out."""
    masked, unmasked, kinds = record["masked"], record["unmasked"], record["classes"]
    declared = record.get("declared", HEAD)
    present = record.get("present", kinds)
    space = f"{kinds} classes" + ("" if declared == HEAD else f" of {declared}")
    some = f", images of {present} of them" if present < len(record["class_names"]) else ""
    ways = [f"{record[name]}-way" if name in record else "" for name in ("choices", "head_classes")]
    top5 = [f", top-5 {100 * one['top5']:.1f} %" if "top5" in one else "" for one in (masked, unmasked)]
    macro = f", macro {100 * masked['macro']:.1f} %" if is_unequal(record) else ""
    return (
        f"masked {100 * masked['accuracy']:.1f} % [{100 * masked['low']:.1f}, {100 * masked['high']:.1f}]"
        f" of {record['n']} images in {space}{some} ({ways[0]}{', ' if ways[0] else ''}chance"
        f" {100 * record['chance']:.1f} %{top5[0]}), unmasked {100 * unmasked['accuracy']:.1f} %"
        f"{f' ({ways[1]}{top5[1]})' if ways[1] else ''}{macro}{_describe_knn(record.get('knn'))}"
        f"{describe_left_out(record['left_out'])}"
    )


@dataclass(frozen=True)
class Score:
    """A share of images with its Wilson 95 % interval."""

    correct: int
    n: int
    accuracy: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.accuracy:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}] of {self.n} images"


def score(correct: Tensor) -> Score:
    """Score of a boolean (n,) tensor."""
    right, n = int(correct.sum()), len(correct)
    low, high = wilson(right, n)
    return Score(right, n, right / n, low, high)


def check_images(cell: Cell, images: ImageSet, probed: ProbedEncoder, *, leave_out: bool) -> ClassMap | None:
    """Return the class map of a cell's images.

    Raises:
        InputError: class folders that cannot be used.
    """
    declared = find_class_map(cell.classes, cell.name, images)
    check_classes(probed.head.classes, images, declared, leave_out=leave_out)
    return declared


def measure_images(
    cell: Cell, images: ImageSet, probed: ProbedEncoder, *, leave_out: bool, edit: Edit | None = None
) -> Measurement:
    """Measure the accuracy on the images of a cell, edited or not; kNN too where it has training images.

    Raises:
        InputError: class folders that cannot be used, before any feature is computed.
    """
    declared = check_images(cell, images, probed, leave_out=leave_out)
    return measure_accuracy(
        probed.head,
        probed.features(images, ready_cut=cell.ready_cut, edit=edit),
        images.classes,
        declared=declared,
        leave_out=leave_out,
        bank=probed.bank(cell.train) if cell.train else None,
        rank=cell.in_distribution,
    )


def measure_accuracy(
    head: Head,
    features: Features,
    folders: Sequence[str],
    *,
    declared: ClassMap | None = None,
    leave_out: bool = False,
    bank: Features | None = None,
    rank: bool = False,
) -> Measurement:
    """Masked and unmasked accuracy on the classes that head and set share; kNN too where a bank is given.

    Args:
        head: of the encoder that made the features.
        features: of the test set.
        folders: its class folder names.
        declared: what they mean; None: the classes of the head of the same names.
        leave_out: leave out images of other folders, counted and named, instead of refusing the set.
        bank: features of the head's training images, labelled as `head.classes`.
        rank: keep what tells the accuracy among any of the classes, `Answers.ranking`.
    """
    space = declare(head.classes, folders, features.labels, declared, leave_out=leave_out)
    known = space.known
    values, readable = features.values[known], features.mark_wrong(known)[known]
    found = answer(head, values, readable, space, rank=rank)
    numbers = {
        "n": int(known.sum()),
        **space.describe(),
        "choice_names": [head.classes[place] for place in space.columns.tolist()],
        **({"choice_folders": space.name_folders()} if space.kinds < len(space.columns) else {}),
        **{rule: summarise(space, correct) for rule, correct in found.right.items()},
        "calibration": found.calibration,
    }
    in_all = space.right[space.labels[known]].sum(1).tolist()
    ranks = average_ranks(found.reciprocal, len(head.classes), in_all)
    numbers["mrr"] = {"value": ranks.value, "chance": ranks.chance}
    for rule, correct in found.among_five.items():
        numbers[rule]["top5"] = float(correct.double().mean())
    if bank is not None:
        votes, used = vote(bank, values, space, classes=len(head.classes))
        numbers["knn"] = {**summarise(space, space.judge(votes) & readable), **used}
    keys = tuple(key for key, counts in zip(features.keys, known.tolist(), strict=True) if counts)
    right = found.right["masked"].numpy().astype(np.int8)
    return Measurement(numbers, keys, right, found.answers, found.reciprocal.numpy())


def summarise(space: ClassSpace, correct: Tensor) -> dict[str, Any]:
    """Score of the images that count, and the mean over their classes."""
    return {**asdict(score(correct)), "macro": space.average_classes(correct)}


def vote(
    bank: Features,
    values: Tensor,
    space: ClassSpace,
    *,
    classes: int,
    k: int = K,
    temperature: float = TEMPERATURE,
) -> tuple[Tensor, dict[str, Any]]:
    """Choose among the choices of a space by the vote of the nearest images of a bank; say which k it was."""
    near = torch.isin(bank.labels, space.columns)
    blocks = knn_scores(
        bank.values[near], bank.labels[near], values, classes=classes, k=k, temperature=temperature
    )
    used = {"k": min(k, int(near.sum())), "asked": k, "temperature": temperature}
    return torch.cat([block.argmax(1) for block in blocks]), used


def _describe_knn(knn: Record | None) -> str:
    """Write the kNN accuracy, and k where the bank is smaller than the number asked for."""
    if knn is None:
        return ""
    whole = f" (k = {knn['k']}, the whole bank)" if _votes_whole(knn) else ""
    return f", kNN {100 * knn['accuracy']:.1f} %{whole}"


def _votes_whole(knn: Record | None) -> bool:
    """True if the bank is smaller than the number of neighbours asked for."""
    return knn is not None and bool(knn["k"] < knn.get("asked", knn["k"]))
