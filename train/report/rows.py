"""A row of a report's table: a number of every arm, and its change to the arm's baseline.

Shares lie between 0 and 1. An entry holds the mean over seeds with Wilson's interval for the images of the
set; a change holds the interval over images (seeds fixed) and over seeds (Student's t on paired seeds, images
fixed).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from texneg.train.evaluate.intervals import Interval
from texneg.train.evaluate.sets.base import SetKind


@dataclass(frozen=True)
class Change:
    """Difference of an arm to its baseline, over the seeds that both ran."""

    mean: float
    seeds: Mapping[str, float]
    over_seeds: Interval | None
    over_images: Interval | None = None
    mcnemar: Mapping[str, float] | None = None
    """p of each seed"""

    @property
    def direction(self) -> int:
        """1 where no interval reaches down to zero, -1 where none reaches up to it, 0 within noise."""
        ends = [pair for pair in (self.over_images, self.over_seeds) if pair]
        if ends and min(low for low, _ in ends) > 0:
            return 1
        return -1 if ends and max(high for _, high in ends) < 0 else 0

    @property
    def certainty(self) -> str:
        """Words for how sure the direction is."""
        images, seeds = (
            None if pair is None else pair[0] > 0 or pair[1] < 0
            for pair in (self.over_images, self.over_seeds)
        )
        if images is None and seeds is None:
            return "one seed, no interval"
        if self.direction:
            return "beyond noise" if seeds is not None else "beyond noise over images, one seed"
        if images:
            return "within the noise of seeds"
        return "within the noise of images" if seeds else "within noise"


@dataclass(frozen=True)
class Entry:
    """One arm in one row."""

    seeds: Mapping[str, float]
    mean: float
    sd: float | None
    """None with a single seed"""
    low: float | None = None
    high: float | None = None
    difference: Change | None = None
    at_chance: bool = False
    """the interval reaches down to chance"""
    details: Mapping[str, Any] = field(default_factory=dict)
    """further numbers of the kind of set"""
    remarks: Sequence[str] = ()
    """these in words"""

    @property
    def unmasked(self) -> float | None:
        """Accuracy among all classes of the head, where the mean is the masked one."""
        return self.details.get("unmasked")

    def to_json(self) -> dict[str, Any]:
        """Plain values, the details among them."""
        plain = asdict(self)
        del plain["remarks"]
        return plain | plain.pop("details")


@dataclass(frozen=True)
class Row:
    """A test set, the mean of several, or a number of an analysis."""

    name: str
    kind: type[SetKind] | None
    entries: Sequence[Entry | None]
    """one for each arm; None where no run of the arm has the number"""
    head: str = ""
    """name of the head that answers"""
    group: str = ""
    """sets that may be averaged, if their classes are the same, too"""
    clean: bool = False
    """in the distribution of the head's training images"""
    space: str = ""
    """declared classes, their number and chance, and how corrupted images came about, as a key"""
    n: int | None = None
    classes: int | None = None
    chance: float | None = None
    left_out: Mapping[str, Any] | None = None
    parts: int = 0
    """number of cells of a set that has several"""
    unreadable: int = 0
    """number of images that could not be read"""
    bad: str = ""
    """policy for these: wrong or skip"""

    @property
    def unreadable_note(self) -> str:
        """Number and treatment of images that could not be read; empty without any."""
        done = "counted as wrong" if self.bad == "wrong" else "left out"
        return f"{self.unreadable} unreadable, {done}" if self.unreadable else ""

    def to_json(self) -> dict[str, Any]:
        """Plain values for report.json."""
        entries = [None if entry is None else entry.to_json() for entry in self.entries]
        fields = ("name", "head", "group", "clean", "n", "classes", "chance", "left_out", "unreadable")
        kind = "mean" if self.kind is None else self.kind.name
        return {**{name: getattr(self, name) for name in fields}, "kind": kind, "cells": entries}

    @property
    def averaged(self) -> bool:
        """An accuracy, or a mean of some: it stands in the figure of accuracies."""
        return self.kind is None or self.kind.averaged
