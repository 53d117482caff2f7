"""One step of MoCo and of BYOL: order of operations, batch norm policies, gradients."""

import copy

import torch
from torch.nn import functional as F

from texneg.losses import info_nce
from texneg.similarity import similarities
from texneg.train.data.loader import Batch
from texneg.train.engine.step import mean_cosines
from texneg.train.methods import byol, moco
from texneg.train.methods.byol import target_momentum
from texneg.train.networks.backbone import Architecture
from texneg.train.objectives import Byol, InfoNCE, Objective, Selection

N, SIDE = 8, 16


NETWORK = Architecture("resnet18", "stride2", 4, (1, 1, 1, 1), dim=6, hidden=8, bn="none", bn_group=4)


def batch(step=3, count=2, seed=0):
    draw = torch.Generator().manual_seed(seed)
    views = torch.randint(0, 256, (2 + count, N, SIDE, SIDE, 3), generator=draw, dtype=torch.uint8)
    negatives = views[2:].transpose(0, 1) if count else None
    return Batch(views[0], views[1], negatives, torch.arange(N), step)


def make_moco(seed=0):
    return moco.Config(queue=24, momentum=0.9).build(NETWORK, SIDE, seed=seed, steps=10).train()


def make_byol():
    return byol.Config(momentum=0.9).build(NETWORK, SIDE, seed=0, steps=10).train()


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


def test_initial_weights_depend_on_the_seed_alone():
    state = torch.get_rng_state()
    one, again, other = make_moco(4), make_moco(4), make_moco(5)
    assert torch.equal(torch.get_rng_state(), state)
    for a, b in zip(one.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(one.query.head.fc[0].weight, other.query.head.fc[0].weight)


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


def test_half_precision_changes_a_step_by_its_rounding():
    one, other = make_moco(), make_moco()
    other.bfloat16_on = ("cpu",)
    objective = Objective()
    exact, rounded = (objective(method(batch())) for method in (one, other))
    assert rounded.dtype == torch.float32
    assert 0 < abs(rounded - exact) < 0.02 * exact
    rounded.backward()
    assert all(p.grad.dtype == torch.float32 for p in other.query.parameters())
