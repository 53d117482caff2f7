"""Optimisers against their formulas, a step in parts against the whole one, the limit of the gradient."""

import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import timm
import torch
from torch import nn

from texneg.errors import InputError
from texneg.train.config import PretrainConfig
from texneg.train.data.loader import Batch
from texneg.train.engine.metrics import Meter
from texneg.train.engine.optimiser import Optimisation, limit_gradient, make_optimiser
from texneg.train.engine.step import advance
from texneg.train.flags import change
from texneg.train.methods import byol, memory_bank, moco, triplet
from texneg.train.negatives.negative_pass import NegativePass, Teaching
from texneg.train.networks.backbone import Architecture
from texneg.train.objectives import Objective, TruncatedTriplet

N, SIDE = 8, 16
SPLIT = Architecture("resnet18", "stride2", 4, (1, 1, 1, 1), dim=6, hidden=8, bn="split", bn_group=2)
FROZEN = replace(SPLIT, bn="none")  # of methods that take no groups: statistics as in evaluation


def make_batch(step):
    draw = torch.Generator().manual_seed(step)
    views = torch.randint(0, 256, (4, N, SIDE, SIDE, 3), generator=draw, dtype=torch.uint8)
    return Batch(views[0], views[1], views[2:].transpose(0, 1), torch.randperm(24, generator=draw)[:N], step)


def train(config, network, loss, parts):
    """Three steps in float64, each in so many parts; the state and the mean scalars."""
    method = config.build(network, SIDE, seed=0, steps=10, images=24).double()
    method = method.train() if network.bn == "split" else method.eval()
    optimisation = Optimisation(batch=N, accumulate=parts, optimizer="adamw", lr=0.01, clip_norm=0.5)
    training = SimpleNamespace(
        recorded=None,
        optimisation=optimisation,
        epoch_steps=5,
        step=0,
        total=100,
        optimiser=make_optimiser(method, optimisation),
        objective=Objective(loss),
        method=method,
        meter=Meter(),
        batches=SimpleNamespace(recorded=None, complete=lambda batch, negatives: batch),
        teaching=Teaching(NegativePass(), 5),
        device=torch.device("cpu"),
        identity={"seed": 0},
    )
    for step in range(3):
        advance(training, method, make_batch(step))
    return method.state_dict(), training.meter.read()


@pytest.mark.parametrize(
    ("config", "network"),
    [
        (moco.Config(queue=24, momentum=0.9), SPLIT),
        (moco.Config(queue=24, momentum=0.9, symmetric=True), SPLIT),
        (memory_bank.Config(keys=20), SPLIT),
        (byol.Config(momentum=0.9), FROZEN),
        (triplet.Config(momentum=0.9, group=4, shrink_target=0.6), FROZEN),
    ],
    ids=["moco", "symmetric", "memory_bank", "byol", "triplet"],
)
def test_a_step_in_parts_is_the_whole_step(config, network):
    loss = TruncatedTriplet(ranks=(1, 3)) if config.name == "triplet" else config.loss
    state, scalars = train(config, network, loss, 1)
    for parts in (2, 4)[: 1 if config.name == "triplet" else 2]:
        mine, read = train(config, network, loss, parts)
        assert read == pytest.approx(scalars, rel=1e-9)
        for name, expected in state.items():
            # With two passes a part, running statistics meet the parts in another order.
            interleaved = getattr(config, "symmetric", False) and "query" in name and "running" in name
            if not (interleaved or name.endswith("num_batches_tracked")):
                torch.testing.assert_close(mine[name], expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"accumulate": 0}, "--accumulate 0: at least 1"),
        ({"accumulate": 3}, "--accumulate 3: must divide the 8 images of a process"),
        ({"accumulate": 4, "bn_group": 4}, "--bn-group 4: must divide the 2 images of a process, or with"),
        ({"accumulate": 2, "method": "simo"}, "--method simo compares the images of a step with one another"),
        ({"accumulate": 2, "method": "simclr", "bn": "none"}, "use --accumulate 1 and a smaller --batch"),
        ({"accumulate": 2, "method": "triplet", "bn": "none"}, "use --group 4, or a divisor of it"),
        ({"betas": (0.9, 1.0), "optimizer": "adamw"}, r"--betas 0\.9 1\.0: two numbers"),
        ({"betas": (0.9, 0.95)}, "--betas belong to --optimizer adamw, not to sgd"),
        ({"clip_norm": 0.0}, "--clip-norm 0.0: above 0"),
        ({"clip_norm": float("nan")}, "--clip-norm nan"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(flags, message):
    config = change(PretrainConfig(), batch=8, queue=16, data="x", bn_group=2)
    with pytest.raises(InputError, match=message):
        change(config, **flags).check()


def test_settings_of_runs_made_before_stay_as_they_were():
    settings = PretrainConfig().settings()
    assert not {"accumulate", "betas", "clip_norm"} & settings["optimisation"].keys()
    assert "init" not in settings["network"]
    given = change(PretrainConfig(), accumulate=2, clip_norm=1.0).settings()["optimisation"]
    assert (given["accumulate"], given["clip_norm"]) == (2, 1.0)


def test_adamw_decays_weights_and_neither_bias_nor_norm_nor_tokens():
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=0, depth=1).double()
    before = copy.deepcopy(dict(model.named_parameters()))
    config = Optimisation(optimizer="adamw", lr=0.01, weight_decay=0.1, betas=(0.8, 0.9))
    optimiser = make_optimiser(model, config)
    for p in model.parameters():
        p.grad = torch.full_like(p, 2.0)
    optimiser.step()
    for name, p in model.named_parameters():
        decayed = before[name].ndim > 1 and name not in ("cls_token", "pos_embed")
        # Both averages are corrected for their start, so that the first step is the gradient's sign.
        expected = before[name] * (1 - 0.01 * 0.1 * decayed) - 0.01
        torch.testing.assert_close(p.detach(), expected.detach(), rtol=1e-6, atol=1e-9)
    assert change(PretrainConfig(), optimizer="adamw", lr=0.03).warnings()[0].startswith("--lr 0.03 with")
    assert change(PretrainConfig(), optimizer="adamw", lr=1e-3).warnings() == []


def test_the_gradient_is_scaled_down_to_its_limit_alone():
    layer = nn.Linear(3, 4)
    optimiser = make_optimiser(layer, Optimisation())
    for limit, expected in ((None, 4.0), (5.0, 4.0), (1.0, 1.0)):
        for p in layer.parameters():
            p.grad = torch.ones_like(p)
        assert limit_gradient(optimiser, limit).item() == pytest.approx(4)
        left = torch.cat([p.grad.flatten() for p in layer.parameters()])
        assert left.norm().item() == pytest.approx(expected, rel=1e-5)
