"""Synthetic hard negatives, made from cosines alone.

Kalantidis et al., "Hard negative mixing for contrastive learning", NeurIPS 2020 (MoCHi); Giakoumoglou and
Stathaki, "SynCo", arXiv 2410.02401. Of a unit query q and a unit key n with q.n = c, the unit vector along
a q + b n has with q the cosine

    (a + b c) / sqrt(a^2 + b^2 + 2 a b c)

so that no vector is built. As in the papers, a synthetic negative is a constant: of the gradient, only the
part through q.h flows, h being that vector. Shapes: N batch, K ordinary negatives, D embedding.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from texneg.similarity import Similarities


def extend(
    s: Similarities,
    *,
    hardest: int = 1024,
    interpolated: int = 0,
    extrapolated: int = 0,
    ascended: int = 0,
    delta: float = 0.01,
    mixed: int = 0,
    keys: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Similarities:
    """Append synthetic negatives to each query's ordinary ones, made of its hardest.

    | argument | of n drawn from the hardest | SynCo | MoCHi |
    |---|---|---|---|
    | interpolated | a q + (1 - a) n, a in 0 ... 0.5 | type 1 | second kind |
    | extrapolated | n + b (n - q), b in 1 ... 1.5 | type 2 | |
    | ascended | n + delta (q - (q.n) n), a step up the gradient of the cosine | type 5 | |
    | mixed | g n + (1 - g) n', g in 0 ... 1 | type 3 | first kind |

    Args:
        s: similarities with K >= 1.
        hardest: negatives of the highest cosine to make them of, at least 1; all where there are fewer.
        interpolated: number for each query, as are the next three.
        extrapolated: likewise.
        ascended: likewise.
        delta: length of the step, > 0; the official code has 0.01.
        mixed: likewise; these alone need the keys, since their length depends on the keys' cosine.
        keys: (K, D) of the columns of s.negatives, any length, such as `KeyQueue.keys`.
        generator: of the draws, on the device of s; None for torch's own.

    Returns:
        Similarities with negatives (N, K + all numbers together), the synthetic ones in the order of the
        arguments. A synthetic negative made of one that a selection left out is -inf like it.

    Raises:
        ValueError: a number below its range, no negatives, or keys that are missing or do not fit.
    """
    N, K = s.negatives.shape
    numbers = {
        "interpolated": interpolated,
        "extrapolated": extrapolated,
        "ascended": ascended,
        "mixed": mixed,
    }
    if K == 0 or hardest < 1 or min(numbers.values()) < 0 or not delta > 0:
        raise ValueError(
            f"K is {K}, hardest {hardest}, delta {delta}, and the numbers are {numbers}; K and hardest must"
            " be 1 or more, delta above 0, the numbers 0 or more"
        )
    if mixed and (keys is None or len(keys) != K):
        given = "None" if keys is None else tuple(keys.shape)
        raise ValueError(f"keys is {given}; mixed negatives need the ({K}, D) keys of the negatives")
    ranked, columns = s.negatives.topk(min(hardest, K), dim=1)

    def draw(number: int) -> Tensor:
        return torch.randint(ranked.shape[1], (N, number), generator=generator, device=ranked.device)

    def uniform(number: int, low: float, high: float) -> Tensor:
        unit = torch.rand(N, number, generator=generator, device=ranked.device, dtype=ranked.dtype)
        return low + (high - low) * unit

    made = [s.negatives]
    if interpolated:
        a = uniform(interpolated, 0, 0.5)
        made.append(combine(ranked.gather(1, draw(interpolated)), a, 1 - a))
    if extrapolated:
        b = uniform(extrapolated, 1, 1.5)
        made.append(combine(ranked.gather(1, draw(extrapolated)), -b, 1 + b))
    if ascended:
        c = ranked.gather(1, draw(ascended))
        made.append(combine(c, torch.full_like(c, delta), 1 - delta * c.detach()))
    if mixed:
        assert keys is not None
        g, first, second = uniform(mixed, 0, 1), draw(mixed), draw(mixed)
        made.append(mix(ranked, columns, F.normalize(keys.detach(), dim=1), first, second, g))
    return s._replace(negatives=torch.cat(made, dim=1))


def combine(c: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return the cosine of q with the direction of a q + b n, where q.n = c; all of one shape.

    The direction counts as a constant in the gradient.
    """
    there = c.where(c.isfinite(), 0)
    with torch.no_grad():
        length = (a * a + b * b + 2 * a * b * there).clamp(min=torch.finfo(c.dtype).tiny).sqrt()
        value, slope = (a + b * there) / length, b / length
    return (value + slope * (there - there.detach())).where(c.isfinite(), -torch.inf)


def mix(ranked: Tensor, columns: Tensor, keys: Tensor, first: Tensor, second: Tensor, g: Tensor) -> Tensor:
    """Return the cosines (N, S) of queries with the directions of g n + (1 - g) n'.

    Args:
        ranked: (N, H) cosines of the hardest.
        columns: (N, H) their places among the keys.
        keys: (K, D) of length 1.
        first: (N, S) places of n in `ranked`.
        second: (N, S) of n'.
        g: (N, S).
    """
    pairs = [keys[columns.gather(1, which)] for which in (first, second)]  # (N, S, D)
    cosine = (pairs[0] * pairs[1]).sum(2)
    length = (g * g + (1 - g) ** 2 + 2 * g * (1 - g) * cosine).clamp(min=torch.finfo(g.dtype).tiny).sqrt()
    a, b = (ranked.gather(1, which) for which in (first, second))
    return ((g * a + (1 - g) * b) / length).where(a.isfinite() & b.isfinite(), -torch.inf)
