"""Mean reciprocal rank: how near the top a head puts the right class, among all of its classes.

Kim et al., "On the reliability of cue conflict and beyond", arXiv 2603.10834 (REFINED-BIAS), for images of
one cue: with the classes in the order of their scores, and the rank of the best right one,

    MRR = mean of 1 / rank,        1 is best, 1 / C worst

Of equal scores the mean over their orders counts, so that a head which says nothing is at chance. An image
that cannot be read has 0. Chance, a random order of C classes of which g are right, is

    sum over r of 1 / r * binomial(C - r, g - 1) / binomial(C, g),        H(C) / C for g = 1

with H(C) = 1 + 1/2 + ... + 1/C: .29 of 10 classes, .0075 of 1000.

Shapes: N images, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from statistics import fmean

import torch
from torch import Tensor

from texneg.train.evaluate.intervals import bootstrap


@dataclass(frozen=True)
class MeanRank:
    """A mean reciprocal rank."""

    value: float
    chance: float
    low: float | None = None
    """bootstrap over images, 95 %; None where it was not asked for"""
    high: float | None = None

    def __str__(self) -> str:
        ends = (
            "" if self.low is None or self.high is None else f" [{100 * self.low:.1f}, {100 * self.high:.1f}]"
        )
        return f"{100 * self.value:.1f} %{ends} (chance {100 * self.chance:.1f} %)"


def rank_reciprocally(scores: Tensor, right: Tensor) -> Tensor:
    """Reciprocal rank of the best right class of each image, float64 (N,).

    Args:
        scores: (N, C).
        right: boolean (N, C), at least one in each row.
    """
    best = scores.masked_fill(~right, -torch.inf).amax(1, keepdim=True)
    above = ((scores > best) & ~right).sum(1)
    equal = ((scores == best) & ~right).sum(1)
    places = torch.arange(1, scores.shape[1] + 1, dtype=torch.float64)
    harmonic = torch.cat([torch.zeros(1, dtype=torch.float64), (1 / places).cumsum(0)])
    return torch.where(
        equal == 0, 1 / (1 + above).double(), (harmonic[above + equal + 1] - harmonic[above]) / (equal + 1)
    )


def expect_chance(classes: int, right: int = 1) -> float:
    """Mean reciprocal rank of a random order of classes of which some are right."""
    ranks = range(1, classes - right + 2)
    return sum(comb(classes - rank, right - 1) / comb(classes, right) / rank for rank in ranks)


def average_ranks(
    reciprocal: Tensor, classes: int, right: Sequence[int], *, interval: bool = False
) -> MeanRank:
    """Mean reciprocal rank of images and its chance.

    Args:
        reciprocal: (N,) of the images.
        classes: of the head.
        right: number of right classes of each image.
        interval: find the interval over images, too.
    """
    values = reciprocal.double()
    by_count = {count: expect_chance(classes, count) for count in set(right)}
    ends = bootstrap(values.numpy()) if interval else (None, None)
    return MeanRank(float(values.mean()), fmean(by_count[count] for count in right), *ends)


def rank_categories(logits: Tensor, members: Sequence[Sequence[int]], readable: Tensor) -> MeanRank:
    """Mean reciprocal rank of one category for each image, with its interval.

    Args:
        logits: (N, C).
        members: the right classes of each image, by their places.
        readable: boolean (N,); the others have 0.
    """
    right = torch.zeros(logits.shape, dtype=torch.bool)
    for row, places in enumerate(members):
        right[row, list(places)] = True
    found = torch.where(readable, rank_reciprocally(logits, right), 0.0)
    return average_ranks(found, logits.shape[1], list(map(len, members)), interval=True)
