"""Uniformity and tolerance against loops over pairs, and their limits."""

import math
from itertools import combinations

import pytest
import torch
import torch.nn.functional as F

from texneg import Similarities, penalty_entropy, relative_penalty, tolerance, uniformity


def embeddings(N, D, seed=0):
    return torch.randn(N, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("t", [0.5, 2.0])
@pytest.mark.parametrize(("N", "D"), [(2, 3), (17, 5), (40, 8)])
def test_uniformity_equals_the_loop_over_pairs(N, D, t):
    x = F.normalize(embeddings(N, D), dim=1)
    potentials = [math.exp(-t * float((a - b).square().sum())) for a, b in combinations(x, 2)]
    expected = math.log(sum(potentials) / len(potentials))
    assert uniformity(5 * x, t=t).item() == pytest.approx(expected, rel=1e-10)


def test_uniformity_over_several_blocks_of_rows():
    x = embeddings(2100, 4)
    distances = F.pdist(F.normalize(x, dim=1))
    expected = (-2 * distances.square()).exp().mean().log()
    assert uniformity(x).item() == pytest.approx(expected.item(), rel=1e-10)


def test_uniformity_of_equal_and_of_opposite_embeddings():
    assert uniformity(torch.ones(5, 3, dtype=torch.float64)).item() == pytest.approx(0, abs=1e-12)
    poles = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    assert uniformity(poles).item() == pytest.approx(-8)


def test_uniformity_of_random_directions_is_the_papers_limit():
    """Wang and Liu: the uniform sphere of 128 dimensions has -L = 3.94 at t = 2."""
    assert -uniformity(embeddings(3000, 128)).item() == pytest.approx(3.9375, abs=0.01)


@pytest.mark.parametrize(("N", "D", "classes"), [(2, 3, 1), (20, 5, 4), (50, 8, 3)])
def test_tolerance_equals_the_loop_over_same_class_pairs(N, D, classes):
    x = embeddings(N, D)
    labels = torch.arange(N) % classes * 10 - 7
    pairs = [(i, j) for i, j in combinations(range(N), 2) if labels[i] == labels[j]]
    expected = sum(F.cosine_similarity(x[i], x[j], dim=0).item() for i, j in pairs) / len(pairs)
    assert tolerance(x, labels).item() == pytest.approx(expected, rel=1e-10)


def test_tolerance_is_one_for_collapsed_classes_and_nan_without_pairs():
    x = embeddings(3, 4).repeat(2, 1)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    assert tolerance(x, labels).item() == pytest.approx(1)
    assert tolerance(x[:3], labels[:3]).isnan()


def test_both_can_be_trained_on():
    x = embeddings(6, 4).requires_grad_()
    assert torch.autograd.gradcheck(uniformity, (x,))
    assert torch.autograd.gradcheck(lambda x: tolerance(x, torch.tensor([0, 0, 1, 1, 1, 2])), (x,))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: uniformity(torch.zeros(1, 3)), "N >= 2"),
        (lambda: uniformity(torch.zeros(3)), "N >= 2"),
        (lambda: uniformity(torch.zeros(4, 3), t=0), "t is 0"),
        (lambda: tolerance(torch.zeros(4, 3), torch.zeros(3, dtype=torch.long)), r"must be \(4,\)"),
        (lambda: tolerance(torch.zeros(4, 3), torch.zeros(4)), "float32; they must be .* integers"),
        (lambda: uniformity(torch.zeros(4, 3), t=math.nan), "t is nan"),
        (lambda: uniformity(torch.zeros(4, 3, dtype=torch.int32)), "dtype torch.int32"),
    ],
)
def test_wrong_shapes_say_what_is_allowed(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_relative_penalties_are_a_boltzmann_distribution_whose_entropy_rises_with_temperature():
    """dH/dT is the variance of the cosines under it, over T cubed."""
    draw = torch.Generator().manual_seed(0)
    n = 2 * torch.rand(3, 20, generator=draw, dtype=torch.float64) - 1
    s = Similarities(n[:, 0], n, n[:, :0])
    for T in (0.07, 0.3, 1.0):
        r = relative_penalty(s, T)
        expected = (n / T).exp() / (n / T).exp().sum(1, keepdim=True)
        torch.testing.assert_close(r, expected)
        slope = (penalty_entropy(s, T + 1e-5) - penalty_entropy(s, T - 1e-5)) / 2e-5
        variance = (r * n.square()).sum(1) - (r * n).sum(1).square()
        torch.testing.assert_close(slope, (variance / T**3).mean(), rtol=1e-5, atol=0)
    torch.testing.assert_close(penalty_entropy(s, 1e6), torch.tensor(20.0, dtype=n.dtype).log())
    left_out = Similarities(n[:, 0], n.masked_fill(n > 0, -torch.inf), n[:, :0])
    assert penalty_entropy(left_out, 0.1).isfinite()
    for wrong in ({"s": s, "temperature": 0.0}, {"s": s._replace(negatives=n[:, :0]), "temperature": 1.0}):
        with pytest.raises(ValueError, match=r"temperature is 0\.0|needs ordinary negatives"):
            penalty_entropy(**wrong)
