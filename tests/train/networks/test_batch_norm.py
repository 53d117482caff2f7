"""Batch norm policies: statistics of groups and of all processes, over the backbones people train."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from texneg.errors import InputError
from texneg.train.networks.backbone import Architecture, Network, initial_weights
from texneg.train.networks.batch_norm import (
    SplitBatchNorm,
    find_places,
    shuffled_pass,
    split_batch_norm,
    synchronise_batch_norm,
)

N, SIDE = 8, 16
NETWORK = Architecture("resnet18", "stride2", 4, (1, 1, 1, 1), dim=6, hidden=8, bn="none", bn_group=4)


def test_split_statistics_are_those_of_the_groups():
    plain = nn.BatchNorm2d(3)
    split = SplitBatchNorm(plain, 4)
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
    network = Network(NETWORK, SIDE)
    split_batch_norm(network, 4)
    network.train()
    x = torch.randn(N, 3, SIDE, SIDE)
    order = np.array([4, 1, 6, 3, 0, 5, 2, 7])
    shuffled = shuffled_pass(network, x, find_places(order, N))
    torch.testing.assert_close(shuffled[order], network(x[order]).detach())
    assert not torch.allclose(shuffled, network(x))


# Batch norm with an activation, with dropout before it, and over the tokens of an image as rows.
BACKBONES = ["mobilenetv3_small_050", "efficientnet_b0", "regnetx_002", "levit_128s", "resnetv2_18"]


@pytest.mark.parametrize("arch", BACKBONES)
def test_a_split_network_passes_each_group_of_images_by_itself(arch):
    with initial_weights(0):
        plain = Network(Architecture(arch, dim=6, hidden=8), 64).double()
    split = copy.deepcopy(plain)
    split_batch_norm(split, 4)
    assert list(split.state_dict()) == list(plain.state_dict())
    x = torch.rand(8, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = torch.cat([copy.deepcopy(plain).train()(part) for part in x.split(4)])
    torch.testing.assert_close(split.train()(x), expected)
    plain.load_state_dict(split.state_dict())
    torch.testing.assert_close(split.eval()(x), plain.eval()(x))


@pytest.mark.parametrize("arch", BACKBONES)
def test_a_synchronised_network_of_one_process_is_the_plain_one(arch):
    with initial_weights(0):
        plain = Network(Architecture(arch, dim=6, hidden=8), 64).double()
    changed = copy.deepcopy(plain)
    synchronise_batch_norm(changed)
    x = torch.rand(4, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(changed.train()(x), plain.train()(x))
    for (name, a), b in zip(changed.state_dict().items(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, msg=name)


def test_the_dropout_of_a_batch_norm_is_kept():
    from timm.layers.norm_act import BatchNormAct2d

    model = nn.Sequential(BatchNormAct2d(3, drop_layer=lambda: nn.Dropout(1.0), act_layer=nn.Sigmoid))
    synchronise_batch_norm(model)
    x = torch.randn(4, 3, 5, 5)
    torch.testing.assert_close(model.eval()(x), torch.sigmoid(x), rtol=1e-4, atol=1e-4)
    assert torch.equal(model.train()(x), torch.full_like(x, 0.5))


class Renormalised(nn.BatchNorm2d):
    """A batch norm of another kind."""


def test_a_batch_norm_that_does_more_is_refused():
    for change in (synchronise_batch_norm, lambda model: split_batch_norm(model, 4)):
        network = Network(NETWORK, SIDE)
        network.backbone.bn1 = Renormalised(4)
        with pytest.raises(InputError, match="Renormalised; use --bn none"):
            change(network)


def test_frozen_batch_norm_keeps_its_statistics_in_training():
    frozen = Architecture("resnet18", "stride1", 8, (1, 1, 1, 1), dim=4, bn="frozen", init="weights.pth")
    network = Network(frozen, 32, "byol")
    images = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before = copy.deepcopy(network.state_dict())
    expected = network.eval().backbone(images)
    network.train()(images).sum().backward()
    torch.testing.assert_close(network.backbone(images), expected)
    norms = [name for name in before if "running" in name]
    moved = {name for name in norms if not torch.equal(before[name], network.state_dict()[name])}
    assert moved == {name for name in norms if name.startswith("head.")}
    assert all(p.grad is not None for p in network.parameters())


def test_frozen_batch_norm_needs_statistics():
    with pytest.raises(InputError, match="--bn frozen keeps the statistics of --init"):
        Architecture(bn="frozen").check(64, 1)
