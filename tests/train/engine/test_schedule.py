"""Schedules against their closed forms, optimisers against their formulas, the moving average in place."""

import math

import pytest
import torch
from torch import nn

from texneg.train.engine.optimiser import Optimisation, cosine_lr, make_optimiser, set_lr
from texneg.train.methods.base import update_average
from texneg.train.methods.byol import target_momentum
from texneg.train.networks.backbone import Architecture, Network


def test_cosine_has_its_peak_half_and_end():
    assert cosine_lr(0, peak=0.3, total=100) == pytest.approx(0.3)
    assert cosine_lr(50, peak=0.3, total=100) == pytest.approx(0.15)
    assert cosine_lr(100, peak=0.3, total=100) == pytest.approx(0)
    values = [cosine_lr(step, peak=0.3, total=100) for step in range(101)]
    assert values == sorted(values, reverse=True)


def test_cosine_equals_mocos_at_the_first_step_of_each_epoch():
    epochs, steps = 20, 7
    for epoch in range(epochs):
        official = 0.03 * 0.5 * (1.0 + math.cos(math.pi * epoch / epochs))
        assert cosine_lr(epoch * steps, peak=0.03, total=epochs * steps) == pytest.approx(official, rel=1e-12)


def test_warmup_is_linear_and_meets_the_cosine_at_its_peak():
    values = [cosine_lr(step, peak=1.0, total=50, warmup=10) for step in range(51)]
    assert values[:11] == pytest.approx([step / 10 for step in range(11)])
    assert values[30] == pytest.approx(0.5)
    assert values[50] == pytest.approx(0)


def test_byol_momentum_rises_from_base_to_one():
    assert target_momentum(0, base=0.99, steps=80) == pytest.approx(0.99)
    assert target_momentum(40, base=0.99, steps=80) == pytest.approx(0.995)
    assert target_momentum(80, base=0.99, steps=80) == pytest.approx(1)


def test_moving_average_is_in_place_and_leaves_buffers_alone():
    average, source = (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)) for _ in range(2))
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(1.5)
        source[1].running_mean.fill_(7)
    expected = [
        0.9 * a.double() + 0.1 * s.double()
        for a, s in zip(average.parameters(), source.parameters(), strict=True)
    ]
    pointers = [p.data_ptr() for p in average.parameters()]
    buffers = [b.clone() for b in average.buffers()]
    update_average(average, source, 0.9)
    assert [p.data_ptr() for p in average.parameters()] == pointers
    for parameter, value in zip(average.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.double(), value, rtol=0, atol=3e-7)
    assert all(torch.equal(a, b) for a, b in zip(average.buffers(), buffers, strict=True))
    assert average.training


def gradients(module, seed=1):
    draw = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=draw)


def test_lars_step_equals_the_formula():
    module = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3))
    optimizer = make_optimiser(module, Optimisation(optimizer="lars", lr=0.4, weight_decay=0.01))
    state = [(torch.zeros_like(p), p.detach().clone()) for p in module.parameters()]
    for step in range(2):
        gradients(module, step)
        for place, parameter in enumerate(module.parameters()):
            momentum, weight = state[place]
            update = parameter.grad.clone()
            if weight.ndim > 1:
                decayed = update + 0.01 * weight
                trust = 0.001 * weight.norm() / (update.norm() + 0.01 * weight.norm())
                update = trust * decayed
            momentum = 0.9 * momentum + update
            state[place] = momentum, weight - 0.4 * momentum
        optimizer.step()
    for parameter, (_, weight) in zip(module.parameters(), state, strict=True):
        torch.testing.assert_close(parameter.detach(), weight, rtol=1e-4, atol=1e-6)


def test_sgd_decays_every_parameter_as_moco_does():
    module = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3))
    before = [p.detach().clone() for p in module.parameters()]
    optimizer = make_optimiser(module, Optimisation(optimizer="sgd", lr=1.0, weight_decay=0.1))
    set_lr(optimizer, 0.5)
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for parameter, start in zip(module.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.detach(), 0.95 * start)


@pytest.mark.parametrize("optimizer", ["sgd", "lars", "adamw"])
def test_the_backbone_learns_at_its_share_of_the_rate(optimizer):
    network = Network(Architecture("resnet18", "stride1", 8, (1, 1, 1, 1), dim=4, bn="none"), 32)
    made = make_optimiser(network, Optimisation(optimizer=optimizer, lr=0.01, backbone_lr=0.2))
    whole = make_optimiser(network, Optimisation(optimizer=optimizer, lr=0.01))
    set_lr(made, 0.01)
    rates = {p: group["lr"] for group in made.param_groups for p in group["params"]}
    decays = {p: group["weight_decay"] for group in made.param_groups for p in group["params"]}
    assert {rates[p] for p in network.backbone.parameters()} == {0.2 * 0.01}
    assert {rates[p] for p in network.head.parameters()} == {0.01}
    assert decays == {p: group["weight_decay"] for group in whole.param_groups for p in group["params"]}
