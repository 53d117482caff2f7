"""Convolutions as products of matrices equal torch's, and small maps of many channels alone get them."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from texneg.train.networks import small_maps
from texneg.train.networks.backbone import Architecture, Network, initial_weights
from texneg.train.networks.small_maps import SmallMapConv2d, replace_convolutions


def outputs(conv, x):
    """Output, and gradients of input and parameters."""
    x = x.detach().requires_grad_()
    y = conv(x)
    weights = torch.arange(y.numel(), dtype=torch.float64).sin().view_as(y).to(y.dtype)
    return y.detach(), *torch.autograd.grad(y, [x, *conv.parameters()], weights)


@st.composite
def convolutions(draw):
    """A convolution and its input, with an output of at least a pixel."""
    kernel, stride = ((draw(st.integers(1, 4)), draw(st.integers(1, 4))) for _ in "ks")
    padding = tuple(draw(st.integers(0, k + 1)) for k in kernel)
    size = [draw(st.integers(max(1, k - 2 * p), 6)) for k, p in zip(kernel, padding, strict=True)]
    inside, outside = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    conv = nn.Conv2d(inside, outside, kernel, stride, padding, bias=draw(st.booleans()), dtype=torch.float64)
    layouts = st.sampled_from([torch.channels_last, torch.contiguous_format])
    x = torch.randn(draw(st.integers(1, 3)), inside, *size, dtype=torch.float64)
    return conv.to(memory_format=draw(layouts)), x.contiguous(memory_format=draw(layouts))


@settings(max_examples=60, deadline=None)
@given(convolutions())
def test_products_equal_the_convolution(case):
    conv, x = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_maps, "LEAST_WEIGHTS", 0)
        patch.setattr(small_maps, "MOST_PIXELS", 10**6)
        patch.setattr(nn.Conv2d, "forward", lambda *_: pytest.fail("torch's convolution was used"))
        made = outputs(SmallMapConv2d(conv), x)
    for value, expected in zip(made, outputs(conv, x), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)


def test_bfloat16_is_as_near_as_the_convolution():
    conv = nn.Conv2d(128, 128, 3, padding=1, bias=False)
    x = torch.randn(8, 128, 1, 2)
    exact = outputs(copy.deepcopy(conv).double(), x.double())
    with torch.autocast("cpu", torch.bfloat16):
        usual, made = outputs(conv, x), outputs(SmallMapConv2d(conv), x)
    assert made[0].dtype == torch.bfloat16 and made[2].dtype == torch.float32
    for value, other, expected in zip(made, usual, exact, strict=True):
        error, usual_error = ((v - expected).norm() / expected.norm() for v in (value, other))
        assert error < 1.6 * usual_error


@pytest.mark.parametrize(
    ("channels", "side", "products"),
    [(256, 2, True), (256, 4, False), (128, 1, True), (128, 2, False), (8, 1, False)],
)
def test_products_are_for_small_maps_of_many_channels(monkeypatch, channels, side, products):
    conv = SmallMapConv2d(nn.Conv2d(channels, channels, 3, padding=1))
    calls = []
    monkeypatch.setattr(small_maps._Products, "apply", lambda x, *_: calls.append(1) or x)
    conv(torch.randn(2, channels, side, side))
    assert bool(calls) == products


def test_a_network_keeps_its_weights_and_names():
    a = Architecture("resnet18", stem="stride2", width=8, layers=(1, 1, 1, 1), dim=8)
    with initial_weights(0):
        network = Network(a, 32)
    before = dict(network.state_dict(keep_vars=True))
    replace_convolutions(network)
    after = network.state_dict(keep_vars=True)
    assert any(isinstance(module, SmallMapConv2d) for module in network.modules())
    assert list(after) == list(before)
    assert all(after[name] is value for name, value in before.items())


def test_what_products_do_not_compute_stays():
    depthwise, dilated = nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 4, 3, dilation=2)
    circular, same = nn.Conv2d(4, 4, 3, padding_mode="circular"), nn.Conv2d(4, 4, 3, padding="same")
    network = nn.Sequential(depthwise, dilated, nn.Sequential(circular, same), nn.Conv2d(4, 4, 1))
    before = list(network.modules())
    replace_convolutions(network)
    assert list(network.modules()) == before
