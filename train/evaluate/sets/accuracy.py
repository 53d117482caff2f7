"""Accuracy of a head on a test set that shares only some of its classes.

*Masked*: the head chooses among the shared classes. *Unmasked*: among all of its classes. The two differ a
lot and both appear in the literature, so both are always reported, with n, classes, chance and interval.

Shapes: T test images, F features, C head classes, S shared classes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from statistics import fmean
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from texneg.datasets.images import ImageSet
from texneg.errors import InputError
from texneg.train.data.splits import open_train, require_labels
from texneg.train.evaluate.features import Features
from texneg.train.evaluate.intervals import wilson
from texneg.train.evaluate.linear import Head
from texneg.train.evaluate.neighbours import knn_scores
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
    """test sets as NAME=PATH; class folders are matched with the head's classes by name"""
    data: str | None = None
    """training images of the head, for kNN accuracy on every set too; none for the head alone"""
    strict: bool = False
    """refuse test sets with class folders that the head lacks, instead of leaving those images out"""

    ready_cut: tuple[str, ...] = ()
    """names of sets whose images are cut to size already, such as ImageNet-C: they are not enlarged first"""

    name: ClassVar[str] = "accuracy"

    def cells(self) -> Iterator[Cell]:
        """One for each set."""
        paths = parse_paths(self.sets, "--sets")
        require_known(self.ready_cut, paths, "--ready-cut")
        for name, path in paths.items():
            yield Cell(name, path, train=self.train, ready_cut=name in self.ready_cut)

    def measure(self, cell: Cell, images: ImageSet, probed: ProbedEncoder) -> Measurement:
        """Masked, unmasked and, with `data`, kNN accuracy."""
        bank = probed.bank(self.train) if self.train else None
        found = measure_accuracy(
            probed.head, probed.features(images, ready_cut=cell.ready_cut), images.classes, bank=bank
        )
        unknown = found.numbers["left_out"]["classes"]
        if self.strict and unknown:
            raise InputError(f"the head lacks {', '.join(unknown[:5])}; remove the folders or drop --strict")
        return found

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
        masked, unmasked = record["masked"], record["unmasked"]
        return (
            f"{record['name']}: {100 * masked['accuracy']:.1f} % "
            f"[{100 * masked['low']:.1f}, {100 * masked['high']:.1f}] of {record['n']} images "
            f"in {record['classes']} classes (chance {100 * record['chance']:.1f} %), "
            f"unmasked {100 * unmasked['accuracy']:.1f} %{_describe_knn(record.get('knn'))}"
        )

    @classmethod
    def details(cls, records: Sequence[Record]) -> dict[str, Any]:
        """The accuracies beside the masked one, mean over runs."""
        names = [name for name in ("unmasked", "knn") if all(name in record for record in records)]
        found = {name: fmean(record[name]["accuracy"] for record in records) for name in names}
        smaller = {record["knn"]["k"] for record in records if _votes_whole(record.get("knn"))}
        return found | ({"knn_k": min(smaller)} if smaller else {})

    @classmethod
    def remarks(cls, shown: ArmResult) -> list[str]:
        """The unmasked accuracy where it is another one, and that of kNN."""
        found = shown.details
        unmasked, knn = found.get("unmasked", shown.mean), found.get("knn")
        lines = [] if unmasked == shown.mean else [f"among all head classes {100 * unmasked:.1f}"]
        k = f" (k = {found['knn_k']})" if "knn_k" in found else ""
        return lines if knn is None else [*lines, f"kNN {100 * knn:.1f}{k}"]


@dataclass(frozen=True)
class Shared:
    """The classes that a head and a test set have in common, matched by class folder name."""

    names: tuple[str, ...]
    """S names, in the order of the head."""
    columns: Tensor
    """int64 (S,): their places in the head."""
    targets: Tensor
    """int64 (T,): each image's place in the head; -1 where the head lacks its class."""
    unknown: tuple[str, ...]
    """class folders of the test set that the head lacks"""

    @property
    def known(self) -> Tensor:
        """Boolean (T,): the images that count."""
        return self.targets >= 0


def share_classes(head: Sequence[str], folders: Sequence[str], labels: Tensor) -> Shared:
    """Match test folders to head classes by name; none in common raises `InputError`.

    Args:
        head: C class names.
        folders: class folder names of the test set.
        labels: int64 (T,), indices into `folders`, or -1.
    """
    place = {name: index for index, name in enumerate(head)}
    table = torch.tensor([*(place.get(name, -1) for name in folders), -1])  # label -1: in no class folder
    targets = table[labels]
    columns = targets[targets >= 0].unique()
    if not folders:
        raise InputError("the set has no class folders; put each image into a folder named after its class")
    if not len(columns):
        raise InputError(
            f"no shared classes: the set has {_some(folders)}, the head {_some(head)}; "
            "class folders are matched by name, so rename the folders or fit the probe on the same names"
        )
    unknown = tuple(name for name in folders if name not in place)
    return Shared(tuple(head[i] for i in columns.tolist()), columns, targets, unknown)


def predict(logits: Tensor, shared: Shared) -> dict[str, Tensor]:
    """Choose head classes for T images with scores (T, C): int64 (T,) under "masked" and "unmasked"."""
    masked = shared.columns[logits[:, shared.columns].argmax(1)]
    return {"masked": masked, "unmasked": logits.argmax(1)}


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


def measure_accuracy(
    head: Head,
    features: Features,
    folders: Sequence[str],
    *,
    bank: Features | None = None,
) -> Measurement:
    """Masked and unmasked accuracy on the classes that head and set share; kNN too where a bank is given.

    Args:
        head: of the encoder that made the features.
        features: of the test set.
        folders: its class folder names; those unknown to the head are left out, counted and named.
        bank: features of the head's training images, labelled as `head.classes`.
    """
    shared = share_classes(head.classes, folders, features.labels)
    known, targets = shared.known, shared.targets[shared.known]
    values = features.values[known]
    readable = features.mark_wrong(known)[known]
    chosen = predict(head.logits(values), shared)
    right = {rule: (prediction == targets) & readable for rule, prediction in chosen.items()}
    numbers = {
        "n": len(targets),
        "classes": len(shared.names),
        "class_names": list(shared.names),
        "chance": 1 / len(shared.names),
        "left_out": {"images": int((~known).sum()), "classes": list(shared.unknown)},
        **{rule: asdict(score(correct)) for rule, correct in right.items()},
    }
    if bank is not None:
        near = torch.isin(bank.labels, shared.columns)
        blocks = knn_scores(
            bank.values[near],
            bank.labels[near],
            values,
            classes=len(head.classes),
            k=K,
            temperature=TEMPERATURE,
        )
        votes = torch.cat([block.argmax(1) for block in blocks])
        used = {"k": min(K, int(near.sum())), "asked": K, "temperature": TEMPERATURE}
        numbers["knn"] = {**asdict(score((votes == targets) & readable)), **used}
    keys = tuple(key for key, counts in zip(features.keys, known.tolist(), strict=True) if counts)
    return Measurement(numbers, keys, right["masked"].numpy().astype(np.int8))


def _describe_knn(knn: Record | None) -> str:
    """Write the kNN accuracy, and k where the bank is smaller than the number asked for."""
    if knn is None:
        return ""
    whole = f" (k = {knn['k']}, the whole bank)" if _votes_whole(knn) else ""
    return f", kNN {100 * knn['accuracy']:.1f} %{whole}"


def _votes_whole(knn: Record | None) -> bool:
    """True if the bank is smaller than the number of neighbours asked for."""
    return knn is not None and bool(knn["k"] < knn.get("asked", knn["k"]))


def _some(names: Sequence[str]) -> str:
    listed = ", ".join(names[:4])
    return listed if len(names) <= 4 else f"{listed}, ... ({len(names)} classes)"
