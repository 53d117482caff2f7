"""Contrastive losses as pure functions of similarities, each with a weighted non-semantic term.

Shapes: N batch, K ordinary negatives, M non-semantic negatives per query. In the equations p is a query's
positive cosine, n_j its ordinary negatives, t_m its non-semantic ones, T the temperature. Every loss is a
mean over the N queries, a scalar tensor. A negative of -inf is one that `select` left out: it counts nowhere,
not in K either.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from texneg.similarity import Similarities


def info_nce(
    s: Similarities,
    *,
    temperature: float = 0.2,
    alpha: float = 2.0,
    eqco: float | None = None,
    log_weights: Tensor | None = None,
    decoupled: bool = False,
) -> Tensor:
    """Cross-entropy of the positive against ordinary and weighted non-semantic negatives.

        L = -log e^(p/T) / (e^(p/T) + w sum_j e^(n_j/T) + sum_m e^(alpha t_m/T))

    with w = 1, or w = eqco / K for EqCo. Ge et al., NeurIPS 2021 (MoCo form, as in the official code);
    EqCo: Zhu et al., arXiv 2010.01929. Without e^(p/T) in the denominator, the loss is decoupled (DCL: Yeh et
    al., ECCV 2022) and has no lower bound.

    Args:
        s: similarities; M = 0 is plain MoCo. alpha = 0 is not: it leaves the constant M in the denominator.
        temperature: T > 0.
        alpha: factor on t inside the exponent, >= 0; the non-semantic term has the temperature T / alpha.
        eqco: effective number of ordinary negatives, > 0; None or K is plain InfoNCE.
        log_weights: (N, K) logarithms of a weight for each ordinary negative, such as `reweight` gives.
        decoupled: leave the positive out of the denominator.

    Raises:
        ValueError: a parameter outside its range, no negative of either kind, eqco with K = 0, or weights of
            another shape than the negatives.
    """
    logits = info_nce_logits(s, temperature=temperature, alpha=alpha, eqco=eqco, log_weights=log_weights)
    if decoupled:
        return (torch.logsumexp(logits[:, 1:], 1) - logits[:, 0]).mean()
    return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))


def info_nce_logits(
    s: Similarities,
    *,
    temperature: float = 0.2,
    alpha: float = 2.0,
    eqco: float | None = None,
    log_weights: Tensor | None = None,
) -> Tensor:
    """Logarithms of the terms in the denominator of `info_nce`, (N, 1 + K + M), that of the positive first.

    Arguments and errors as in `info_nce`.
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature is {temperature}; it must be > 0 and finite")
    _check_alpha(alpha)
    K, M = s.negatives.shape[1], s.nonsemantic.shape[1]
    if K + M == 0:
        raise ValueError("info_nce was given K = 0 and M = 0; it needs at least one negative a query")
    n = s.negatives / temperature  # (N, K)
    if eqco is not None:
        _require_negatives("info_nce with eqco", K, 1)
        if not 0 < eqco < math.inf:
            raise ValueError(f"eqco is {eqco}; it must be > 0 and finite")
        present = s.negatives.isfinite().sum(1, keepdim=True).clamp(min=1)  # (N, 1)
        n = n + (math.log(eqco) - present.to(n.dtype).log())
    if log_weights is not None:
        if log_weights.shape != s.negatives.shape:
            raise ValueError(
                f"log_weights has shape {tuple(log_weights.shape)}; the negatives have"
                f" {tuple(s.negatives.shape)}"
            )
        n = n + log_weights
    t = s.nonsemantic * (alpha / temperature)  # (N, M)
    return torch.cat([s.positive.unsqueeze(1) / temperature, n, t], dim=1)


def simple_contrastive(s: Similarities, *, weight: float | None = None, alpha: float = 1.0) -> Tensor:
    """The contrastive loss without its hardness awareness, Wang and Liu, CVPR 2021, eq. 3.

        L = -p + weight sum_j n_j + alpha mean_m t_m

    The non-semantic term is ours, in the form of `byol`; M = 0 leaves the paper's equation.

    Args:
        s: similarities with K >= 1. After `select(s, hardest=4095)` this is the paper's HardSimple.
        weight: factor lambda on each ordinary negative; None for 1 / K, the limit T to infinity of InfoNCE
            (the paper's text gives no value).
        alpha: factor on the non-semantic similarity, >= 0.

    Raises:
        ValueError: K = 0, a negative alpha, or a weight that is not finite.
    """
    K = s.negatives.shape[1]
    _require_negatives("simple_contrastive", K, 1)
    if weight is not None and not math.isfinite(weight):
        raise ValueError(f"weight is {weight}; it must be finite")
    pushed = _mean_of_present(s.negatives) if weight is None else weight * _present(s.negatives).sum(1)
    return (pushed - s.positive).mean() + _nonsemantic_push(s, alpha)


def truncated_triplet(
    s: Similarities,
    *,
    ranks: tuple[int, int] = (2, 10),
    margin: float = 100.0,
    pull: float = 2.0,
    alpha: float = 1.0,
) -> Tensor:
    """Triplet loss against the mean of a range of hard negatives, Wang et al., ICCV 2021.

        L = max(0, pull d_p - d_n + 2 alpha mean_m t_m + margin),  d_p = -2 p,  d_n = mean of -2 n_j

    over the ordinary negatives of rank ranks[0] ... ranks[1], both included, the hardest being rank 1.
    Defaults as in the official code, where margin 100 keeps the hinge open. The non-semantic term is ours;
    M = 0 leaves the paper's loss.

    Args:
        s: similarities with K >= ranks[1]; the paper's negatives are `in_batch_similarities`.
        ranks: (first, last), 1 <= first <= last.
        margin: in units of squared distance; |pull d_p - d_n| <= 2 pull + 2.
        pull: weight of the positive (the code's gamma).
        alpha: factor on the non-semantic similarity, >= 0.

    Raises:
        ValueError: ranks out of order, fewer negatives than ranks[1], a negative alpha, or a margin or pull
            that is not finite.
    """
    first, last = ranks
    if not 1 <= first <= last:
        raise ValueError(f"ranks is {ranks}; it must be (first, last) with 1 <= first <= last")
    _require_negatives("truncated_triplet", s.negatives.shape[1], last)
    if not (math.isfinite(margin) and math.isfinite(pull)):
        raise ValueError(f"margin is {margin} and pull {pull}; both must be finite")
    hard = _mean_of_present(s.negatives.topk(last, dim=1).values[:, first - 1 :])  # (N,)
    gap = 2 * hard - 2 * pull * s.positive
    if s.nonsemantic.shape[1]:
        gap = gap + 2 * _check_alpha(alpha) * s.nonsemantic.mean(1)
    return F.relu(gap + margin).mean()


def byol(s: Similarities, *, alpha: float = 1.0) -> Tensor:
    """Pull towards the positive, push from the non-semantic negatives; ordinary negatives play no part.

        L = |q - p|^2 - alpha mean_m |q - t_m|^2 + 2 alpha = 2 - 2 p + 2 alpha mean_m t_m

    M = 0 is BYOL (Grill et al., NeurIPS 2020, eq. 2). The non-semantic term is a reconstruction: Ge et al.
    (NeurIPS 2021) describe a loss for methods without ordinary negatives, but their code has none.

    Args:
        s: similarities of the online predictor's output with target embeddings.
        alpha: factor on the non-semantic similarity, >= 0.

    Raises:
        ValueError: a negative alpha.
    """
    return (2 - 2 * s.positive).mean() + 2 * _nonsemantic_push(s, alpha)


def _present(negatives: Tensor) -> Tensor:
    """Negatives with 0 in place of those that a selection left out."""
    return negatives.masked_fill(negatives.isneginf(), 0)


def _mean_of_present(negatives: Tensor) -> Tensor:
    """Mean of each row over those that no selection left out; 0 where all are."""
    return _present(negatives).sum(1) / (~negatives.isneginf()).sum(1).clamp(min=1)


def _nonsemantic_push(s: Similarities, alpha: float) -> Tensor | float:
    """Batch mean of alpha mean_m t_m; zero when M = 0."""
    return _check_alpha(alpha) * s.nonsemantic.mean() if s.nonsemantic.shape[1] else 0.0


def _check_alpha(alpha: float) -> float:
    if not 0 <= alpha < math.inf:
        raise ValueError(f"alpha is {alpha}; it must be >= 0 and finite")
    return alpha


def _require_negatives(loss: str, K: int, needed: int) -> None:
    if needed > K:
        raise ValueError(f"{loss} was given K = {K} ordinary negatives; it needs at least {needed}")
