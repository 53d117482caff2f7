"""Centred non-semantic cosines against loops, what they cancel, and their gradients."""

import math

import pytest
import torch
from torch.nn import functional as F

from texneg import centred_nonsemantic, nonsemantic_confusion

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


@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0])
@pytest.mark.parametrize("images", [N, 9])
def test_confusion_equals_the_loop(temperature, images):
    query, joint = embeddings(images)
    made = nonsemantic_confusion(query, joint[:N], gathered=joint, temperature=temperature)
    q, t = F.normalize(query, dim=1), F.normalize(joint, dim=2)
    for i in range(N):
        for m in range(M):
            powers = [math.exp(float(q[i] @ t[j, m]) / temperature) for j in range(images)]
            guess = [power / sum(powers) for power in powers]
            entropy = -sum(p * math.log(p) for p in guess)
            expected = temperature * (math.log(images) - entropy)
            assert made[i, m].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "measure",
    [centred_nonsemantic, lambda q, t: centred_nonsemantic(q, t, temperature=0.2), nonsemantic_confusion],
)
def test_a_direction_that_says_image_and_not_negative_changes_nothing(measure):
    """All images share one side of it, all negatives the other: turning the negatives' side is not seen."""
    query, own = embeddings()
    q, t = F.normalize(query, dim=1), F.normalize(own, dim=2)
    image = torch.cat([0.6 * q, torch.full((N, 1), 0.8, dtype=q.dtype)], 1)
    made = [
        measure(image, torch.cat([0.6 * t, torch.full((N, M, 1), side, dtype=q.dtype)], 2))
        for side in (-0.8, 0.8)
    ]
    torch.testing.assert_close(made[0], made[1], atol=1e-12, rtol=0)
    assert (image @ torch.cat([0.6 * t[0, 0], -t.new_tensor([0.8])])).mean() < 0  # the plain cosine has it


def test_confusion_is_nothing_where_all_negatives_look_alike():
    query, own = embeddings()
    made = nonsemantic_confusion(query.requires_grad_(), own[:1].expand(N, -1, -1))
    torch.testing.assert_close(made, torch.zeros_like(made), atol=1e-12, rtol=0)
    (gradient,) = torch.autograd.grad(made.sum(), query)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-12, rtol=0)
    told = nonsemantic_confusion(own[:, 0], own[:, :1], temperature=0.01)
    assert (told > 0.9 * 0.01 * math.log(N)).all()
    assert torch.equal(nonsemantic_confusion(query, own[:, 0]), nonsemantic_confusion(query, own[:, :1]))


def test_gradients_of_the_confusion():
    query, own = embeddings()
    leaves = query.requires_grad_(), own.requires_grad_()
    assert torch.autograd.gradcheck(lambda q, t: nonsemantic_confusion(q, t, temperature=0.5), leaves)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"gathered": torch.randn(9, 3, D).double()}, "9 images have 3 each"),
    ],
)
def test_bad_input_of_the_confusion(options, message):
    query, own = embeddings()
    with pytest.raises(ValueError, match=message):
        nonsemantic_confusion(query, own, **options)
    with pytest.raises(ValueError, match="at least 2 images"):
        nonsemantic_confusion(query[:1], own[:1])
