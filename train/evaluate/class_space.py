"""Class spaces: which classes of a head are choices on a set, and which of them are right for an image.

The space is declared, by a class map or else by the head, whose classes are all choices then. It is never
read off the images that happen to be there: a set that is half downloaded keeps its mask and its chance.

Shapes: T test images, C head classes, M choices, K kinds of right answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from texneg.cli.console import plural
from texneg.datasets.catalogue.catalogue import find_known
from texneg.datasets.class_maps import FOLDERS, SHIPPED, ClassMap, declare_folders, read_class_map
from texneg.datasets.images import ImageSet
from texneg.errors import InputError
from texneg.train.data.splits import SHOWN

HEAD = "head"  # declares, where nothing else does


class NothingShared(InputError):
    """A head and a set have no class in common."""


@dataclass(frozen=True)
class ClassSpace:
    """The choices of a head on a set, and the right ones of each image."""

    declared: str
    """by which map; `head` without one"""
    names: tuple[str, ...]
    """declared folders with a class of the head, in the order of its classes"""
    groups: tuple[tuple[int, ...], ...]
    """the classes of each, by their places in the head"""
    columns: Tensor
    """int64 (M,): places of the choices in the head"""
    kinds: int
    """K: folders that mean the same classes count once"""
    chance: float
    """share of right answers of a blind choice, every kind as likely as another"""
    right: Tensor
    """boolean (folders + 1, C): right answers by the set's folders; none in the last, for no folder"""
    labels: Tensor
    """int64 (T,): each image's folder"""
    lacking: tuple[str, ...]
    """folders with images that mean no class of the head"""
    folders: tuple[str, ...]
    """of the set"""

    @cached_property
    def known(self) -> Tensor:
        """Boolean (T,): the images that count."""
        return self.right.any(1)[self.labels]

    def judge(self, chosen: Tensor) -> Tensor:
        """Boolean (known,): right choices of the images that count; `chosen` int64 (known,)."""
        return self.right[self.labels[self.known], chosen]

    def name_folders(self) -> list[str]:
        """Name the declared folder of each choice; the first where several share it."""
        names: dict[int, str] = {}
        for name, group in zip(self.names, self.groups, strict=True):
            for place in group:
                names.setdefault(place, name)
        return [names[place] for place in self.columns.tolist()]

    def per_class(self) -> Tensor:
        """int64 (folders,): images of each folder, 0 for those that do not count."""
        return self.labels[self.known].bincount(minlength=len(self.folders))

    def average_classes(self, correct: Tensor) -> float:
        """Mean over classes of their accuracies; `correct` boolean (known,)."""
        counts = self.per_class()
        hits = self.labels[self.known][correct].bincount(minlength=len(self.folders))
        return float((hits / counts)[counts > 0].mean())

    @property
    def left_out(self) -> dict[str, Any]:
        """Images that do not count: their number, the folders they lie in, and how many lie in none."""
        stray = int((self.labels == len(self.folders)).sum())
        return {"images": int((~self.known).sum()), "classes": list(self.lacking), "in_no_folder": stray}

    def describe(self) -> dict[str, Any]:
        """Describe it with plain values, as results record it."""
        counts = self.per_class()
        counts = counts[counts > 0]
        return {
            "classes": self.kinds,
            "class_names": list(self.names),
            "declared": self.declared,
            "choices": len(self.columns),
            "head_classes": self.right.shape[1],
            "chance": self.chance,
            "present": len(counts),
            "images_per_class": [int(counts.min()), int(counts.max())],
            "left_out": self.left_out,
        }


def find_class_map(text: str | None, name: str, images: ImageSet) -> ClassMap | None:
    """Find the map of a set: the one given, else that of the known set, or the map, of the set's name."""
    if text == FOLDERS:
        return declare_folders(images)
    if text is not None:
        return read_class_map(text)
    known = find_known(name)
    own = known.classes if known else name if name in SHIPPED else ""
    found = read_class_map(own) if own else None
    if found and known and known.plain_name and not set(found.folders) & set(images.classes):
        return None  # a set of one's own
    return found


def declare(
    head: Sequence[str],
    folders: Sequence[str],
    labels: Tensor,
    declared: ClassMap | None = None,
    *,
    leave_out: bool = False,
) -> ClassSpace:
    """Declare the class space of a head on a set.

    Args:
        head: C class names.
        folders: class folder names of the set, of which images are there.
        labels: int64 (T,), indices into `folders`, or -1.
        declared: the set's folders and their meaning; None for all classes of the head, by their names.
        leave_out: leave out images of folders that are not declared, instead of refusing them.

    Raises:
        InputError: no class or one class in common, a folder that is not declared, an image in no folder.
    """
    if not folders:
        raise InputError("the set has no class folders; put each image into a folder named after its class")
    declared = declared and declared.turn(folders)
    groups = {name: (i,) for i, name in enumerate(head)} if declared is None else declared.lead(head)
    unknown = [name for name in folders if name not in groups]
    shared = {name: group for name, group in groups.items() if group}
    if not any(name in shared for name in folders):
        raise NothingShared(
            f"no shared classes: the set has {list_some(folders)}, the head {list_some(head)};"
            " declare what the folders mean with a class map (--classes), rename them, or fit the probe on"
            f" the same names{hint_at(folders, head)}"
        )
    stray = int((labels < 0).sum())
    if not leave_out and (unknown or stray):
        where = "the head" if declared is None else f"the class map {declared.name}"
        raise InputError(describe_unknown(unknown, stray, tuple(groups), where))
    kinds = set(shared.values())
    present = {shared[name] for name in folders if name in shared}
    if len(kinds) == 1 or (declared is None and len(present) == 1):
        only = next(name for name in folders if name in shared)
        raise InputError(
            f"one shared class, {only!r}: with a single class every answer is right or every one is chance;"
            " give images of two or more, or declare the set's classes with a class map (--classes)"
        )
    names = sorted(shared, key=lambda name: shared[name])
    columns = torch.tensor(sorted({place for group in shared.values() for place in group}))
    right = torch.zeros(len(folders) + 1, len(head), dtype=torch.bool)
    for i, name in enumerate(folders):
        right[i, list(shared.get(name, ()))] = True
    return ClassSpace(
        declared=HEAD if declared is None else declared.name,
        names=tuple(names),
        groups=tuple(tuple(shared[name]) for name in names),
        columns=columns,
        kinds=len(kinds),
        chance=fmean(len(group) for group in kinds) / len(columns),
        right=right,
        labels=torch.where(labels < 0, len(folders), labels),
        lacking=tuple(name for name in folders if name not in shared),
        folders=tuple(folders),
    )


def check_classes(
    head: Sequence[str], images: ImageSet, declared: ClassMap | None, *, leave_out: bool
) -> None:
    """Refuse a set of which `declare` makes no class space, before anything is computed."""
    labels = torch.from_numpy(images.labels)
    declare(head, images.classes, labels, declared, leave_out=leave_out)


def describe_unknown(unknown: Sequence[str], stray: int, known: Sequence[str], where: str) -> str:
    """Say which folders are not declared, and what may be meant."""
    what = []
    if unknown:
        named = list_some(unknown, SHOWN)
        what.append(f"{plural(len(unknown), 'class folder')} unknown to {where}: {named}")
    if stray:
        what.append(f"{plural(stray, 'image')} in no class folder")
    return (
        f"{'; '.join(what)}{hint_at(unknown, known)}; rename or remove them, declare them with a class map"
        " (--classes), or leave their images out with --leave-out"
    )


def hint_at(names: Sequence[str], known: Sequence[str]) -> str:
    """Name pairs of names that differ in case, blanks, hyphens or underscores alone."""

    def plain(name: str) -> str:
        return "".join(letter for letter in name.casefold() if letter not in " -_")

    meant = {plain(name): name for name in known}
    pairs = [f"{name!r} is {meant[plain(name)]!r}" for name in names if plain(name) in meant]
    return f" (but for case and blanks, {', '.join(pairs[:SHOWN])})" if pairs else ""


def describe_left_out(left_out: Mapping[str, Any]) -> str:
    """Say how many images and classes do not count, and why, to stand behind a number."""
    names, stray = left_out["classes"], left_out.get("in_no_folder", 0)
    images = left_out["images"] - stray
    parts = []
    if images:
        parts.append(
            f"{plural(images, 'image')} of {len(names)} class{'es' if len(names) > 1 else ''} that the head"
            f" lacks ({list_some(names, 3)}) left out"
        )
    if stray:
        parts.append(f"{plural(stray, 'image')} in no class folder left out")
    return "".join(f"; {part}" for part in parts)


def list_some(names: Sequence[str], most: int = 4) -> str:
    """List the first names, and their number where there are more."""
    listed = ", ".join(names[:most])
    return listed if len(names) <= most else f"{listed}, ... ({len(names)} classes)"


def choose(logits: Tensor, space: ClassSpace) -> dict[str, Tensor]:
    """Choose head classes for images with scores (T, C): int64 (T,) under "masked" and "unmasked"."""
    return {"masked": space.columns[logits[:, space.columns].argmax(1)], "unmasked": logits.argmax(1)}


def is_unequal(record: Mapping[str, Any]) -> bool:
    """Return True if a set has more images of one class than of another."""
    low, high = record.get("images_per_class", (1, 1))
    return bool(low != high)
