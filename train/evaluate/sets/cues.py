"""Mean reciprocal rank on cue sets of one's own classes, as `texneg cues` makes them.

After Kim et al., arXiv 2603.10834 (REFINED-BIAS): an image with one cue, shape or texture, and the rank of
its class among all classes of the head. Cue conflict is measured as shape bias, and has both ranks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, ClassVar

import numpy as np

from texneg.datasets.cues.layout import CONFLICT, EDGES, SILHOUETTES, TEXTURES, read_files
from texneg.datasets.images import ImageSet
from texneg.train.evaluate.class_space import check_classes, find_class_map
from texneg.train.evaluate.intervals import Interval, bootstrap
from texneg.train.evaluate.metrics.reciprocal_rank import MeanRank
from texneg.train.evaluate.sets.accuracy import measure_images
from texneg.train.evaluate.sets.base import (
    ArmResult,
    Cell,
    Comparison,
    Measurement,
    ProbedEncoder,
    Record,
    SetKind,
    Values,
    parse_paths,
    require_known,
)
from texneg.train.evaluate.sets.shape_bias import ShapeBias

CUE_OF = {EDGES: "shape", SILHOUETTES: "shape", TEXTURES: "texture"}


@dataclass(frozen=True)
class Cues(SetKind):
    """Mean reciprocal rank of the class on sets of one cue.

    Outcomes: reciprocal ranks.
    """

    cues: tuple[str, ...] = ()
    """folders of texneg cues as NAME=DST: the sets NAME-edges, NAME-silhouettes, NAME-textures and
    NAME-cue-conflict, as far as they are there"""
    cue_classes: tuple[str, ...] = ()
    """class maps of cue sets as NAME=MAP, where their classes are not named as the head's"""

    name: ClassVar[str] = "cues"
    note: ClassVar[str] = "mean reciprocal rank"
    averaged: ClassVar[bool] = False

    def cells(self) -> Iterator[Cell]:
        """One for each cue but cue conflict."""
        maps = self.maps
        for name, path in parse_paths(self.cues, "--cues").items():
            for cue in read_files(Path(path)):
                if cue in CUE_OF:
                    yield Cell(
                        f"{name}-{cue}",
                        str(Path(path) / cue),
                        options={"cue": CUE_OF[cue]},
                        classes=maps.get(name),
                        ready_cut=True,
                    )

    @property
    def conflicts(self) -> list[ShapeBias]:
        """The kinds that measure cue conflict, where there is any."""
        maps = self.maps
        return [
            ShapeBias(cue_conflict=(f"{name}-{CONFLICT}={Path(path) / CONFLICT}",), mapping=maps.get(name))
            for name, path in parse_paths(self.cues, "--cues").items()
            if CONFLICT in read_files(Path(path))
        ]

    @property
    def maps(self) -> dict[str, str]:
        """Class maps by name; one of no set raises `InputError`."""
        maps = parse_paths(self.cue_classes, "--cue-classes")
        require_known(tuple(maps), parse_paths(self.cues, "--cues"), "--cue-classes")
        return maps

    def check(self, cell: Cell, images: ImageSet, probed: ProbedEncoder) -> None:
        """Refuse class folders that cannot be used."""
        declared = find_class_map(cell.classes, cell.name, images)
        check_classes(probed.head.classes, images, declared, leave_out=False)

    def measure(self, cell: Cell, images: ImageSet, probed: ProbedEncoder) -> Measurement:
        """Mean reciprocal rank among all classes of the head, and the accuracies of any set."""
        found = measure_images(cell, images, probed, leave_out=False)
        assert found.reciprocal is not None
        low, high = bootstrap(found.reciprocal)
        ranks = {**found.numbers["mrr"], "low": low, "high": high}
        numbers = {**found.numbers, "cue": cell.options["cue"], "mrr": ranks, "chance": ranks["chance"]}
        return Measurement(numbers, found.keys, found.reciprocal.astype(np.float32), found.answers)

    @classmethod
    def value(cls, record: Record) -> float:
        """Mean reciprocal rank."""
        return float(record["mrr"]["value"])

    @classmethod
    def summary(cls, record: Record) -> str:
        """One line for the terminal."""
        return (
            f"{record['name']}: mean reciprocal rank of the {record['cue']} {MeanRank(**record['mrr'])} among"
            f" {record['head_classes']} classes, top-1 {100 * record['unmasked']['accuracy']:.1f} %,"
            f" n {record['n']}"
        )

    @classmethod
    def deciding(cls, record: Record) -> int:
        """None: the value is no share of images."""
        return 0

    @classmethod
    def interval(cls, records: Sequence[Record], mean: float) -> Interval:
        """Mean over runs of the ends of their intervals over images."""
        return Interval(*(fmean(record["mrr"][end] for record in records) for end in ("low", "high")))

    @classmethod
    def details(cls, records: Sequence[Record]) -> dict[str, Any]:
        """Top-1 among all classes, mean over runs."""
        return {"top1": fmean(record["unmasked"]["accuracy"] for record in records), "cue": records[0]["cue"]}

    @classmethod
    def remarks(cls, shown: ArmResult) -> list[str]:
        """The cue, and top-1 among all classes."""
        return [f"{shown.details['cue']}; top-1 {100 * shown.details['top1']:.1f}"]

    @classmethod
    def compare(cls, mine: Values, base: Values) -> Comparison:
        """Bootstrap over images of the differences of reciprocal ranks, mean over runs."""
        return Comparison(bootstrap((mine.astype(np.float64) - base).mean(0)))
