"""The memory bank against a plain re-implementation in float64: all images or a draw of them."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from texneg.errors import InputError
from texneg.train.config import PretrainConfig
from texneg.train.flags import change
from texneg.train.methods import memory_bank
from texneg.train.objectives import InfoNCE, Objective


def embed(network, method, pixels):
    return F.normalize(network(method.normalise(pixels)), dim=1)


def test_two_steps_are_those_of_wang_and_liu(build, make_batch, assert_same_step):
    """With all other images as negatives; two, since the bank moves between them."""
    method, reference = build(memory_bank.Config(keys=23, momentum=0.6))
    method.bank.copy_(F.normalize(method.bank, dim=1))  # unit to float64's precision, not float32's
    bank = method.bank.clone()
    for step in (3, 4):
        b, T = make_batch(step), 0.3
        q = embed(reference.network, reference, b.query)
        with torch.no_grad():
            t = [embed(reference.network, reference, x) for x in b.negatives.unbind(1)]
        losses = []
        for i, place in enumerate(b.indices.tolist()):
            others = sum((q[i] @ bank[j] / T).exp() for j in range(24) if j != place)
            own = sum((2 * (q[i] @ x[i]) / T).exp() for x in t)
            positive = (q[i] @ bank[place] / T).exp()
            losses.append(-(positive / (positive + others + own)).log())
        loss = Objective(InfoNCE(temperature=T))(method(b))
        method.zero_grad()
        reference.zero_grad()
        assert_same_step(method, loss, reference, torch.stack(losses).mean())
        method.after_step()
        for i, place in enumerate(b.indices.tolist()):
            bank[place] = F.normalize(0.6 * bank[place] + 0.4 * q[i].detach(), dim=0)
        torch.testing.assert_close(method.bank, bank)


def test_a_draw_is_of_other_images_each_once_and_shared_as_far_as_it_can_be(build, make_batch):
    method, _ = build(memory_bank.Config(keys=12))
    counts = np.zeros(24)
    for step in range(200):
        b = make_batch(step, count=0)
        drawn, own = method.choose(b.step), method.find_own(b.step, b.indices)
        assert len(drawn) == 13 == len(set(drawn.tolist()))
        for place, column in zip(b.indices.tolist(), own.tolist(), strict=True):
            kept = np.delete(drawn.numpy(), column)
            assert len(kept) == 12 and place not in kept
            counts[kept] += 1
    assert counts.std() < 0.15 * counts.mean()  # every image as often as any other
    (s,) = method(b)
    q = embed(method.network, method, b.query)
    expected = q[0] @ method.bank[np.delete(drawn.numpy(), own[0])].T
    torch.testing.assert_close(s.negatives[0], expected)


def test_it_begins_with_unit_vectors_of_its_seed(build):
    one, two = (build(memory_bank.Config())[0].bank for _ in range(2))
    assert torch.equal(one, two) and one.shape == (24, 6)
    torch.testing.assert_close(one.norm(dim=1), torch.ones(24, dtype=torch.float64), rtol=1e-6, atol=0)


def test_running_statistics_are_those_of_the_views(build, make_batch):
    with_negatives, without = build(memory_bank.Config(keys=4))
    with_negatives(make_batch(count=2))
    without(make_batch(count=2)._replace(negatives=None))
    buffers = dict(without.named_buffers())
    for name, value in with_negatives.named_buffers():
        if "running" in name:
            torch.testing.assert_close(value, buffers[name])


def test_more_keys_than_other_images_are_refused_with_a_number_that_fits():
    config = change(PretrainConfig(), method="memory_bank", batch=32, data="x")
    config.check()
    with pytest.raises(InputError, match="--keys 4096 >= data set size 200: use --keys 199 or fewer"):
        config.check_images(200)
    assert change(config, keys=199).check_images(200) == ""
    with pytest.raises(InputError, match="--keys 0: at least 1"):
        change(config, keys=0).check()
