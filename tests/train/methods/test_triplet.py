"""The truncated triplet method against a plain re-implementation in float64; resolutions and groups."""

import pytest
import torch
from torch.nn import functional as F

from texneg.errors import InputError
from texneg.train.config import PretrainConfig
from texneg.train.flags import change
from texneg.train.methods import byol, triplet
from texneg.train.networks.backbone import Architecture
from texneg.train.objectives import Byol, Objective, TruncatedTriplet


@pytest.mark.parametrize("group", [None, 4])
def test_a_step_is_the_papers_loss(build, make_batch, assert_same_step, group):
    method, reference = build(triplet.Config(group=group))
    b = make_batch()
    views = [reference.normalise(x) for x in (b.query, b.key)]
    p = [F.normalize(reference.predictor(reference.online(x)), dim=1) for x in views]
    with torch.no_grad():
        z = [F.normalize(reference.target(x), dim=1) for x in views]
        t = [F.normalize(reference.target(reference.normalise(x)), dim=1) for x in b.negatives.unbind(1)]
    expected = 0.0
    for here, there in ((p[0], z[1]), (p[1], z[0])):
        for i in range(8):
            company = range(8) if group is None else range(i // 4 * 4, i // 4 * 4 + 4)
            distances = sorted(-2 * (here[i] @ there[j]) for j in company if j != i)[1:3]
            push = sum(2 * 0.7 * (here[i] @ x[i]) for x in t) / 2
            expected += F.relu(2 * -2 * (here[i] @ there[i]) - sum(distances) / 2 + push + 100) / 8
    loss = Objective(TruncatedTriplet(ranks=(2, 3), alpha=0.7))(method(b))
    assert_same_step(method, loss, reference, expected)


def test_with_byols_loss_it_is_byol(build, make_batch):
    objective, b = Objective(Byol(alpha=0.5)), make_batch()
    losses = [objective(build(config)[0](b)) for config in (triplet.Config(), byol.Config())]
    assert torch.equal(*losses)


def test_each_pass_has_a_side_of_its_own_in_the_range_of_its_network(build, make_batch):
    method, _ = build(triplet.Config(shrink_online=96 / 224, shrink_target=128 / 224))
    sides = {"online": [], "target": []}
    for name, seen in sides.items():
        network = getattr(method, name)
        network.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0].shape[-1]))
    for step in range(40):
        method(make_batch(step, count=1))
    assert set(sides["online"]) == set(range(7, 17))  # 96 of 224 is 6.9 of 16
    assert set(sides["target"]) == set(range(10, 17))
    assert len(sides["online"]) == 80 and len(sides["target"]) == 120
    assert sides["online"][0::2] != sides["online"][1::2]


def test_resolutions_are_a_function_of_seed_and_step(build, make_batch):
    method, again = build(triplet.Config(shrink_online=0.5))
    for step in (4, 2):
        again(make_batch(step))
    one, two = (m(make_batch(5))[0].positive for m in (method, again))
    # Running statistics play no part in training mode.
    assert torch.equal(one, two)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"group": 3}, "--group 3: at least 2, and a divisor of --batch 256"),
        ({"group": 8}, "truncated_triplet needs 10 ordinary negatives a query, --method triplet leaves 7"),
        ({"shrink_online": 0.0}, "--shrink-online 0: a share of the side, above 0 and at most 1"),
        ({"shrink_target": 1.5}, r"--shrink-target 1\.5: a share of the side"),
        ({"bn": "split"}, "no keys to hide"),
    ],
    ids=str,
)
def test_what_cannot_be_trained_is_refused(wrong, message):
    config = change(PretrainConfig(), method="triplet", bn="none", data="x")
    config.check()
    with pytest.raises(InputError, match=message):
        change(config, **wrong).check()


def test_a_backbone_for_one_size_is_refused():
    vit = Architecture("vit_tiny_patch16_224", dim=6, hidden=8, bn="none")
    with pytest.raises(
        InputError, match="--shrink-online: --arch vit_tiny_patch16_224 does not take views of 16"
    ):
        triplet.Config(shrink_online=0.5).build(vit, 32, seed=0, steps=1)
    triplet.Config().build(vit, 32, seed=0, steps=1)
