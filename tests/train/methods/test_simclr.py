"""SimCLR against a plain re-implementation in float64; the statistics that its encoder keeps."""

import pytest
import torch
from torch.nn import functional as F

from texneg.errors import InputError
from texneg.train.config import PretrainConfig
from texneg.train.flags import change
from texneg.train.methods import simclr
from texneg.train.objectives import InfoNCE, Objective


@pytest.mark.parametrize("count", [0, 2])
def test_a_step_is_nt_xent(build, make_batch, assert_same_step, count):
    method, reference = build(simclr.Config())
    b, T = make_batch(count=count), 0.1
    z = reference.network(reference.normalise(torch.cat([b.query, b.key])))
    z = F.normalize(z, dim=1)
    passes = [reference.network(reference.normalise(x)) for x in b.negatives.unbind(1)] if count else []
    losses = []
    for a in range(16):
        partner = (a + 8) % 16
        total = sum((z[a] @ z[j] / T).exp() for j in range(16) if j != a)
        total = total + sum((2 * (z[a] @ F.normalize(t[a % 8], dim=0)) / T).exp() for t in passes)
        losses.append(-((z[a] @ z[partner] / T).exp() / total).log())
    loss = Objective(simclr.Config.loss)(method(b))
    assert_same_step(method, loss, reference, torch.stack(losses).mean())


def test_running_statistics_are_those_of_the_views(build, make_batch):
    with_negatives, without = build(simclr.Config())
    with_negatives(make_batch(count=2))
    without(make_batch(count=2)._replace(negatives=None))
    buffers = dict(without.named_buffers())
    for name, value in with_negatives.named_buffers():
        if "running" in name:
            torch.testing.assert_close(value, buffers[name])
    momenta = {m.momentum for m in with_negatives.modules() if hasattr(m, "momentum")}
    assert momenta == {0.1}


def test_choosing_it_brings_its_temperature():
    assert change(PretrainConfig(), method="simclr").objective == Objective(InfoNCE(temperature=0.1))


def test_batch_norm_policies_for_keys_are_refused():
    with pytest.raises(InputError, match=r"--bn split: SimCLR has no keys to hide.*; use none, or sync"):
        change(PretrainConfig(), method="simclr", data="x").check()
