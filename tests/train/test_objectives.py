"""Objectives: what they warn of, and what they refuse."""

import numpy as np
import pytest
import torch

from texneg.similarity import similarities
from texneg.train.config import PretrainConfig
from texneg.train.flags import change
from texneg.train.methods import METHODS
from texneg.train.objectives import Byol, InfoNCE, SimpleContrastive, TruncatedTriplet, best_positive


@pytest.mark.parametrize(("push", "expected"), [(2.0, -0.68), (1.0, 0.22), (0.5, 0.93), (0.0, 1.0)])
def test_the_best_cosine_of_the_positive_is_that_of_an_optimum(push, expected):
    assert best_positive(push, 0.9) == pytest.approx(expected, abs=0.005)
    angles = np.linspace(-np.pi, np.pi, 100_001)  # of the query; the positive lies at 0
    t = np.arccos(0.9)
    best = angles[np.argmin(push * np.cos(angles - t) - np.cos(angles))]
    assert np.cos(best) == pytest.approx(best_positive(push, 0.9), abs=1e-4)


@pytest.mark.parametrize(
    "loss", [Byol(alpha=2.0), SimpleContrastive(alpha=0.7), TruncatedTriplet(alpha=3.0, pull=1.5)]
)
def test_push_is_the_ratio_of_the_gradients(loss):
    draw = torch.Generator().manual_seed(0)
    q, p, t, n = (torch.randn(k, 6, generator=draw, dtype=torch.float64) for k in (1, 1, 1, 12))
    s = similarities(q, p, n, t)
    s = s._replace(positive=s.positive.requires_grad_(), nonsemantic=s.nonsemantic.requires_grad_())
    loss(s).backward()
    assert (-s.nonsemantic.grad / s.positive.grad).item() == pytest.approx(loss.push)


def test_a_weight_that_trains_positives_apart_is_warned_of():
    config = change(PretrainConfig(), method="byol", bn="none")
    assert config.warnings() == []
    (warning,) = change(config, alpha=2.0).warnings()
    assert warning == (
        "--alpha 2 with --loss byol: negatives push 2 times as hard as the positive pulls; where their cosine"
        " is 0.9, positives are trained to -0.68; at --alpha 0.5 to 0.93"
    )
    assert change(config, alpha=1.0).warnings() == []
    assert change(config, alpha=2.0, negatives="none").warnings() == []
    assert change(PretrainConfig(), alpha=3.0).warnings() == []  # the softmax bounds the push


@pytest.mark.parametrize("method", METHODS)
def test_a_method_brings_its_own_weight(method):
    other = change(PretrainConfig(), method="moco" if method.name == "byol" else "byol", alpha=7.0)
    brought = change(other, method=method.name).objective.loss
    assert brought == method.loss
    assert brought.alpha < 7
    assert brought.push <= 1


def test_info_nce_has_no_fixed_push():
    assert InfoNCE(alpha=5.0).push == 0
