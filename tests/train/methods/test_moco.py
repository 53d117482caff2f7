"""Symmetric MoCo against a plain re-implementation in float64, and its queue of two keys an image."""

import pytest
import torch
from torch.nn import functional as F

from texneg.errors import InputError
from texneg.train.config import PretrainConfig
from texneg.train.flags import change
from texneg.train.methods import moco
from texneg.train.objectives import InfoNCE, Objective

CONFIG = moco.Config(queue=24, momentum=0.9, symmetric=True)


def cross_entropy(q, k, queue, t, temperature, alpha):
    """Loops over queries; all vectors are normalised here."""
    q, k, queue, t = (F.normalize(x, dim=-1) for x in (q, k, queue, t))
    losses = []
    for i in range(len(q)):
        positive = (q[i] @ k[i] / temperature).exp()
        others = (queue @ q[i] / temperature).exp().sum()
        own = (alpha * (t[i] @ q[i]) / temperature).exp().sum()
        losses.append(-(positive / (positive + others + own)).log())
    return torch.stack(losses).mean()


def test_a_symmetric_step_is_the_sum_of_both_directions(build, make_batch, assert_same_step):
    method, reference = build(CONFIG)
    b = make_batch()
    views = [reference.normalise(x) for x in (b.query, b.key)]
    q = [reference.query(x) for x in views]
    with torch.no_grad():
        k = [reference.key(x) for x in views]
        t = torch.stack([reference.key(reference.normalise(x)) for x in b.negatives.unbind(1)], 1)
    keys = reference.queue.keys
    expected = sum(cross_entropy(q[i], k[1 - i], keys, t, 0.3, 2.0) for i in (0, 1))
    parts = method(b)
    loss = Objective(InfoNCE(temperature=0.3, alpha=2.0))(parts)
    assert_same_step(method, loss, reference, expected)
    method.after_step()
    torch.testing.assert_close(method.queue.keys[:8], F.normalize(k[1], dim=1))
    torch.testing.assert_close(method.queue.keys[8:16], F.normalize(k[0], dim=1))
    assert method.queue.position.item() == 16


def test_one_direction_is_the_asymmetric_step(build, make_batch):
    (one,) = build(moco.Config(queue=24, momentum=0.9))[0](make_batch())
    first, second = build(CONFIG)[0](make_batch())
    assert all(torch.equal(a, b) for a, b in zip(one, first, strict=True))
    assert not torch.equal(first.negatives, second.negatives)


def test_a_queue_holds_two_keys_of_each_image():
    config = change(PretrainConfig(), symmetric=True, batch=32, data="x")
    with pytest.raises(InputError, match="--queue 63: at least the 64 keys of a batch"):
        change(config, queue=63).check()
    assert change(config, queue=200).check_images(200) == ""
    assert "of twice data set size 200: 20 %" in change(config, queue=256).check_images(200)
    with pytest.raises(InputError, match=r"--queue 400 >= twice data set size 200: .*; use --queue 128"):
        change(config, queue=400).check_images(200)
