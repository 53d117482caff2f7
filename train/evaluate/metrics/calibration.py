"""Calibration: a head that is sure of its answers to 80 % should get 80 % of them right.

Naeini, Cooper, Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015; Guo
et al., "On calibration of modern neural networks", ICML 2017. With n images in B bins of equal width by their
confidence, the share right acc(b) and the mean confidence conf(b) of each bin,

    ECE = sum over b of n(b) / n * |acc(b) - conf(b)|,        0 ... 1, 0 is best
    NLL = mean of -log p(a right answer),                     0 ... infinity, 0 is best

ECE depends on B, and says nothing of accuracy: chance, said with the confidence of chance, has an ECE of 0.

Shapes: N images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BINS = 15  # as Guo et al.


@dataclass(frozen=True)
class Bin:
    """Images of similar confidence."""

    n: int
    confidence: float | None
    """mean over its images; None for an empty bin"""
    accuracy: float | None
    """share right; None for an empty bin"""


@dataclass(frozen=True)
class Calibration:
    """Calibration of a head on a set."""

    ece: float
    nll: float
    bins: tuple[Bin, ...]
    """of equal width, from confidence 0 to 1"""


def measure_calibration(
    confidence: npt.NDArray[np.floating],
    correct: npt.NDArray[np.bool_],
    surprise: npt.NDArray[np.floating],
    *,
    bins: int = BINS,
) -> Calibration | None:
    """Measure the calibration of answers; None without any.

    Args:
        confidence: (N,) probability that the answer is right, as the head has it, 0 ... 1.
        correct: (N,) it is.
        surprise: (N,) -log of the probability of a right answer.
        bins: number of bins; bin b holds confidences above b / bins, up to (b + 1) / bins.
    """
    if not len(confidence):
        return None
    sure = np.asarray(confidence, np.float64)
    place = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    n = np.bincount(place, minlength=bins)
    sums = np.bincount(place, sure, minlength=bins)
    hits = np.bincount(place, np.asarray(correct, np.float64), minlength=bins)
    found = tuple(
        Bin(int(count), total / count if count else None, right / count if count else None)
        for count, total, right in zip(n.tolist(), sums.tolist(), hits.tolist(), strict=True)
    )
    return Calibration(average_gap(found), float(np.mean(surprise, dtype=np.float64)), found)


def average_gap(bins: Sequence[Bin]) -> float:
    """ECE of bins: the gap between accuracy and confidence, weighted by their numbers of images."""
    total = sum(one.n for one in bins)
    gaps = [
        one.n * abs(one.accuracy - one.confidence)
        for one in bins
        if one.confidence is not None and one.accuracy is not None
    ]
    return sum(gaps) / total
