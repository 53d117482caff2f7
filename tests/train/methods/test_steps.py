"""One step of MoCo and of BYOL: order of operations, batch norm policies, gradients."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from texneg.errors import InputError
from texneg.losses import info_nce
from texneg.similarity import similarities
from texneg.train.data.loader import Batch
from texneg.train.engine.loop import mean_cosines
from texneg.train.methods import byol, moco
from texneg.train.methods.byol import target_momentum
from texneg.train.networks.backbone import Architecture, Network, initial_weights
from texneg.train.networks.batch_norm import SplitBatchNorm, apply_policy, shuffled_pass
from texneg.train.objectives import LOSSES, Byol, InfoNCE, Objective, Selection

N, SIDE = 8, 16


NETWORK = Architecture("resnet18", "stride2", 4, (1, 1, 1, 1), dim=6, hidden=8, bn="none", bn_group=4)


def batch(step=3, count=2, seed=0):
    draw = torch.Generator().manual_seed(seed)
    views = torch.randint(0, 256, (2 + count, N, SIDE, SIDE, 3), generator=draw, dtype=torch.uint8)
    negatives = views[2:].transpose(0, 1) if count else None
    return Batch(views[0], views[1], negatives, torch.arange(N), step)


def make_moco(seed=0):
    return moco.Config(queue=24, momentum=0.9).build(NETWORK, seed=seed, steps=10).train()


def make_byol():
    return byol.Config(momentum=0.9).build(NETWORK, seed=0, steps=10).train()


def test_a_moco_step_is_the_official_one():
    """Two steps, since the key network moves between them."""
    method, objective = make_moco(), Objective(InfoNCE(temperature=0.3, alpha=3.0))
    reference = copy.deepcopy(method)
    optimisers = [torch.optim.SGD(m.query.parameters(), lr=0.5) for m in (method, reference)]
    for number in range(2):
        b = batch(seed=number)
        q = reference.query(reference.normalise(b.query))
        with torch.no_grad():
            for key, query in zip(reference.key.parameters(), reference.query.parameters(), strict=True):
                key.mul_(0.9).add_(query, alpha=0.1)
            k = reference.key(reference.normalise(b.key))
            t = torch.stack([reference.key(reference.normalise(x)) for x in b.negatives.unbind(1)], 1)
        before, own = reference.queue.keys.clone(), method.queue.keys.clone()
        expected = info_nce(similarities(q, k, before, t), temperature=0.3, alpha=3.0)
        (parts,) = method(b)
        loss = objective((parts,))
        torch.testing.assert_close(loss, expected)
        assert set(mean_cosines(parts)) == {"positive", "negative", "nonsemantic"}
        assert torch.equal(method.queue.keys, own)
        for one, optimiser in zip((loss, expected), optimisers, strict=True):
            optimiser.zero_grad()
            one.backward()
            optimiser.step()
        method.after_step()
        reference.queue.enqueue(k)
        # The next N places hold this batch's keys, and nothing of the non-semantic negatives is anywhere.
        rows = slice(number * N, (number + 1) * N)
        torch.testing.assert_close(method.queue.keys[rows], F.normalize(k, dim=1))
        torch.testing.assert_close(method.queue.keys, reference.queue.keys)
        assert method.queue.position.item() == (number + 1) * N


def test_a_key_is_never_among_its_own_negatives():
    method = make_moco()
    b = batch(count=0)
    same = b._replace(key=b.query)
    method.eval()  # so that the query and key networks agree on the same image
    before = method.queue.keys.clone()
    cosines = mean_cosines(*method(same))
    q = F.normalize(method.query(method.normalise(b.query)), dim=1)
    torch.testing.assert_close(cosines["positive"], torch.tensor(1.0))
    torch.testing.assert_close(cosines["negative"], (q @ before.T).mean(), rtol=1e-4, atol=1e-6)


def test_gradients_reach_the_query_network_alone():
    method = make_moco()
    Objective()(method(batch())).backward()
    assert all(p.grad is not None for p in method.query.parameters())
    assert method.query.head.fc[0].weight.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in method.key.parameters())
    assert method.key.training


def test_selection_and_eqco_reach_the_loss():
    parts = make_moco()(batch())
    everything, hardest, easiest, margin = (
        objective(parts).item()
        for objective in (
            Objective(),
            Objective(selection=Selection(hardest=2)),
            Objective(selection=Selection(difficulty=(0.5, 1.0))),
            Objective(InfoNCE(eqco=240)),
        )
    )
    assert hardest < everything
    assert easiest < everything
    assert margin > everything


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_falls_on_a_batch_that_stays(loss):
    method, objective, b = make_moco(), Objective(loss()), batch()
    optimiser = torch.optim.SGD(method.query.parameters(), lr=0.05)
    losses = []
    for _ in range(10):
        losses.append(objective(method(b)))
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < losses[0] - 0.01


def test_initial_weights_depend_on_the_seed_alone():
    state = torch.get_rng_state()
    one, again, other = make_moco(4), make_moco(4), make_moco(5)
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
    network = Network(NETWORK)
    apply_policy(network, "split", 4)
    network.train()
    x = torch.randn(N, 3, SIDE, SIDE)
    order = torch.tensor([4, 1, 6, 3, 0, 5, 2, 7])
    shuffled = shuffled_pass(network, x, order)
    torch.testing.assert_close(shuffled[order], network(x[order]).detach())
    assert not torch.allclose(shuffled, network(x))


def test_policies_keep_the_names_of_the_weights():
    plain = Network(NETWORK)
    for policy in ("split", "sync"):
        changed = Network(NETWORK)
        apply_policy(changed, policy, 4)
        assert list(changed.state_dict()) == list(plain.state_dict())
        plain.load_state_dict(changed.state_dict())


def test_a_batch_norm_that_does_more_is_refused():
    with pytest.raises(InputError, match="BatchNormAct2d"):
        apply_policy(Network(Architecture("efficientnet_b0", hidden=8)), "split", 4)


def test_byol_is_symmetric_and_only_its_online_side_learns():
    method, objective = make_byol(), Objective(Byol(alpha=0.0))
    b = batch(count=1)
    swapped = b._replace(query=b.key, key=b.query)
    loss = objective(copy.deepcopy(method)(b))
    torch.testing.assert_close(objective(copy.deepcopy(method)(swapped)), loss)
    parts = method(b)
    objective(parts).backward()
    assert set(mean_cosines(parts[0])) == {"positive", "nonsemantic"}
    for part in (method.online, method.predictor):
        assert all(p.grad is not None for p in part.parameters())
    assert all(p.grad is None for p in method.target.parameters())


def test_byols_target_follows_with_a_momentum_that_rises():
    method = make_byol()
    with torch.no_grad():
        for parameter in method.online.parameters():
            parameter.add_(1.0)
    before = [p.clone() for p in method.target.parameters()]
    method(batch(step=3))
    method.after_step()
    momentum = target_momentum(4, base=0.9, steps=10)
    assert 0.9 < momentum < 1
    for old, new, online in zip(before, method.target.parameters(), method.online.parameters(), strict=True):
        torch.testing.assert_close(new, momentum * old + (1 - momentum) * online)


def test_byol_loss_is_the_distance_of_normalised_vectors():
    method = make_byol()
    b = batch(count=1)
    with torch.no_grad():
        x1, x2, xn = (method.normalise(x) for x in (b.query, b.key, b.negatives[:, 0]))
        p = [F.normalize(method.predictor(method.online(x)), dim=1) for x in (x1, x2)]
        z = [F.normalize(method.target(x), dim=1) for x in (x1, x2, xn)]
        pull = (p[0] - z[1]).square().sum(1) + (p[1] - z[0]).square().sum(1)
        push = 2 * 0.7 * (p[0] * z[2] + p[1] * z[2]).sum(1)
    torch.testing.assert_close(Objective(Byol(alpha=0.7))(method(b)).detach(), (pull + push).mean())


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


def test_an_unknown_head_is_no_other_head():
    with pytest.raises(KeyError, match="simclr"):
        Network(NETWORK, "simclr")


def test_small_stem_of_full_width_has_the_usual_shapes():
    with initial_weights(0):
        network = Network(Architecture("resnet18", stem="stride1"))
    assert network.backbone.conv1.weight.shape == (64, 3, 3, 3)
    assert network.features == 512
    maps = network.backbone.forward_features(torch.zeros(1, 3, 32, 32))
    assert maps.shape == (1, 512, 4, 4)
    assert {"head.fc.0.weight", "head.fc.2.bias"} <= set(network.state_dict())
