"""Selection of a query's ordinary negatives by difficulty: their cosine with the query.

Cai et al., "Are all negatives created equal in contrastive instance discrimination?", arXiv 2010.06682;
Wang and Liu, "Understanding the behaviour of contrastive loss", CVPR 2021, eqs. 8 and 9.
Shapes: N batch, K ordinary negatives.
"""

import math

import torch
from torch import Tensor

from texneg.similarity import Similarities


def select(
    s: Similarities,
    *,
    difficulty: tuple[float, float] | None = None,
    hardest: int | None = None,
    remove: bool = False,
    max_cosine: float | None = None,
    exclude: Tensor | None = None,
) -> Similarities:
    """Keep a range of each query's negatives, ranked from the hardest, or leave it out.

    Positive and non-semantic similarities stay as they are. Gradients reach the kept similarities and
    nothing flows through the ranking. The order of the kept ones is not specified.

    Fewer negatives weigh less in `info_nce`; `info_nce(select(s, ...), eqco=K)` makes up for their number.

    Args:
        s: similarities; s.negatives is (N, K).
        difficulty: (lo, hi) with 0 <= lo < hi <= 1, fractions of K: (0, 0.05) is the hardest 5 %, (0.05, 1)
            all others. It has the ranks round(lo K) ... round(hi K) - 1, so complementary ranges never
            overlap.
        hardest: this many, 1 ... K. Wang and Liu use 4095.
        remove: leave the range out and keep all others.
        max_cosine: leave out negatives above this cosine, as probable views of the same thing. They become
            -inf, which no loss counts, and rank as the easiest.
        exclude: (N, K) bool; those that are True are left out likewise, such as
            `labels[:, None] == queue_labels`: negatives of the query's class or cluster.

    Returns:
        Similarities whose negatives are (N, number kept).

    Raises:
        ValueError: difficulty and hardest, no criterion, a range outside the limits, or one that keeps
            nothing.
    """
    ranked = difficulty is not None or hardest is not None
    if (difficulty is not None and hardest is not None) or (
        not ranked and (remove or (max_cosine is None and exclude is None))
    ):
        raise ValueError(
            f"give either difficulty or hardest, not difficulty={difficulty}, hardest={hardest}; or, without"
            " remove, max_cosine or exclude alone"
        )
    if max_cosine is not None:
        s = s._replace(negatives=s.negatives.masked_fill(s.negatives > max_cosine, -math.inf))
    if exclude is not None:
        if exclude.shape != s.negatives.shape:
            raise ValueError(
                f"exclude has shape {tuple(exclude.shape)}; the negatives have {tuple(s.negatives.shape)}"
            )
        s = s._replace(negatives=s.negatives.masked_fill(exclude, -math.inf))
    if not ranked:
        return s
    K = s.negatives.shape[1]
    start, stop = _range(K, difficulty, hardest)
    if not remove:
        return s._replace(negatives=_ranks(s.negatives, start, stop))
    if stop - start == K:
        raise ValueError(f"all K = {K} negatives are removed; narrow the range")
    sides = [(0, start), (stop, K)]
    kept = [_ranks(s.negatives, *side) for side in sides if side[0] < side[1]]
    return s._replace(negatives=kept[0] if len(kept) == 1 else torch.cat(kept, dim=1))


def suggest_k(classes: int, batch: int, p: float = 0.01) -> int:
    """Suggest the first rank of `truncated_triplet`, such that harder ones are rarely all of one class.

    A negative shares the query's class with probability 1 / classes, so that their number among batch - 1 is
    binomial; the result is the smallest k that it reaches with probability p at most. Wang et al., ICCV 2021.

    Args:
        classes: of equal size, at least 2.
        batch: images among which negatives are found.
        p: above 0, below 1.

    Returns:
        1 ... batch.

    Raises:
        ValueError: a number outside its range.
    """
    if classes < 2 or batch < 2 or not 0 < p < 1:
        raise ValueError(
            f"classes is {classes}, batch {batch}, p {p}; they must be at least 2, at least 2, and in 0 ... 1"
        )
    n, ratio = batch - 1, -math.log(classes - 1)  # log of the odds that a negative shares the class
    log_none = n * math.log1p(-1 / classes)
    reached = 1.0  # probability of k or more
    for k in range(batch):
        if reached <= p:
            return k
        reached -= math.exp(log_none + math.log(math.comb(n, k)) + k * ratio)
    return batch


def _range(K: int, difficulty: tuple[float, float] | None, hardest: int | None) -> tuple[int, int]:
    """First rank of a range and the one behind its last."""
    if hardest is not None:
        if not 1 <= hardest <= K:
            raise ValueError(f"hardest is {hardest}; it must lie in 1 ... K = {K}")
        return 0, hardest
    assert difficulty is not None
    lo, hi = difficulty
    if not 0 <= lo < hi <= 1:
        raise ValueError(f"difficulty is {difficulty}; it must be (lo, hi) with 0 <= lo < hi <= 1")
    start, stop = round(lo * K), round(hi * K)
    if start == stop:
        raise ValueError(f"difficulty {difficulty} has none of K = {K} negatives; widen it or enlarge K")
    return start, stop


def _ranks(values: Tensor, start: int, stop: int) -> Tensor:
    """Columns of rank start ... stop - 1 of each row, rank 0 the largest: one topk, never a full sort."""
    K = values.shape[1]
    if start == 0:
        return values.topk(stop, dim=1, sorted=False).values
    if stop == K:
        return values.topk(K - start, dim=1, largest=False, sorted=False).values
    if stop <= K - start:
        return values.topk(stop, dim=1).values[:, start:]
    return values.topk(K - start, dim=1, largest=False).values[:, K - stop :]
