"""Spearman's rank correlation: that of the places of two numbers in their orders.

    rho = correlation(rank(x), rank(y)), equal values share the mean of their ranks

-1 ... 1; 0 where neither order says anything of the other.

Shapes: P points, B resamples.
"""

import numpy as np
import numpy.typing as npt

from texneg.philox.arrays import generator
from texneg.philox.streams import Stream
from texneg.train.evaluate.intervals import LEVEL, Interval

RESAMPLES = 1_000

Values = npt.NDArray[np.float64]


def rank(values: Values) -> Values:
    """Ranks of (P,) values from 1 up, the mean of their ranks for equal ones."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Values = ((last - counts + 1 + last) / 2)[inverse]
    return ranks


def correlate_ranks(x: Values, y: Values) -> float | None:
    """Rank correlation of (P,) values; None where all values of one are equal."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(rank(x), rank(y))[0, 1])


def bootstrap_ranks(
    x: Values, y: Values, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Interval | None:
    """Percentile interval of the rank correlation over (P,) points drawn with replacement.

    None where too many resamples have no correlation.
    """
    picked = generator(seed, Stream.RANK_BOOTSTRAP).integers(len(x), size=(resamples, len(x)))
    found = [rho for one in picked if (rho := correlate_ranks(x[one], y[one])) is not None]
    if len(found) < level * resamples:
        return None
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
