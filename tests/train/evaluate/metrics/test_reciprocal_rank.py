"""Mean reciprocal rank against a float64 reference and its closed forms."""

from itertools import permutations

import numpy as np
import pytest
import torch

from texneg.train.evaluate.metrics.reciprocal_rank import (
    average_ranks,
    expect_chance,
    rank_categories,
    rank_reciprocally,
)


def one_hot(places, classes):
    return torch.nn.functional.one_hot(torch.as_tensor(places), classes).bool()


def straight(scores, right):
    """Mean over all orders of equal scores, of one image at a time, by trying them."""
    found = []
    for row, good in zip(np.asarray(scores, np.float64), np.asarray(right), strict=True):
        ranks = []
        for order in permutations(range(len(row))):
            ordered = sorted(order, key=lambda place: -row[place])  # stable: the order breaks ties
            ranks.append(1 / (1 + next(i for i, place in enumerate(ordered) if good[place])))
        found.append(np.mean(ranks))
    return np.array(found)


def test_against_a_straight_search():
    draw = np.random.default_rng(0)
    scores = torch.from_numpy(draw.integers(0, 4, (40, 6)).astype(np.float32))  # many are equal
    right = one_hot(draw.integers(0, 6, 40), 6)
    found = rank_reciprocally(scores, right)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), straight(scores, right), rtol=1e-12)
    several = right | one_hot(draw.integers(0, 6, 40), 6)
    unequal = torch.from_numpy(draw.permuted(np.tile(np.arange(6.0), (40, 1)), axis=1))
    np.testing.assert_allclose(
        rank_reciprocally(unequal, several).numpy(), straight(unequal, several), rtol=1e-12
    )


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_closed_forms(classes):
    """A perfect head has 1, one that ranks the class last 1 / C, one that says nothing H(C) / C."""
    places = torch.arange(20) % classes
    right = one_hot(places, classes)
    harmonic = sum(1 / rank for rank in range(1, classes + 1)) / classes
    assert expect_chance(classes) == pytest.approx(harmonic, rel=1e-12)
    assert rank_reciprocally(right.float(), right).tolist() == [1.0] * 20
    assert rank_reciprocally(-right.float(), right).tolist() == pytest.approx([1 / classes] * 20)
    assert rank_reciprocally(torch.zeros(20, classes), right).tolist() == pytest.approx([harmonic] * 20)


@pytest.mark.parametrize(("classes", "right"), [(7, 1), (7, 2), (6, 5), (4, 4)])
def test_chance_of_several_right_classes(classes, right):
    orders = [1 / (1 + min(order[:right])) for order in permutations(range(classes))]
    assert expect_chance(classes, right) == pytest.approx(np.mean(orders), rel=1e-12)


def test_random_scores_are_at_chance():
    scores = torch.from_numpy(np.random.default_rng(1).random((20_000, 10)))
    found = rank_reciprocally(scores, one_hot(np.arange(20_000) % 10, 10))
    ranks = average_ranks(found, 10, [1] * 20_000, interval=True)
    assert ranks.chance == pytest.approx(0.2928968, abs=1e-6)
    assert ranks.low < ranks.chance < ranks.high
    assert ranks.high - ranks.low < 0.01


def test_unreadable_images_have_nothing():
    logits = torch.eye(4)[:3]
    ranks = rank_categories(logits, [[0], [1, 3], [2]], torch.tensor([True, True, False]))
    assert ranks.value == pytest.approx(2 / 3)
    assert ranks.chance == pytest.approx((2 * expect_chance(4) + expect_chance(4, 2)) / 3)
