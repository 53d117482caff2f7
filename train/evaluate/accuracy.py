"""Accuracy of a head on a test set that shares only some of its classes.

*Masked*: the head chooses among the shared classes. *Unmasked*: among all of its classes. The two differ a
lot and both are printed by somebody, so both are always reported, with n, classes, chance and interval.

Shapes: T test images, C head classes, S shared classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from texneg.errors import InputError
from texneg.train.evaluate.intervals import wilson


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


def predictions(logits: Tensor, shared: Shared) -> dict[str, Tensor]:
    """Head classes chosen for T images with scores (T, C): int64 (T,) under "masked" and "unmasked"."""
    masked = shared.columns[logits[:, shared.columns].argmax(1)]
    return {"masked": masked, "unmasked": logits.argmax(1)}


def score(correct: Tensor) -> dict[str, Any]:
    """Count, share and Wilson 95 % interval of a boolean (n,) tensor."""
    right, n = int(correct.sum()), len(correct)
    low, high = wilson(right, n)
    return {"correct": right, "n": n, "accuracy": right / n, "low": low, "high": high}


def _some(names: Sequence[str]) -> str:
    listed = ", ".join(names[:4])
    return listed if len(names) <= 4 else f"{listed}, ... ({len(names)} classes)"
