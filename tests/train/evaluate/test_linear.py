"""The probe: recovers what is separable, is optimal, repeats itself."""

import numpy as np
import pytest
import torch

from texneg.errors import InputError
from texneg.train.evaluate.linear import (
    PENALTIES,
    TO_CHOOSE,
    fit_probe,
    standardisation,
    validation_split,
)
from texneg.train.evaluate.logistic import minimise, sweep


def clusters(n=600, features=12, classes=4, spread=0.3, seed=0):
    draw = torch.Generator().manual_seed(seed)
    centres = 100 + torch.randn(classes, features, generator=torch.Generator().manual_seed(99))
    labels = torch.arange(n) % classes
    return centres[labels] + spread * torch.randn(n, features, generator=draw), labels


NAMES = ("a", "b", "c", "d")


def test_separable_clusters_are_recovered():
    head = fit_probe(*clusters(), classes=NAMES)
    features, labels = clusters(seed=1)
    assert (head.logits(features).argmax(1) == labels).all()
    assert head.validation == 1.0
    assert head.classes == NAMES


def test_two_fits_are_the_same_bytes():
    features, labels = clusters(spread=1.5)
    first, second = (fit_probe(features, labels, classes=NAMES) for _ in range(2))
    assert first.fingerprint == second.fingerprint
    assert (first.penalty, first.validation) == (second.penalty, second.validation)


def test_the_penalty_is_the_one_with_the_lowest_held_out_loss():
    features, labels = clusters(n=120, spread=1.5)
    features = torch.cat([features, torch.randn(120, 300, generator=torch.Generator().manual_seed(5))], 1)
    head = fit_probe(features, labels, classes=NAMES, seed=3)
    held = validation_split(labels, seed=3)
    mean, std = standardisation(features[~held])
    x, y = (features[~held] - mean) / std, (features[held] - mean) / std
    found = {}
    for penalty, w in sweep(x, labels[~held], classes=4, penalties=PENALTIES, steps=100, tolerance=TO_CHOOSE):
        p = (y @ w[:, :-1].T + w[:, -1]).softmax(1)
        loss = -p[torch.arange(len(p)), labels[held]].log().mean().item()
        found[loss] = penalty, (p.argmax(1) == labels[held]).double().mean().item()
    assert (head.penalty, head.validation) == found[min(found)]
    assert 1e-6 < head.penalty < 1


def test_the_gradient_vanishes_at_the_solution():
    """In float64: d/dw = X'(p - y) / N + penalty * w = 0, and p - y sums to 0 for the bias."""
    features, labels = clusters(n=200, spread=1.5)
    mean, std = standardisation(features)
    x, penalty = ((features - mean) / std).double(), 0.01
    solution = minimise(
        x, labels, torch.zeros(4, 13, dtype=torch.float64), penalty=penalty, steps=300, tolerance=1e-9
    ).numpy()
    scores = x.numpy() @ solution[:, :-1].T + solution[:, -1]
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True) - np.eye(4)[labels]
    np.testing.assert_allclose(p.T @ x.numpy() / 200 + penalty * solution[:, :-1], 0, atol=3e-5)
    np.testing.assert_allclose(p.mean(0), 0, atol=3e-5)


def test_the_split_is_stratified_and_a_function_of_the_seed():
    labels = torch.tensor([0] * 50 + [1] * 200 + [2] * 2 + [3])
    held = validation_split(labels, seed=4)
    assert [int(held[labels == c].sum()) for c in range(4)] == [5, 20, 1, 0]
    assert torch.equal(held, validation_split(labels, seed=4))
    assert not torch.equal(held, validation_split(labels, seed=5))


def test_constant_features_do_no_harm():
    features, labels = clusters()
    features[:, 3] = 7.0
    head = fit_probe(features, labels, classes=NAMES, penalties=(1e-2,))
    assert head.std[3] == 1
    assert torch.isfinite(head.logits(features)).all()


def test_one_class_and_no_penalty_are_refused():
    with pytest.raises(InputError, match="two classes"):
        fit_probe(torch.randn(5, 3), torch.zeros(5, dtype=torch.int64), classes=("a",))
    for penalties in ((), (0.0, 1.0)):
        with pytest.raises(InputError, match="one or more, above 0"):
            fit_probe(*clusters(n=8), classes=NAMES, penalties=penalties)


@pytest.mark.parametrize("n", [2, 3, 4], ids=str)
def test_one_image_of_each_class_takes_the_strongest_penalty_without_validation(n):
    features, labels = clusters(n=n, classes=n)
    head = fit_probe(features, labels, classes=NAMES[:n])
    assert (head.penalty, head.validation) == (max(PENALTIES), None)
    assert torch.equal(head.logits(features).argmax(1), labels)
    assert (head.logits(clusters(n=40, classes=n, seed=1)[0]).argmax(1) == torch.arange(40) % n).all()


def test_a_class_with_two_images_is_enough_to_validate_on():
    features, labels = clusters(n=4, classes=3)
    head = fit_probe(features, labels, classes=NAMES[:3], penalties=(1e-3,))
    assert head.penalty == 1e-3
    assert head.validation in (0.0, 1.0)


@pytest.mark.parametrize("lost", [float("nan"), float("inf")], ids=str)
def test_features_that_are_no_numbers_have_no_head(lost):
    features, labels = clusters(n=40)
    features[::2, 2] = lost
    with pytest.raises(InputError, match="not finite, or too large"):
        fit_probe(features, labels, classes=NAMES)


def objective(x, labels, solution, penalty):
    """Mean cross-entropy + penalty / 2 * ||weight||^2, in float64."""
    x, solution = x.double().numpy(), solution.double().numpy()
    scores = x @ solution[:, :-1].T + solution[:, -1]
    log_p = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    return -log_p[np.arange(len(x)), labels].mean() + penalty / 2 * np.square(solution[:, :-1]).sum()


@pytest.mark.parametrize("features", [30, 400], ids=str)
def test_a_sweep_of_correlated_features_comes_near_every_minimum(features):
    """More features than images among them; a cold start at each penalty finds the same minimum."""
    draw = torch.Generator().manual_seed(2)
    hidden, labels = clusters(n=240, features=9, spread=1.5)
    hidden = hidden - 100
    x = hidden @ torch.randn(9, features, generator=draw) + 0.1 * torch.randn(240, features, generator=draw)
    mean, std = standardisation(x)
    x = (x - mean) / std
    for penalty, solution in sweep(x, labels, classes=4, penalties=PENALTIES, steps=200, tolerance=TO_CHOOSE):
        start = torch.zeros(4, features + 1, dtype=torch.float64)
        exact = minimise(x.double(), labels, start, penalty=penalty, steps=1000, tolerance=1e-10)
        least = objective(x, labels, exact, penalty)
        assert least <= objective(x, labels, solution, penalty) * (1 + 1e-9)
        assert objective(x, labels, solution, penalty) < least * (1 + 50 * TO_CHOOSE) + 1e-7
