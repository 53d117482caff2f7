"""The weighted vote against plain loops, and its limits."""

import math

import numpy as np
import pytest
import torch

from texneg.errors import InputError
from texneg.train.evaluate import neighbours
from texneg.train.evaluate.neighbours import knn_accuracy, knn_scores


def by_loops(train, labels, test, *, k, temperature, classes):
    """The vote in float64, one similarity at a time."""
    votes = np.zeros((len(test), classes))
    for i, query in enumerate(test):
        cosines = [float(query @ x / np.linalg.norm(query) / np.linalg.norm(x)) for x in train]
        for j in sorted(range(len(train)), key=lambda j: -cosines[j])[:k]:
            votes[i, labels[j]] += math.exp((cosines[j] - max(cosines)) / temperature)
    return votes


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (5, 0.07), (20, 1.0), (500, 0.2)])
def test_votes_equal_plain_loops(k, temperature):
    draw = np.random.default_rng(3)
    train, test, labels = draw.normal(size=(60, 7)), draw.normal(size=(25, 7)), draw.integers(0, 4, 60)
    tensors = torch.tensor(train), torch.tensor(labels), torch.tensor(test)
    votes = torch.cat(list(knn_scores(*tensors, classes=4, k=k, temperature=temperature)))
    expected = by_loops(train, labels, test, k=k, temperature=temperature, classes=4)
    np.testing.assert_allclose(votes.numpy(), expected, rtol=2e-4, atol=1e-6)
    truth = draw.integers(0, 4, 25)
    accuracy = knn_accuracy(*tensors, torch.tensor(truth), k=k, temperature=temperature)
    assert accuracy == np.mean(expected.argmax(1) == truth)


def test_blocks_do_not_change_the_answer(monkeypatch):
    draw = torch.Generator().manual_seed(0)
    train, test = torch.randn(40, 5, generator=draw), torch.randn(30, 5, generator=draw)
    labels, truth = torch.arange(40) % 3, torch.arange(30) % 3
    whole = knn_accuracy(train, labels, test, truth)
    monkeypatch.setattr(neighbours, "TILE", 40 * 7)
    assert knn_accuracy(train, labels, test, truth) == whole


def test_one_neighbour_finds_itself():
    features = torch.randn(50, 8, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(50) % 6
    assert knn_accuracy(features, labels, features * 3, labels, k=1) == 1.0


def test_wrong_input_is_refused():
    x, y = torch.randn(4, 2), torch.tensor([0, 1, 0, 1])
    with pytest.raises(ValueError, match="k = 0"):
        knn_accuracy(x, y, x, y, k=0)
    for temperature in (0.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="temperature above 0"):
            knn_accuracy(x, y, x, y, temperature=temperature)
    with pytest.raises(ValueError, match="0 test features"):
        knn_accuracy(x, y, x[:0], y[:0])
    with pytest.raises(ValueError, match="3 labels"):
        knn_accuracy(x, y[:3], x, y)
    with pytest.raises(InputError, match="no training image to vote"):
        list(knn_scores(x[:0], y[:0], x, classes=2))


@pytest.mark.parametrize("temperature", [1e-30, 1e-3], ids=str)
def test_a_low_temperature_leaves_the_vote_to_the_nearest(temperature):
    draw = torch.Generator().manual_seed(2)
    train, test = torch.randn(60, 7, generator=draw), torch.randn(25, 7, generator=draw)
    labels = 1 + torch.arange(60) % 4  # no image of class 0, which an empty vote would name
    nearest, cold = (
        torch.cat(list(knn_scores(train, labels, test, classes=5, **options))).argmax(1)
        for options in ({"k": 1}, {"k": 20, "temperature": temperature})
    )
    assert (nearest == cold).float().mean() > 0.9
    assert cold.min() > 0


@pytest.mark.parametrize("lost", [float("nan"), float("inf")], ids=str)
def test_features_that_are_no_numbers_have_no_neighbours(lost):
    x, y = torch.randn(4, 2), torch.tensor([0, 1, 0, 1])
    broken = torch.full((4, 2), lost)
    for bank, test in ((broken, x), (x, broken)):
        with pytest.raises(InputError, match="not finite"):
            knn_accuracy(bank, y, test, y)
