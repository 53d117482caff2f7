"""Shape or texture: which cue decides on images whose two cues disagree.

Geirhos et al., "ImageNet-trained CNNs are biased towards texture; increasing shape bias improves accuracy and
robustness", ICLR 2019. An image is named <shape><i>-<texture><j> and lies in the folder of its shape.

Shapes: N images, C head classes, K categories to decide between.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from texneg.errors import InputError
from texneg.philox.arrays import generator
from texneg.philox.streams import Stream
from texneg.train.evaluate.intervals import LEVEL, RESAMPLES, Interval

_TEXTURE = re.compile(r".*-(?P<texture>.*?)\d*$")


@dataclass(frozen=True)
class ShapeBias:
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


def texture_of(key: str, shape: str) -> str:
    """The texture category in a name <shape><i>-<texture><j>: what follows the last hyphen, no digits."""
    name = PurePosixPath(key).name
    match = _TEXTURE.match(name)
    if match is None or not match["texture"] or not name.startswith(shape):
        raise InputError(
            f"cue-conflict image {key!r} in folder {shape!r} is not named <shape><i>-<texture><j>, "
            "for example cat1-elephant2.png; rename it or take it out of the set"
        )
    return match["texture"]


def category_scores(
    logits: Tensor, classes: Sequence[str], mapping: Mapping[str, Sequence[str]] | None = None
) -> tuple[Tensor, tuple[str, ...]]:
    """Scores (N, K) and names of K categories: the mean softmax probability over each category's classes.

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


def decisions(
    scores: Tensor, categories: Sequence[str], shapes: Sequence[str], textures: Sequence[str]
) -> npt.NDArray[np.int8]:
    """For N images whose cues differ: 1 if the shape's category scores highest, -1 the texture's, else 0."""
    choice = [categories[i] for i in scores.argmax(1).tolist()]
    triples = zip(choice, shapes, textures, strict=True)
    return np.array([(c == s) - (c == t) for c, s, t in triples], np.int8)


def change_interval(
    mine: npt.NDArray[np.int8], base: npt.NDArray[np.int8], *, level: float = LEVEL, seed: int = 0
) -> Interval:
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
) -> ShapeBias:
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
        return ShapeBias(n, 0, 0, None, None, by_category)
    shares = np.array([shape, texture, n - shape - texture]) / n
    drawn = generator(seed, Stream.SHAPE_BIAS_BOOTSTRAP).multinomial(n, shares, size=RESAMPLES)
    cued = drawn[:, 0] + drawn[:, 1]
    ratios = drawn[cued > 0, 0] / cued[cued > 0]
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    interval = Interval(float(low), float(high))
    return ShapeBias(n, shape, texture, shape / (shape + texture), interval, by_category)
