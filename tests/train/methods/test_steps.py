"""One step of MoCo and of BYOL: order of operations, batch norm policies, gradients."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from texneg.errors import InputError
from texneg.losses import info_nce
from texneg.similarity import similarities
from texneg.train.config import PretrainConfig
from texneg.train.data.loader import Batch
from texneg.train.methods.byol import BYOL
from texneg.train.methods.moco import MoCo
from texneg.train.networks.batch_norm import SplitBatchNorm, apply_policy, shuffled_pass
from texneg.train.networks.network import Architecture, Network, initial_weights

N, SIDE = 8, 16


def settings(**changes):
    fields = {"data": "x", "batch": N, "queue": 24, "dim": 6, "bn": "none", "bn_group": 4, "momentum": 0.9}
    return PretrainConfig(**fields | changes)


def architecture(head="moco"):
    return Architecture("resnet18", stem="stride2", width=4, layers=(1, 1, 1, 1), head=head, hidden=8, dim=6)


def batch(step=3, count=2, seed=0):
    draw = torch.Generator().manual_seed(seed)
    views = torch.randint(0, 256, (2 + count, N, SIDE, SIDE, 3), generator=draw, dtype=torch.uint8)
    negatives = views[2:].transpose(0, 1) if count else None
    return Batch(views[0], views[1], negatives, torch.arange(N), step)


def moco(**changes):
    return MoCo(settings(**changes), architecture()).train()


def test_a_moco_step_is_the_official_one():
    method = moco(alpha=3.0, temperature=0.3)
    b = batch()
    reference = copy.deepcopy(method)
    q = reference.query(reference.normalise(b.query))
    with torch.no_grad():
        for key, query in zip(reference.key.parameters(), reference.query.parameters(), strict=True):
            key.mul_(0.9).add_(query, alpha=0.1)
        k = reference.key(reference.normalise(b.key))
        t = torch.stack([reference.key(reference.normalise(x)) for x in b.negatives.unbind(1)], 1)
    before = reference.queue.keys.clone()
    expected = info_nce(similarities(q, k, before, t), temperature=0.3, alpha=3.0)

    loss, cosines = method(b)
    torch.testing.assert_close(loss, expected)
    assert set(cosines) == {"positive", "negative", "nonsemantic"}
    # The first N places hold this batch's keys, and nothing of the non-semantic negatives is anywhere.
    torch.testing.assert_close(method.queue.keys[:N], F.normalize(k, dim=1))
    assert torch.equal(method.queue.keys[N:], before[N:])
    assert method.queue.position.item() == N


def test_a_key_is_never_among_its_own_negatives():
    method = moco(negatives="none")
    b = batch(count=0)
    same = b._replace(key=b.query)
    method.eval()  # so that the query and key networks agree on the same image
    before = method.queue.keys.clone()
    _, cosines = method(same)
    q = F.normalize(method.query(method.normalise(b.query)), dim=1)
    torch.testing.assert_close(cosines["positive"], torch.tensor(1.0))
    torch.testing.assert_close(cosines["negative"], (q @ before.T).mean(), rtol=1e-4, atol=1e-6)


def test_gradients_reach_the_query_network_alone():
    method = moco()
    loss, _ = method(batch())
    loss.backward()
    assert all(p.grad is not None for p in method.query.parameters())
    assert method.query.head.fc[0].weight.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in method.key.parameters())
    assert method.key.training


def test_selection_and_eqco_reach_the_loss():
    losses = [
        moco(**changes)(batch())[0].item()
        for changes in ({}, {"hardest": 2}, {"difficulty": (0.5, 1.0)}, {"eqco": 240})
    ]
    everything, hardest, easiest, margin = losses
    assert hardest < everything
    assert easiest < everything
    assert margin > everything


def test_initial_weights_depend_on_the_seed_alone():
    state = torch.get_rng_state()
    one, again, other = moco(seed=4), moco(seed=4), moco(seed=5)
    assert torch.equal(torch.get_rng_state(), state)
    for a, b in zip(one.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(one.query.head.fc[0].weight, other.query.head.fc[0].weight)


def test_split_statistics_are_those_of_the_groups():
    split, plain = SplitBatchNorm(3), nn.BatchNorm2d(3)
    split.group = 4
    with torch.no_grad():
        split.weight.uniform_(0.5, 1.5)
    plain.load_state_dict(split.state_dict())
    x = torch.randn(8, 3, 5, 5)
    expected = torch.cat([plain(part) for part in x.split(4)])
    torch.testing.assert_close(split(x), expected)
    parts = x.split(4)
    mean = torch.stack([part.mean((0, 2, 3)) for part in parts]).mean(0)
    variance = torch.stack([part.transpose(0, 1).flatten(1).var(1) for part in parts]).mean(0)
    torch.testing.assert_close(split.running_mean, 0.1 * mean)
    torch.testing.assert_close(split.running_var, 0.9 + 0.1 * variance)
    split.eval()
    plain.load_state_dict(split.state_dict())
    torch.testing.assert_close(split(x), plain.eval()(x))
    with pytest.raises(ValueError, match="7 does not divide"):
        split.train()(x[:7])


def test_split_hides_the_key_and_one_batch_does_not():
    """With split statistics, key i's neighbours differ from query i's; without, they are the same images."""
    network = Network(architecture())
    apply_policy(network, "split", 4)
    network.train()
    x = torch.randn(N, 3, SIDE, SIDE)
    order = torch.tensor([4, 1, 6, 3, 0, 5, 2, 7])
    shuffled = shuffled_pass(network, x, order)
    torch.testing.assert_close(shuffled[order], network(x[order]).detach())
    assert not torch.allclose(shuffled, network(x))


def test_policies_keep_the_names_of_the_weights():
    plain = Network(architecture())
    for policy in ("split", "sync"):
        changed = Network(architecture())
        apply_policy(changed, policy, 4)
        assert list(changed.state_dict()) == list(plain.state_dict())
        plain.load_state_dict(changed.state_dict())


def test_a_batch_norm_that_does_more_is_refused():
    with pytest.raises(InputError, match="BatchNormAct2d"):
        apply_policy(Network(Architecture("efficientnet_b0", hidden=8)), "split", 4)


def test_byol_is_symmetric_and_only_its_online_side_learns():
    method = BYOL(settings(method="byol", alpha=0.0), architecture("byol"), total=10).train()
    b = batch(count=1)
    swapped = b._replace(query=b.key, key=b.query)
    loss, _ = copy.deepcopy(method)(b)
    torch.testing.assert_close(copy.deepcopy(method)(swapped)[0], loss)
    loss, cosines = method(b)
    loss.backward()
    assert set(cosines) == {"positive", "nonsemantic"}
    for part in (method.online, method.predictor):
        assert all(p.grad is not None for p in part.parameters())
    assert all(p.grad is None for p in method.target.parameters())


def test_byol_loss_is_the_distance_of_normalised_vectors():
    method = BYOL(settings(method="byol", alpha=0.7), architecture("byol"), total=10).train()
    b = batch(count=1)
    with torch.no_grad():
        x1, x2, xn = (method.normalise(x) for x in (b.query, b.key, b.negatives[:, 0]))
        p = [F.normalize(method.predictor(method.online(x)), dim=1) for x in (x1, x2)]
        z = [F.normalize(method.target(x), dim=1) for x in (x1, x2, xn)]
        pull = (p[0] - z[1]).square().sum(1) + (p[1] - z[0]).square().sum(1)
        push = 2 * 0.7 * (p[0] * z[2] + p[1] * z[2]).sum(1)
    torch.testing.assert_close(method(b)[0].detach(), (pull + push).mean())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"arch": "resnet_nope"}, "no such model"),
        ({"arch": "vit_tiny_patch16_224", "width": 8, "stem": "stride1"}, "change ResNets only"),
        ({"arch": "resnet18", "width": 8}, "--stem stride1 or stride2"),
    ],
)
def test_wrong_architectures_are_named(wrong, message):
    with pytest.raises(InputError, match=message):
        Network(Architecture(**wrong))


def test_small_stem_of_full_width_has_the_usual_shapes():
    with initial_weights(0):
        network = Network(Architecture("resnet18", stem="stride1"))
    assert network.backbone.conv1.weight.shape == (64, 3, 3, 3)
    assert network.features == 512
    maps = network.backbone.forward_features(torch.zeros(1, 3, 32, 32))
    assert maps.shape == (1, 512, 4, 4)
    assert {"head.fc.0.weight", "head.fc.2.bias"} <= set(network.state_dict())
