"""Selection of negatives by difficulty against a full sort."""

import pytest
import torch

from texneg import Similarities, info_nce, select

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
        ({"difficulty": (0.0, 0.001)}, "keeps none of K = 200"),
    ],
)
def test_wrong_criteria_say_what_is_allowed(criterion, message):
    with pytest.raises(ValueError, match=message):
        select(random_similarities(), **criterion)
