"""Tiny methods in float64, and batches for them."""

import copy

import pytest
import torch

from texneg.train.data.loader import Batch
from texneg.train.networks.backbone import Architecture

N, SIDE, IMAGES = 8, 16, 24
ARCHITECTURE = Architecture("resnet18", "stride2", 4, (1, 1, 1, 1), dim=6, hidden=8, bn="none", bn_group=4)


@pytest.fixture
def make_batch():
    """A function that makes the views of a step: 8 images of 24, 16 px."""

    def make(step=3, count=2):
        draw = torch.Generator().manual_seed(step)
        views = torch.randint(0, 256, (2 + count, N, SIDE, SIDE, 3), generator=draw, dtype=torch.uint8)
        negatives = views[2:].transpose(0, 1) if count else None
        return Batch(views[0], views[1], negatives, torch.randperm(IMAGES, generator=draw)[:N], step)

    return make


@pytest.fixture
def build():
    """A function that makes a method, and an equal one for a reference to work with."""

    def make(config):
        method = config.build(ARCHITECTURE, SIDE, seed=0, steps=10, images=IMAGES).double().train()
        return method, copy.deepcopy(method)

    return make


@pytest.fixture
def assert_same_step():
    """A function that compares loss and gradients of a method with those of a reference."""

    def check(method, loss, reference, expected):
        assert abs(loss.item() - expected.item()) <= 1e-8 * abs(expected.item())
        loss.backward()
        expected.backward()
        pairs = zip(method.parameters(), reference.parameters(), strict=True)
        trained = [(a.grad, b.grad) for a, b in pairs if a.requires_grad]
        assert trained
        for mine, theirs in trained:
            torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-10)

    return check
