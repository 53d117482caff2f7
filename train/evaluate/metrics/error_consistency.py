"""Error consistency: how far two observers err on the same images, beyond what their accuracies make likely.

Geirhos, Meding, Wichmann, "Beyond accuracy: quantifying trial-by-trial behaviour of CNNs and humans by
measuring error consistency", NeurIPS 2020: Cohen's kappa of right and wrong. With accuracies p1 and p2,

    expected = p1 p2 + (1 - p1)(1 - p2)        observed = share of images where both are right or both wrong
    kappa    = (observed - expected) / (1 - expected),   and 1 where observed = 1

0 for independent errors, 1 for the same ones, below 0 for errors on different images; which values can occur
depends on the accuracies.

Shapes: N images, A and B observers.
"""

import numpy as np
import numpy.typing as npt

from texneg.philox.arrays import generator
from texneg.philox.streams import Stream
from texneg.train.evaluate.intervals import LEVEL, Interval

RESAMPLES = 2000

Right = npt.NDArray[np.bool_]


def kappa(one: Right, other: Right) -> float:
    """Error consistency of two observers, (N,) right or wrong on the same images."""
    return float(pairwise_kappa(one[None], other[None])[0, 0])


def pairwise_kappa(ones: Right, others: Right) -> npt.NDArray[np.float64]:
    """Error consistency (A, B) of all pairs of observers, (A, N) and (B, N)."""
    weights = np.full((1, ones.shape[1]), 1 / ones.shape[1])
    return _weighted_kappa(ones, others, weights)[0]


def _weighted_kappa(ones: Right, others: Right, shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Error consistency (R, A, B) where image n has the share (R, N) of R resamples."""
    a, b = ones.astype(np.float64), others.astype(np.float64)
    p, q = (shares @ a.T)[:, :, None], (shares @ b.T)[:, None, :]
    both = np.einsum("rn,an,bn->rab", shares, a, b, optimize=True)
    observed = 1 - p - q + 2 * both
    expected = p * q + (1 - p) * (1 - q)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (observed - expected) / (1 - expected)
    return np.where(observed > 1 - 1e-12, 1.0, found)


def bootstrap_kappa(
    ones: Right, others: Right, *, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Percentile interval of the mean over all pairs of observers, (A, N) and (B, N), over images."""
    kinds, counts = np.unique(np.concatenate([ones, others]), axis=1, return_counts=True)
    N = ones.shape[1]
    drawn = generator(seed, Stream.CONSISTENCY_BOOTSTRAP).multinomial(N, counts / N, size=resamples) / N
    found = _weighted_kappa(kinds[: len(ones)], kinds[len(ones) :], drawn).mean((1, 2))
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
