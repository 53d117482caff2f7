"""Selection of a query's ordinary negatives by difficulty: their cosine with the query.

Cai et al., "Are all negatives created equal in contrastive instance discrimination?", arXiv 2010.06682;
Wang and Liu, "Understanding the behaviour of contrastive loss", CVPR 2021, eqs. 8 and 9.
Shapes: N batch, K ordinary negatives.
"""

from torch import Tensor

from texneg.similarity import Similarities


def select(
    s: Similarities, *, difficulty: tuple[float, float] | None = None, hardest: int | None = None
) -> Similarities:
    """Keep a range of each query's negatives, ranked from the hardest; the others leave the loss.

    Positive and non-semantic similarities stay as they are. Gradients reach the kept similarities and
    nothing flows through the ranking. The order of the kept ones is not specified.

    Args:
        s: similarities; s.negatives is (N, K).
        difficulty: (lo, hi) with 0 <= lo < hi <= 1, fractions of K: (0, 0.05) keeps the hardest 5 %,
            (0.05, 1) all others. Ranks round(lo K) ... round(hi K) - 1 are kept, so complementary
            ranges never overlap.
        hardest: keep this many, 1 ... K. Wang and Liu use 4095.

    Returns:
        Similarities whose negatives are (N, number kept).

    Raises:
        ValueError: both or neither criterion, a range outside the limits, or one that keeps nothing.
    """
    if (difficulty is None) == (hardest is None):
        raise ValueError(f"give either difficulty or hardest, not difficulty={difficulty}, hardest={hardest}")
    K = s.negatives.shape[1]
    if hardest is not None:
        if not 1 <= hardest <= K:
            raise ValueError(f"hardest is {hardest}; it must lie in 1 ... K = {K}")
        return s._replace(negatives=_ranks(s.negatives, 0, hardest))
    assert difficulty is not None
    lo, hi = difficulty
    if not 0 <= lo < hi <= 1:
        raise ValueError(f"difficulty is {difficulty}; it must be (lo, hi) with 0 <= lo < hi <= 1")
    start, stop = round(lo * K), round(hi * K)
    if start == stop:
        raise ValueError(f"difficulty {difficulty} keeps none of K = {K} negatives; widen it or enlarge K")
    return s._replace(negatives=_ranks(s.negatives, start, stop))


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
