"""Centred non-semantic cosines against loops, what they cancel, and their gradients."""

import math

import pytest
import torch
from torch.nn import functional as F

from texneg import centred_nonsemantic

N, M, D = 5, 2, 6


def embeddings(images=N, seed=0):
    draw = torch.Generator().manual_seed(seed)
    shapes = (N, D), (images, M, D)
    return (torch.randn(*shape, generator=draw, dtype=torch.float64) for shape in shapes)


@pytest.mark.parametrize("temperature", [None, 0.2, 1.0])
@pytest.mark.parametrize(("images", "start"), [(N, 0), (9, 0), (9, 3), (9, 4)])
def test_equals_the_loop(temperature, images, start):
    query, joint = embeddings(images)
    made = centred_nonsemantic(
        query, joint[start : start + N], gathered=joint, start=start, temperature=temperature
    )
    q, t = F.normalize(query, dim=1), F.normalize(joint, dim=2)
    for i in range(N):
        for m in range(M):
            cosines = [float(q[i] @ t[j, m]) for j in range(images)]
            own = cosines.pop(start + i)
            mean = sum(cosines) / len(cosines)
            if temperature is not None:
                mean = temperature * math.log(sum(math.exp(c / temperature) for c in cosines) / len(cosines))
            assert made[i, m].item() == pytest.approx(own - mean, abs=1e-12)


def test_a_direction_that_all_negatives_share_has_no_gradient():
    """Queries along it, or away from it, change nothing once the rest of each negative is the same."""
    query, own = embeddings()
    query.requires_grad_()
    shared = own[:1].expand(N, -1, -1)
    made = centred_nonsemantic(query, shared)
    torch.testing.assert_close(made, torch.zeros_like(made), atol=1e-12, rtol=0)
    (gradient,) = torch.autograd.grad(made.sum(), query)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-12, rtol=0)


def test_gradients_flow_through_both_terms():
    query, own = embeddings()
    assert torch.autograd.gradcheck(
        lambda q, t: centred_nonsemantic(q, t, temperature=0.5),
        (query.requires_grad_(), own.requires_grad_()),
    )


def test_one_negative_each_without_its_axis():
    query, own = embeddings()
    assert torch.equal(centred_nonsemantic(query, own[:, 0]), centred_nonsemantic(query, own[:, :1]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"gathered": torch.randn(9, 3, D).double()}, "9 images have 3 each"),
        ({"gathered": torch.randn(9, M, D).double(), "start": 5}, "start is 5"),
    ],
)
def test_bad_input(options, message):
    query, own = embeddings()
    with pytest.raises(ValueError, match=message):
        centred_nonsemantic(query, own, **options)


def test_one_image():
    query, own = embeddings()
    with pytest.raises(ValueError, match="at least 2 images"):
        centred_nonsemantic(query[:1], own[:1])
