"""Weights of ordinary negatives by how hard they are, and by how probably they are none.

Robinson et al., "Contrastive learning with hard negative samples", ICLR 2021 (HCL); Chuang et al., "Debiased
contrastive learning", NeurIPS 2020; Robinson et al., "Can contrastive learning avoid shortcut solutions?",
NeurIPS 2021 (IFM). Shapes: N batch, K ordinary negatives.
"""

import math

import torch
from torch import Tensor

from texneg.similarity import Similarities


def reweight(
    s: Similarities, *, temperature: float = 0.2, hardness: float = 0.0, class_prior: float = 0.0
) -> Tensor:
    """Return log-weights of the ordinary negatives, for `info_nce(s, log_weights=...)`.

        w_j = K e^(hardness n_j/T) / sum_i e^(hardness n_i/T),   of mean 1
        G   = max((sum_j w_j e^(n_j/T) - prior K e^(p/T)) / (1 - prior), K e^(-1/T))

    and the weights are w_j G / sum_i w_i e^(n_i/T): they sum up to G in the denominator of the loss.
    `hardness` alone is hardness weighting, `class_prior` alone the debiased loss, both together HCL. As in
    the official code, the gradient flows through the weights, too.

    Args:
        s: similarities with K >= 1; of negatives that a selection left out (-inf) nothing is counted.
        temperature: T of the loss, > 0.
        hardness: beta >= 0, a factor on n/T in the weights; the papers' figures use 0.5 to 2.
        class_prior: probability that a negative is of the query's class, tau+: 0 ... below 1; 0.1 in the
            papers.

    Returns:
        (N, K), 0 where nothing is asked for.

    Raises:
        ValueError: no negatives, or a number outside its range.
    """
    if not s.negatives.shape[1]:
        raise ValueError("reweight was given K = 0; it needs ordinary negatives")
    if not (0 < temperature < math.inf and 0 <= hardness < math.inf and 0 <= class_prior < 1):
        raise ValueError(
            f"temperature is {temperature}, hardness {hardness}, class_prior {class_prior}; they must be > 0,"
            " >= 0, and 0 or more and below 1"
        )
    present = s.negatives.isfinite()
    K = present.sum(1).clamp(min=1).to(s.negatives.dtype).log()  # (N,) its logarithm
    n = s.negatives / temperature  # (N, K)
    weights = torch.zeros_like(n)
    if hardness:
        weights = hardness * n - (torch.logsumexp(hardness * n, 1) - K).unsqueeze(1)
        weights = weights.where(present, 0)
    if class_prior:
        total = torch.logsumexp(n + weights, 1)  # (N,)
        own = s.positive / temperature + K
        top = torch.maximum(total, own).detach()
        rest = ((total - top).exp() - class_prior * (own - top).exp()) / (1 - class_prior)
        least = (K - 1 / temperature - top).exp().clamp(min=torch.finfo(n.dtype).tiny)
        change = torch.maximum(rest, least).log() + top - total
        weights = weights + change.nan_to_num(posinf=0.0, neginf=0.0).unsqueeze(1)
    return weights


def modify_features(s: Similarities, epsilon: float) -> Similarities:
    """Return similarities after the features were modified against the query: p - epsilon, n_j + epsilon.

    IFM trains with the mean of two losses, of these and of the given ones; its epsilon is 0.1. Non-semantic
    similarities stay.

    Raises:
        ValueError: epsilon is negative or infinite.
    """
    if not 0 <= epsilon < math.inf:
        raise ValueError(f"epsilon is {epsilon}; it must be >= 0 and finite")
    return s._replace(positive=s.positive - epsilon, negatives=s.negatives + epsilon)
