"""Shape or texture: which cue decides on images whose two cues disagree.

Geirhos et al., "ImageNet-trained CNNs are biased towards texture; increasing shape bias improves accuracy and
robustness", ICLR 2019. An image is named <shape><i>-<texture><j> and lies in the folder of its shape.

Shapes: N images, S runs, C head classes, K categories to decide between.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from texneg.datasets.class_maps import read_class_map
from texneg.datasets.cues.layout import parse_texture
from texneg.datasets.images import UNLABELLED, ImageSet
from texneg.errors import InputError
from texneg.philox.arrays import generator
from texneg.philox.streams import Stream
from texneg.train.evaluate.features import Features
from texneg.train.evaluate.figures import AXIS, INK, is_narrow, shorten, subplots
from texneg.train.evaluate.intervals import LEVEL, RESAMPLES, Interval
from texneg.train.evaluate.linear import Head
from texneg.train.evaluate.metrics.reciprocal_rank import MeanRank, rank_categories
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
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NARROW_NAME, WIDE_NAME = 16, 60  # characters of a category in the figure


@dataclass(frozen=True)
class ShapeBias(SetKind):
    """Shape bias on cue-conflict sets.

    Outcomes: 1 the shape's class, -1 the texture's, 0 another.
    """

    cue_conflict: tuple[str, ...] = ()
    """cue-conflict sets as NAME=PATH; files named <shape><i>-<texture><j> in folders by shape"""
    mapping: str | None = None
    """class map {category: [head classes]} for cue-conflict sets whose categories group the head's classes;
    for the 16 categories of the published set and a head of ImageNet's classes: sixteen"""

    name: ClassVar[str] = "shape-bias"
    note: ClassVar[str] = "shape bias"
    averaged: ClassVar[bool] = False
    heading: ClassVar[str] = "Shape or texture"
    lede: ClassVar[str] = (
        "Images with the shape of one class and the texture of another. Which of the two does the head name?"
    )
    caption: ClassVar[str] = (
        "Only decisions for one of the two cues count; the share of them that goes to the shape is the "
        "shape bias. Rows are the shape's classes, markers the arms, vertical lines the pooled shape "
        "bias. People lie near the right edge. An arm that rarely names either cue has little to say "
        "here: see “either cue” in the table."
    )

    parts_note: ClassVar[str] = (
        "Shape bias by category of the shape, percent, ± standard deviation over seeds; change in points."
    )

    def cells(self) -> Iterator[Cell]:
        """One for each set."""
        mapping = read_mapping(self.mapping)
        for name, path in parse_paths(self.cue_conflict, "--cue-conflict").items():
            yield Cell(name, path, options={"mapping": mapping}, ready_cut=True)

    def measure(self, cell: Cell, images: ImageSet, probed: ProbedEncoder) -> Measurement:
        """Decisions for shape and texture, pooled and by category."""
        features, mapping = probed.features(images, ready_cut=cell.ready_cut), cell.options["mapping"]
        return measure_shape_bias(probed.head, features, images.classes, mapping=mapping)

    @classmethod
    def value(cls, record: Record) -> float | None:
        """The shape bias."""
        bias: float | None = record["shape_bias"]
        return bias

    @classmethod
    def summary(cls, record: Record) -> str:
        """One line for the terminal."""
        bias, cued = record["shape_bias"], record["cue_accuracy"]
        words = "undecided" if bias is None else f"{100 * bias:.1f} %"
        ranks = [f"of the {cue} {MeanRank(**found)}" for cue, found in record.get("mrr", {}).items()]
        told = f", mean reciprocal rank {', '.join(ranks)}" if ranks else ""
        line = f"{record['name']}: shape bias {words}, cue accuracy {100 * cued:.1f} %, n {record['n']}"
        return line + told

    @classmethod
    def deciding(cls, record: Record) -> int:
        """Images whose decision was for either cue."""
        return int(record["shape"] + record["texture"])

    @classmethod
    def details(cls, records: Sequence[Record]) -> dict[str, Any]:
        """Share of decisions for either cue, ranks of both, and the shape bias by the shape's category."""
        ranked = all("mrr" in record for record in records)  # earlier versions have none
        return {
            "ranks": {
                cue: fmean(record["mrr"][cue]["value"] for record in records)
                for cue in (records[0]["mrr"] if ranked else ())
            },
            "cue_accuracy": fmean(record["cue_accuracy"] for record in records),
            "by_category": {name: _pool(records, name) for name in records[0]["by_category"]},
        }

    @classmethod
    def parts(cls, record: Record) -> dict[str, float]:
        """Shape bias of each shape's category, where either cue was chosen."""
        shares = {name: _pool([record], name) for name in record["by_category"]}
        return {name: share for name, share in shares.items() if share is not None}

    @classmethod
    def remarks(cls, shown: ArmResult) -> list[str]:
        """Share of decisions for either cue, and mean reciprocal ranks of both."""
        ranks = " ".join(f"{cue} {100 * value:.1f}" for cue, value in shown.details["ranks"].items())
        either = f"either cue {100 * shown.details['cue_accuracy']:.1f}"
        return [either, f"rank of {ranks}"] if ranks else [either]

    @classmethod
    def compare(cls, mine: Values, base: Values) -> Comparison:
        """Bootstrap over images of the difference of the two biases."""
        return Comparison(bootstrap_change(mine, base))

    @classmethod
    def figure(cls, arms: Sequence[ArmResult]) -> "Figure":
        """Share of shape decisions by category; vertical lines are the pooled shares."""
        categories = sorted({name for arm in arms for name in arm.details["by_category"]})
        narrow = is_narrow()
        figure, axes = subplots(height=26 * len(categories) + 80)
        axes.axvline(50, color=AXIS)
        for arm in arms:
            axes.axvline(100 * arm.mean, color=arm.look.colour, linewidth=2, alpha=0.8)
            found = [arm.details["by_category"].get(name) for name in categories]
            places = [place for place, share in enumerate(found) if share is not None]
            axes.plot([100 * found[place] for place in places], places, **arm.look.point)
        names = [shorten(name, NARROW_NAME if narrow else WIDE_NAME) for name in categories]
        axes.set_yticks(range(len(categories)), names, color=INK, size=12 if narrow else 14)
        axes.set_ylim(len(categories) - 0.5, -0.5)
        axes.set_xlim(0, 100)
        shares = range(0, 101, 50 if narrow else 10)
        axes.set_xticks(shares, [f"{share} %" for share in shares])
        style = {"fontsize": 11 if narrow else 13, "fontweight": "normal"}
        axes.set_title("← texture" if narrow else "← decides by texture", **style)
        axes.set_title("shape →" if narrow else "decides by shape →", loc="right", **style)
        return figure


def read_mapping(path: str | None) -> Mapping[str, list[str]] | None:
    """Read category to class names from a class map; a category also means the class of its own name."""
    if path is None:
        return None
    return {name: [*names, name] for name, names in read_class_map(path).folders.items()}


def _pool(records: Sequence[Record], category: str) -> float | None:
    """Shape bias of one shape category, decisions pooled over runs; None where neither cue was chosen."""
    counts = [record["by_category"].get(category, {"shape": 0, "texture": 0}) for record in records]
    shape, texture = (sum(count[cue] for count in counts) for cue in ("shape", "texture"))
    return shape / (shape + texture) if shape + texture else None


def measure_shape_bias(
    head: Head,
    features: Features,
    folders: Sequence[str],
    *,
    mapping: Mapping[str, Sequence[str]] | None = None,
) -> Measurement:
    """Shape bias on a cue-conflict set, over the images whose two cues differ and can both be chosen.

    Args:
        head: of the encoder that made the features.
        features: of the cue-conflict set; names are <shape><i>-<texture><j>.
        folders: its class folder names: the shapes.
        mapping: category to head classes, decided by the mean of their probabilities.
    """
    labels = features.labels.tolist()
    if UNLABELLED in labels:
        raise InputError(
            f"cue-conflict image {features.keys[labels.index(UNLABELLED)]!r} lies in no folder;"
            " move it into that of its shape"
        )
    shapes = [folders[label] for label in labels]
    logits = head.logits(features.values)
    scores, categories = score_categories(logits, head.classes, mapping)
    named = {*categories, *folders}
    textures = [parse_texture(key, shape, named) for key, shape in zip(features.keys, shapes, strict=True)]
    disagree = np.array([s != t for s, t in zip(shapes, textures, strict=True)])
    decidable = np.array([s in categories and t in categories for s, t in zip(shapes, textures, strict=True)])
    kept = disagree & decidable
    if not kept.any():
        raise InputError(
            f"no image has two different cues among {', '.join(categories[:6])}, ...; "
            "name a class map from its categories to the head's classes, such as --mapping sixteen"
        )
    at = np.flatnonzero(kept)
    shapes, textures = [shapes[i] for i in at], [textures[i] for i in at]
    readable = features.mark_wrong(torch.from_numpy(kept))[at].numpy()
    chosen = decide(scores[torch.from_numpy(kept)], categories, shapes, textures) * readable
    bias = summarise(chosen, shapes)
    places = {name: index for index, name in enumerate(head.classes)}
    members = {
        name: [places[c] for c in (mapping or {}).get(name, [name]) if c in places] for name in categories
    }
    ranks = {
        cue: rank_categories(logits[at], [members[name] for name in wanted], torch.from_numpy(readable))
        for cue, wanted in (("shape", shapes), ("texture", textures))
    }
    numbers = {
        "n": bias.n,
        "classes": len(categories),
        "class_names": list(categories),
        "left_out": {"same_cue": int((~disagree).sum()), "undecidable": int((disagree & ~decidable).sum())},
        "shape_bias": bias.bias,
        "low": bias.interval.low if bias.interval else None,
        "high": bias.interval.high if bias.interval else None,
        "cue_accuracy": bias.cue_accuracy,
        "shape": bias.shape,
        "texture": bias.texture,
        "by_category": bias.by_category,
        "mrr": {cue: asdict(found) for cue, found in ranks.items()},
    }
    return Measurement(numbers, tuple(features.keys[i] for i in at), chosen)


@dataclass(frozen=True)
class Decisions:
    """Decisions on one cue-conflict set, pooled over its images."""

    n: int
    """images whose cues disagree"""
    shape: int
    """decisions for the shape's category"""
    texture: int
    """decisions for the texture's category"""
    bias: float | None
    """shape / (shape + texture); None if neither was ever chosen"""
    interval: Interval | None
    """bootstrap over images"""
    by_category: dict[str, dict[str, int]]
    """n, shape and texture decisions of each shape category"""

    @property
    def cue_accuracy(self) -> float:
        """Share of decisions for either cue."""
        return (self.shape + self.texture) / self.n


def score_categories(
    logits: Tensor, classes: Sequence[str], mapping: Mapping[str, Sequence[str]] | None = None
) -> tuple[Tensor, tuple[str, ...]]:
    """Give scores (N, K) and names of K categories: mean softmax probability over each category's classes.

    Args:
        logits: (N, C).
        classes: C class names of the head.
        mapping: category to its class names; those the head lacks do not count, and a category without any
            is no choice. None takes every class as its own category.
    """
    mapping = {name: [name] for name in classes} if mapping is None else mapping
    place = {name: index for index, name in enumerate(classes)}
    members = {name: [place[c] for c in group if c in place] for name, group in mapping.items()}
    members = {name: group for name, group in members.items() if group}
    if not members:
        raise InputError(
            "no category of the mapping has a class of the head; the mapping needs its class names"
        )
    probabilities = logits.softmax(1)
    scores = torch.stack([probabilities[:, group].mean(1) for group in members.values()], 1)
    return scores, tuple(members)


def decide(
    scores: Tensor, categories: Sequence[str], shapes: Sequence[str], textures: Sequence[str]
) -> npt.NDArray[np.int8]:
    """Decide on N images of two cues: 1 if the shape's category scores highest, -1 the texture's, else 0."""
    choice = [categories[i] for i in scores.argmax(1).tolist()]
    triples = zip(choice, shapes, textures, strict=True)
    return np.array([(c == s) - (c == t) for c, s, t in triples], np.int8)


def bootstrap_change(mine: Values, base: Values, *, level: float = LEVEL, seed: int = 0) -> Interval:
    """Bootstrap over images of how far one arm's shape bias lies above another's, mean over seeds.

    Images are drawn for all runs at once, so that the change is paired.

    Args:
        mine: (S, N) decisions of 1, -1, 0 of S runs on the same N images.
        base: (S, N) of the runs they are compared with; every run decides for a cue somewhere.
        level: of the interval.
        seed: of the resampling.
    """
    S, N = mine.shape
    kinds, counts = np.unique(np.concatenate([mine, base]), axis=1, return_counts=True)  # (2S, kinds)
    drawn = generator(seed, Stream.SHAPE_BIAS_BOOTSTRAP).multinomial(N, counts / N, size=RESAMPLES)
    shape, texture = (drawn @ (kinds == cue).T for cue in (1, -1))  # (RESAMPLES, 2S)
    with np.errstate(invalid="ignore"):  # a resample may hold no decision for a cue
        biases = shape / (shape + texture)
    changes = biases[:, :S].mean(1) - biases[:, S:].mean(1)
    low, high = np.nanquantile(changes, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def summarise(
    chosen: npt.NDArray[np.int8], shapes: Sequence[str], *, level: float = LEVEL, seed: int = 0
) -> Decisions:
    """Pool decisions (N,) of 1, -1, 0 into a shape bias with a bootstrap interval over images."""
    folders = np.array(shapes)
    by_category = {
        str(name): {
            "n": int((folders == name).sum()),
            "shape": int((chosen[folders == name] == 1).sum()),
            "texture": int((chosen[folders == name] == -1).sum()),
        }
        for name in np.unique(folders)
    }
    n, shape, texture = len(chosen), int((chosen == 1).sum()), int((chosen == -1).sum())
    if shape + texture == 0:
        return Decisions(n, 0, 0, None, None, by_category)
    shares = np.array([shape, texture, n - shape - texture]) / n
    drawn = generator(seed, Stream.SHAPE_BIAS_BOOTSTRAP).multinomial(n, shares, size=RESAMPLES)
    cued = drawn[:, 0] + drawn[:, 1]
    ratios = drawn[cued > 0, 0] / cued[cued > 0]
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    interval = Interval(float(low), float(high))
    return Decisions(n, shape, texture, shape / (shape + texture), interval, by_category)
