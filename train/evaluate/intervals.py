"""Intervals for accuracies and for differences between runs.

Accuracies and differences are shares between -1 and 1. Two kinds of uncertainty are kept apart: which test
images were drawn (Wilson, bootstrap, McNemar), and which seed trained the model (Student's t over seeds).
"""

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from texneg.errors import InputError
from texneg.philox.arrays import generator
from texneg.philox.streams import Stream

LEVEL = 0.95
RESAMPLES = 10_000


class Interval(NamedTuple):
    """Lower and upper end."""

    low: float
    high: float


def wilson(correct: float, n: int, *, level: float = LEVEL) -> Interval:
    """Wilson's score interval of a share `correct / n` (JASA 22, 1927): inside 0 ... 1 for every n.

    A mean count over seeds may be fractional.
    """
    if not 0 <= correct <= n or n == 0:
        raise InputError(f"{correct} correct of {n}: needs 0 <= correct <= n and n of at least 1")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, width = correct / n, z * z / n
    centre = (share + width / 2) / (1 + width)
    half = math.sqrt(share * (1 - share) * width + width * width / 4) / (1 + width)
    # At a share of exactly 0 or 1 the end is that share; rounding must not push it across.
    return Interval(0.0 if correct == 0 else centre - half, 1.0 if correct == n else centre + half)


def t_cdf(t: float, degrees: int) -> float:
    """Student's distribution function for whole degrees of freedom (Abramowitz & Stegun 26.7.3, 26.7.4)."""
    angle = math.atan2(t, math.sqrt(degrees))
    cosine2 = math.cos(angle) ** 2
    odd = degrees % 2
    term, total = (math.cos(angle) if odd else 1.0), 0.0
    for j in range(2 + odd, degrees + 1, 2):
        total += term
        term *= cosine2 * (j - 1) / j
    inside = 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
    return (1 + inside) / 2


def t_quantile(probability: float, degrees: int) -> float:
    """The point below which a share `probability`, 0.5 ... 1, of Student's distribution lies."""
    low, high = 0.0, 1.0
    while t_cdf(high, degrees) < probability:
        high *= 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, degrees) < probability else (low, middle)
    return high


def mean_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation (n - 1) over seeds; None for the latter with a single seed."""
    return fmean(values), stdev(values) if len(values) > 1 else None


def t_interval(differences: Sequence[float], *, level: float = LEVEL) -> Interval | None:
    """Interval of the mean of paired seed differences; None with fewer than two seeds.

    It speaks of seeds that were not run, on the same test images. With two seeds it is 12.7 standard errors
    to either side, which is as it should be.
    """
    if len(differences) < 2:
        return None
    mean, sd = fmean(differences), stdev(differences)
    half = t_quantile((1 + level) / 2, len(differences) - 1) * sd / math.sqrt(len(differences))
    return Interval(mean - half, mean + half)


def bootstrap(
    values: npt.NDArray[np.float64], *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Percentile interval of the mean of (n,) values, resampled over its n entries with replacement.

    For a difference of two runs on the same images, pass the differences image by image (averaged over
    the seeds of each arm): the images are then resampled in pairs. Equal values are drawn together, as
    counts; few distinct ones are assumed.
    """
    if not len(values):
        raise InputError("no values to resample: an interval needs an image")
    kinds, counts = np.unique(values, return_counts=True)
    draw = generator(seed, Stream.BOOTSTRAP)
    means = draw.multinomial(len(values), counts / len(values), size=resamples) @ kinds / len(values)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value that two runs are equally accurate on the same images (McNemar 1947).

    Args:
        only_first: images that the first run alone got right.
        only_second: images that the second run alone got right.
    """
    trials, fewer = only_first + only_second, min(only_first, only_second)
    term, tail = 1, 0
    for i in range(fewer + 1):
        tail += term
        term = term * (trials - i) // (i + 1)
    return min(1.0, 2 * tail / 2**trials)
