"""Synthetic negatives from cosines equal those of vectors that are built, in value and in gradient."""

import math

import pytest
import torch
from torch.nn import functional as F

from texneg import extend, info_nce, select, similarities
from texneg.synthetic import combine, mix

N, K, D = 5, 12, 7
KINDS = {"interpolated": 40, "extrapolated": 30, "ascended": 20, "mixed": 50}


def embeddings(seed=0):
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(n, D, generator=draw, dtype=torch.float64) for n in (N, N, K)]


def unit(*shape, seed=1):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("kind", ["interpolated", "extrapolated", "ascended"])
def test_combinations_equal_vectors(kind):
    query, _, keys = embeddings()
    query.requires_grad_()
    q, n = F.normalize(query, dim=1).unsqueeze(1), F.normalize(keys, dim=1).unsqueeze(0)
    cosines = (q * n).sum(2)  # (N, K)
    share, held = unit(N, K, 1), q.detach()
    if kind == "interpolated":
        a, b = share / 2, 1 - share / 2
        vectors = a * held + b * n
    elif kind == "extrapolated":
        a, b = -1 - share / 2, 2 + share / 2
        vectors = n + (1 + share / 2) * (n - held)
    else:
        a = torch.full_like(share, 0.05)
        b = 1 - a * cosines.detach().unsqueeze(2)
        vectors = n + 0.05 * (held - cosines.detach().unsqueeze(2) * n)
    expected = (q * F.normalize(vectors, dim=2)).sum(2)
    made = combine(cosines, a.squeeze(2), b.squeeze(2))
    torch.testing.assert_close(made, expected, rtol=1e-12, atol=1e-12)
    weights = unit(N, K, seed=2)
    gradients = [
        torch.autograd.grad((x * weights).sum(), query, retain_graph=True)[0] for x in (made, expected)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)


def test_mixtures_equal_vectors():
    query, _, keys = embeddings()
    query.requires_grad_()
    q, n = F.normalize(query, dim=1), F.normalize(keys, dim=1)
    ranked, columns = (q @ n.T).topk(6, dim=1)
    draw = torch.Generator().manual_seed(3)
    first, second = (torch.randint(6, (N, 9), generator=draw) for _ in range(2))
    g = unit(N, 9)
    made = mix(ranked, columns, n, first, second, g)
    pair = [n[columns.gather(1, which)] for which in (first, second)]
    vectors = F.normalize(g.unsqueeze(2) * pair[0] + (1 - g.unsqueeze(2)) * pair[1], dim=2)
    expected = (q.unsqueeze(1) * vectors).sum(2)
    torch.testing.assert_close(made, expected, rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad(x.square().sum(), query, retain_graph=True)[0] for x in (made, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)


def test_extended_similarities_keep_the_given_ones_and_lie_in_their_ranges():
    query, key, keys = embeddings()
    s = similarities(query, key, keys)
    made = extend(s, hardest=4, keys=keys, generator=torch.Generator().manual_seed(0), **KINDS)
    assert made.negatives.shape == (N, K + sum(KINDS.values()))
    assert torch.equal(made.negatives[:, :K], s.negatives) and torch.equal(made.positive, s.positive)
    parts = made.negatives[:, K:].split(list(KINDS.values()), dim=1)
    low = s.negatives.topk(4).values[:, -1:]
    assert (parts[0] >= low).all(), "interpolated with the query: no easier than the easiest of the four"
    assert (parts[1] <= s.negatives.max(1, keepdim=True).values).all(), "away from the query"
    assert (parts[2] > low).all()
    again = extend(s, hardest=4, keys=keys, generator=torch.Generator().manual_seed(0), **KINDS)
    assert torch.equal(made.negatives, again.negatives)
    assert info_nce(made) > info_nce(s)


def test_nothing_is_made_of_what_was_left_out():
    query, key, keys = embeddings()
    s = select(similarities(query, key, keys), exclude=torch.arange(K).expand(N, K) > 1)
    made = extend(s, hardest=5, keys=keys, **KINDS).negatives
    assert (made.isfinite() | made.isneginf()).all()
    for part in made[:, K:].split(list(KINDS.values()), dim=1):
        assert part.isneginf().any() and part.isfinite().any()
    query.requires_grad_()
    s = select(similarities(query, key, keys), exclude=torch.arange(K).expand(N, K) > 1)
    info_nce(extend(s, hardest=5, keys=keys, **KINDS)).backward()
    assert query.grad.isfinite().all()


def test_a_key_opposite_to_the_query_stays_finite():
    made = combine(torch.tensor([-1.0, 1.0]), torch.tensor([0.5, -1.0]), torch.tensor([0.5, 1.0]))
    assert made.isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hardest": 0}, "hardest 0"),
        ({"interpolated": -1}, "'interpolated': -1"),
        ({"ascended": 1, "delta": 0.0}, "delta 0.0"),
        ({"mixed": 1}, "keys is None"),
        ({"mixed": 1, "keys": torch.randn(K - 1, D)}, rf"keys is \({K - 1}, {D}\)"),
        ({"ascended": 1, "delta": math.nan}, "delta nan"),
    ],
)
def test_bad_input(options, message):
    query, key, keys = embeddings()
    with pytest.raises(ValueError, match=message):
        extend(similarities(query, key, keys), **options)


def test_no_negatives():
    query, key, _ = embeddings()
    with pytest.raises(ValueError, match="K is 0"):
        extend(similarities(query, key), interpolated=1)
