"""SiMo against a plain re-implementation in float64: keys of the batch, shared by the queries, EqCo."""

import math

import pytest
import torch
from torch.nn import functional as F

from texneg.errors import InputError
from texneg.train.config import PretrainConfig
from texneg.train.flags import change
from texneg.train.methods import simo
from texneg.train.objectives import InfoNCE, Objective


@pytest.mark.parametrize("keys", [None, 3])
def test_a_step_is_the_papers_loss(build, make_batch, assert_same_step, keys):
    method, reference = build(simo.Config(keys=keys, momentum=0.9))
    b = make_batch()
    q = F.normalize(reference.query(reference.normalise(b.query)), dim=1)
    with torch.no_grad():
        k = F.normalize(reference.key(reference.normalise(b.key)), dim=1)
        passes = [reference.key(reference.normalise(x)) for x in b.negatives.unbind(1)]
        t = F.normalize(torch.stack(passes, 1), dim=2)
    (s,) = method(b)
    chosen = range(7)
    if keys:  # from the method, then held to what the paper says of it
        cosines = q.detach() @ k.T
        others = [cosines[0, 1:], cosines[7, :7]]
        chosen = [(others[0] - x).abs().argmin().item() for x in s.negatives[0].detach()]
        assert len(set(chosen)) == keys
        torch.testing.assert_close(s.negatives[7].detach(), others[1][chosen])  # the same for all queries
    T, effective, losses = 0.2, 256, []
    for i in range(8):
        own = [j for j in range(8) if j != i]
        margin = T * math.log(effective / len(chosen))
        positive = ((q[i] @ k[i] - margin) / T).exp()
        negatives = sum((q[i] @ k[own[c]] / T).exp() for c in chosen)
        texture = (2 * (t[i] @ q[i]) / T).exp().sum() * math.exp(-margin / T)  # no part of the margin
        losses.append(-(positive / (positive + negatives + texture)).log())
    loss = Objective(simo.Config.loss)((s,))
    assert_same_step(method, loss, reference, torch.stack(losses).mean())


def test_the_draw_changes_with_the_step_alone(build, make_batch):
    method, again = build(simo.Config(keys=3))
    b = make_batch()
    same, other = again(b)[0].negatives, again(b._replace(step=4))[0].negatives
    assert torch.equal(method(b)[0].negatives, same)
    assert not torch.equal(same, other)


def test_the_key_network_follows(build, make_batch):
    method, reference = build(simo.Config(momentum=0.9))
    with torch.no_grad():
        for parameter in method.query.parameters():
            parameter.add_(1.0)
    method.after_step()
    for key, before in zip(method.key.parameters(), reference.key.parameters(), strict=True):
        torch.testing.assert_close(key, before + 0.1)


def test_choosing_it_brings_margin_head_and_initial_scales():
    config = change(PretrainConfig(), method="simo")
    assert config.objective == Objective(InfoNCE(temperature=0.2, alpha=2.0, eqco=256))
    assert config.network.zero_init_last and not change(config, method="moco").network.zero_init_last
    assert not change(PretrainConfig(), method="simo", zero_init_last=False).network.zero_init_last


@pytest.mark.parametrize("keys", [0, 256])
def test_more_keys_than_other_images_are_refused(keys):
    with pytest.raises(InputError, match=f"--keys {keys}: 1 to the 255 other images of a step"):
        change(PretrainConfig(), method="simo", keys=keys, batch=256, data="x").check()
