"""Selection of negatives by difficulty against a full sort."""

import math

import pytest
import torch

from texneg import Similarities, info_nce, select, simple_contrastive, suggest_k, truncated_triplet

RANGES = [(0.0, 0.05), (0.05, 1.0), (0.0, 1.0), (0.2, 0.5), (0.6, 0.9), (0.001, 0.3), (0.5, 0.95), (0.0, 0.5)]


def random_similarities(N=7, K=200, M=2, seed=0):
    draw = torch.Generator().manual_seed(seed)
    p, n, t = (
        2 * torch.rand(*shape, generator=draw, dtype=torch.float64) - 1 for shape in [(N,), (N, K), (N, M)]
    )
    return Similarities(p, n, t)


def ascending(values):
    return values.sort(dim=1).values


@pytest.mark.parametrize("difficulty", RANGES)
def test_a_range_keeps_the_ranks_of_a_sort(difficulty):
    s = random_similarities()
    ranked = s.negatives.sort(dim=1, descending=True).values
    expected = ranked[:, round(difficulty[0] * 200) : round(difficulty[1] * 200)]
    kept = select(s, difficulty=difficulty)
    assert torch.equal(ascending(kept.negatives), ascending(expected))
    assert kept.positive is s.positive
    assert kept.nonsemantic is s.nonsemantic


@pytest.mark.parametrize("hardest", [1, 17, 200])
def test_hardest_keeps_the_largest(hardest):
    s = random_similarities()
    expected = s.negatives.sort(dim=1, descending=True).values[:, :hardest]
    assert torch.equal(ascending(select(s, hardest=hardest).negatives), ascending(expected))


@pytest.mark.parametrize("split", [0.001, 0.01, 0.05, 0.25, 0.333, 0.5, 0.9])
def test_complementary_ranges_share_nothing_and_lose_nothing(split):
    s = random_similarities(K=1000)
    both = [select(s, difficulty=part).negatives for part in [(0, split), (split, 1)]]
    assert torch.equal(ascending(torch.cat(both, dim=1)), ascending(s.negatives))


@pytest.mark.parametrize("difficulty", RANGES)
def test_gradients_reach_the_kept_and_only_the_kept(difficulty):
    s = random_similarities()
    n = s.negatives.clone().requires_grad_()
    kept = select(s._replace(negatives=n), difficulty=difficulty)
    info_nce(kept, temperature=0.5).backward()
    ranks = s.negatives.argsort(dim=1, descending=True).argsort(dim=1)
    inside = (ranks >= round(difficulty[0] * 200)) & (ranks < round(difficulty[1] * 200))
    assert torch.equal(n.grad != 0, inside)


def test_the_kept_similarities_are_what_the_loss_sees():
    s = random_similarities()
    threshold = s.negatives.sort(dim=1, descending=True).values[:, 9:10]
    excluded = s.negatives.masked_fill(s.negatives < threshold, -torch.inf)
    expected = info_nce(s._replace(negatives=excluded))
    assert info_nce(select(s, hardest=10)).item() == pytest.approx(expected.item(), rel=1e-12)


def test_order_of_the_queue_does_not_matter():
    s = random_similarities()
    shuffled = s._replace(negatives=s.negatives[:, torch.arange(200).flip(0).roll(70)])
    first, second = (select(x, difficulty=(0.1, 0.4)).negatives for x in (s, shuffled))
    assert torch.equal(ascending(first), ascending(second))


def test_ties_keep_the_right_number():
    s = Similarities(torch.zeros(2), torch.zeros(2, 10), torch.zeros(2, 0))
    assert select(s, hardest=3).negatives.shape == (2, 3)
    assert select(s, difficulty=(0.2, 0.7)).negatives.shape == (2, 5)


@pytest.mark.parametrize(
    ("criterion", "message"),
    [
        ({}, "either difficulty or hardest"),
        ({"difficulty": (0, 1), "hardest": 3}, "either difficulty or hardest"),
        ({"hardest": 0}, "1 ... K = 200"),
        ({"hardest": 201}, "1 ... K = 200"),
        ({"difficulty": (-0.1, 0.5)}, "0 <= lo < hi <= 1"),
        ({"difficulty": (0.5, 0.5)}, "0 <= lo < hi <= 1"),
        ({"difficulty": (0.5, 1.5)}, "0 <= lo < hi <= 1"),
        ({"difficulty": (0.0, 0.001)}, "has none of K = 200"),
    ],
)
def test_wrong_criteria_say_what_is_allowed(criterion, message):
    with pytest.raises(ValueError, match=message):
        select(random_similarities(), **criterion)


@pytest.mark.parametrize("difficulty", [d for d in RANGES if d != (0.0, 1.0)])
def test_what_is_removed_is_what_would_be_kept(difficulty):
    s = random_similarities()
    both = [select(s, difficulty=difficulty, remove=remove).negatives for remove in (False, True)]
    assert torch.equal(ascending(torch.cat(both, dim=1)), ascending(s.negatives))
    both = [select(s, hardest=17, remove=remove).negatives for remove in (False, True)]
    assert both[1].shape == (7, 183)
    assert torch.equal(ascending(torch.cat(both, dim=1)), ascending(s.negatives))


def test_a_range_that_is_everything_cannot_be_removed():
    with pytest.raises(ValueError, match="all K = 200 negatives are removed"):
        select(random_similarities(), difficulty=(0, 1), remove=True)
    with pytest.raises(ValueError, match="either difficulty or hardest"):
        select(random_similarities(), max_cosine=0.5, remove=True)
    with pytest.raises(ValueError, match=r"exclude has shape \(7, 2\); the negatives have \(7, 200\)"):
        select(random_similarities(), exclude=torch.zeros(7, 2, dtype=torch.bool))


LOSSES = [
    lambda s: info_nce(s, temperature=0.3),
    lambda s: info_nce(s, temperature=0.3, eqco=50),
    simple_contrastive,
    lambda s: simple_contrastive(s, weight=0.1),
    lambda s: truncated_triplet(s, ranks=(1, 10)),
]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("how", ["cosine", "class"])
def test_a_negative_that_is_left_out_counts_nowhere(loss, how):
    """Against each row by itself, without those columns."""
    s = random_similarities(K=40)
    labels, others = torch.arange(7) % 3, torch.arange(40) % 5
    same = labels[:, None] == others
    n = s.negatives.clone().requires_grad_()
    options = {"max_cosine": 0.5} if how == "cosine" else {"exclude": same}
    out = s.negatives > 0.5 if how == "cosine" else same
    selected = loss(select(s._replace(negatives=n), **options))
    selected.backward()
    rows = []
    for i in range(7):
        row = Similarities(s.positive[i : i + 1], s.negatives[i : i + 1, ~out[i]], s.nonsemantic[i : i + 1])
        rows.append(loss(row))
    assert selected.item() == pytest.approx(torch.stack(rows).mean().item(), rel=1e-12)
    assert n.grad.isfinite().all() and not n.grad[out].any()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_query_without_any_negative_left_has_a_finite_loss(loss):
    s = random_similarities(K=12)._replace(nonsemantic=torch.zeros(7, 0, dtype=torch.float64))
    n = s.negatives.clone().requires_grad_()
    value = loss(select(s._replace(negatives=n), max_cosine=-1.0))
    value.backward()
    assert value.isfinite() and not n.grad.any()


def test_ranks_are_among_what_is_left():
    s = random_similarities()
    kept = select(s, max_cosine=0.5, hardest=10).negatives
    for row, all_of_it in zip(kept, s.negatives, strict=True):
        assert torch.equal(row.sort().values, all_of_it[all_of_it <= 0.5].sort().values[-10:])


def test_eqco_of_k_makes_up_for_the_number():
    s = random_similarities()._replace(nonsemantic=torch.zeros(7, 0, dtype=torch.float64))
    kept = select(s, difficulty=(0, 0.05))
    weighted = (20 * (kept.negatives / 0.2).exp()).sum(1)
    positive = (s.positive / 0.2).exp()
    expected = -(positive / (positive + weighted)).log().mean()
    assert info_nce(kept, eqco=200).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize(
    ("classes", "batch", "k"),
    [(1000, 104, 2), (1000, 196, 3), (200, 256, 5), (100, 256, 8), (10, 256, 38), (2, 2, 2)],
)
def test_the_suggested_rank_is_that_of_the_binomial_distribution(classes, batch, k):
    assert suggest_k(classes, batch) == k

    def reaches(least):
        share = 1 / classes
        terms = range(least, batch)
        return sum(math.comb(batch - 1, j) * share**j * (1 - share) ** (batch - 1 - j) for j in terms)

    assert reaches(k) <= 0.01 < reaches(k - 1)


@pytest.mark.parametrize("wrong", [(1, 8), (10, 1), (10, 8, 0.0), (10, 8, 1.0)])
def test_a_suggestion_needs_classes_images_and_a_probability(wrong):
    with pytest.raises(ValueError, match="at least 2, at least 2"):
        suggest_k(*wrong)
