"""Uniformity and tolerance of embeddings, and how a loss spreads its penalty (Wang and Liu, CVPR 2021).

Equations 10, 11 and 5. Shapes: N embeddings or queries, D embedding, K ordinary negatives.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from texneg.similarity import Similarities

_ROWS = 1024  # rows of the (N, N) matrix held at a time


def uniformity(embeddings: Tensor, t: float = 2.0) -> Tensor:
    """Log of the mean Gaussian potential over all pairs of distinct embeddings; lower is more uniform.

        L = log mean_{i != j} e^(-t |x_i - x_j|^2)

    Wang and Isola, ICML 2020. The tables of Wang and Liu print -L; their t is not stated and t = 2 fits.

    Args:
        embeddings: (N, D) with N >= 2; normalised here.
        t: > 0.

    Returns:
        A scalar in [-4t, 0].

    Raises:
        ValueError: another rank or dtype, fewer than two embeddings, or a t outside its range.
    """
    if not 0 < t < math.inf:
        raise ValueError(f"t is {t}; it must be > 0 and finite")
    x = _unit(embeddings)
    N = len(x)
    sums = []
    for start in range(0, N, _ROWS):
        rows = x[start : start + _ROWS]
        exponent = 2 * t * (rows @ x.T - 1)  # -t |x_i - x_j|^2 of unit vectors
        itself = torch.eye(len(rows), N, dtype=torch.bool, device=x.device).roll(start, dims=1)
        sums.append(exponent.masked_fill(itself, -math.inf).flatten().logsumexp(0))
    return torch.stack(sums).logsumexp(0) - math.log(N * (N - 1))


def tolerance(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Mean cosine of distinct embeddings that share a class.

    Eq. 11 as printed multiplies by an indicator and so could not exceed the share of same-class pairs; the
    paper's tables and its text mean this conditional mean.

    Args:
        embeddings: (N, D) with N >= 2; normalised here.
        labels: (N,) integers.

    Returns:
        A scalar in [-1, 1]; NaN when no two embeddings share a class.

    Raises:
        ValueError: ranks, lengths or dtypes that do not fit.
    """
    x = _unit(embeddings)
    if labels.shape != x.shape[:1] or labels.is_floating_point():
        raise ValueError(
            f"labels have shape {tuple(labels.shape)}, {labels.dtype}; they must be ({len(x)},) integers"
        )
    _, classes, counts = labels.unique(return_inverse=True, return_counts=True)
    sums = x.new_zeros(len(counts), x.shape[1]).index_add_(0, classes, x)
    # sum over i != j of x_i . x_j within a class = |sum of the class|^2 - its size
    pairs = (counts * (counts - 1)).sum()
    return (sums.square().sum() - x.square().sum()) / pairs


def relative_penalty(s: Similarities, temperature: float) -> Tensor:
    """Share of each ordinary negative in the penalty of `info_nce` on all of them.

        r_j = e^(n_j/T) / sum_k e^(n_k/T)

    Args:
        s: similarities with K >= 1.
        temperature: T > 0; the smaller, the more falls on the hardest.

    Returns:
        (N, K), rows that sum to 1.

    Raises:
        ValueError: no negatives, or a temperature outside its range.
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature is {temperature}; it must be > 0 and finite")
    if not s.negatives.shape[1]:
        raise ValueError("a penalty needs ordinary negatives; there are none")
    return F.softmax(s.negatives / temperature, dim=1)


def penalty_entropy(s: Similarities, temperature: float) -> Tensor:
    """Mean entropy of the queries' relative penalties in nats, 0 ... log K; it rises with the temperature.

    Arguments and errors as in `relative_penalty`.
    """
    return torch.special.entr(relative_penalty(s, temperature)).sum(1).mean()


def _unit(embeddings: Tensor) -> Tensor:
    if embeddings.ndim != 2 or len(embeddings) < 2:
        raise ValueError(f"embeddings have shape {tuple(embeddings.shape)}; they must be (N, D) with N >= 2")
    if not embeddings.is_floating_point():
        raise ValueError(f"embeddings have dtype {embeddings.dtype}; they must be of a floating one")
    return F.normalize(embeddings, dim=1)
