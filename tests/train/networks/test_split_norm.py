"""Batch norm of groups equals torch's batch norm of each group in float64, by every executor."""

import importlib.util
from itertools import product

import pytest
import torch
from torch.nn import functional as F

from texneg.train.networks import split_cpu, split_norm
from texneg.train.networks.split_norm import backward_by_group, normalise_by_group

EPS, MOMENTUM = 1e-5, 0.1
EXECUTORS = ["operation", "group by group"]
EXECUTORS += ["triton"] if importlib.util.find_spec("triton") else []
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 1e-2}

# Images, channels, sizes; groups.
CASES = {
    "rows of several chunks": ((8, 70, 13, 11), 2),
    "more channels than a block": ((6, 1030, 2, 3), 3),
    "one pixel": ((8, 5, 1, 1), 2),
    "vectors": ((64, 7), 4),
    "tokens": ((6, 33, 9), 3),
    "groups of two": ((6, 3, 4, 4), 3),
    "one group": ((4, 3, 40, 52), 1),
}
LAYOUTS = ["channels last", "contiguous"]


def in_layout(x, layout):
    if layout == "channels last":
        return x.movedim(1, -1).contiguous().movedim(-1, 1)
    return torch.stack([x, x], dim=-1)[..., 0] if layout == "strided" else x


def draw(shape, dtype=torch.float32, seed=0):
    """Input far from zero mean, its gradient, weight, bias."""
    generator = torch.Generator().manual_seed(seed)
    x, dy = (torch.randn(shape, dtype=torch.float64, generator=generator) for _ in "xy")
    scale = torch.rand(shape[1], dtype=torch.float64, generator=generator) + 0.5
    x = x * scale.view(-1, *[1] * (x.ndim - 2)) + 5
    parameters = torch.float32 if dtype == torch.bfloat16 else dtype
    bias = torch.randn(shape[1], dtype=torch.float64, generator=generator)
    return x.to(dtype), dy.to(dtype), scale.flip(0).to(parameters), bias.to(parameters)


def reference(x, dy, weight, bias, groups):
    """Output, gradients and running statistics in float64."""
    x, weight, bias = (t.detach().double().requires_grad_() for t in (x, weight, bias))
    means, variances = torch.zeros(2, groups, x.shape[1], dtype=torch.float64)
    y = torch.cat(
        [
            F.batch_norm(part, m, v, weight, bias, True, 1.0, EPS)
            for part, m, v in zip(x.chunk(groups), means, variances, strict=True)
        ]
    )
    y.backward(dy.double())
    statistics = MOMENTUM * means.mean(0), 1 - MOMENTUM + MOMENTUM * variances.mean(0)
    return y.detach(), x.grad, weight.grad, bias.grad, *statistics


def compute(executor, x, dy, weight, bias, groups):
    """The same by an executor."""
    running = torch.zeros_like(weight), torch.ones_like(weight)
    if executor == "operation":
        leaves = [t.detach().requires_grad_() for t in (x, weight, bias)]
        y = split_norm.split_norm(*leaves, *running, groups=groups, momentum=MOMENTUM, eps=EPS)
        y.backward(dy)
        return y.detach(), *(leaf.grad for leaf in leaves), *running
    if executor == "triton":
        from texneg.train.networks import split_cuda

        device = "cuda" if torch.cuda.is_available() else "cpu"
        x, weight, bias, *running = (t.to(device) for t in (x, weight, bias, *running))
        dy = torch.empty_like(x).copy_(dy)
        forward, backward = split_cuda.forward, split_cuda.backward
    else:
        forward, backward = normalise_by_group, backward_by_group
    y, mean, rstd = forward(x, weight, bias, *running, groups, MOMENTUM, EPS)
    return [t.cpu() for t in (y, *backward(dy, x, weight, mean, rstd), *running)]


def assert_equal(found, expected, dtype):
    names = ("y", "dx", "dweight", "dbias", "running mean", "running variance")
    for name, a, b in zip(names, found, expected, strict=False):
        error = (a.double() - b).abs().max() / b.abs().max()
        assert error <= TOLERANCE[dtype], (name, error.item())


@pytest.mark.parametrize(("executor", "layout"), [("operation", "strided"), *product(EXECUTORS, LAYOUTS)])
@pytest.mark.parametrize("case", CASES)
def test_every_shape_and_layout(executor, case, layout):
    shape, groups = CASES[case]
    x, dy, weight, bias = draw(shape)
    x = in_layout(x, layout)
    found = compute(executor, x, dy, weight, bias, groups)
    assert_equal(found, reference(x, dy, weight, bias, groups), torch.float32)
    if layout == "channels last":
        assert found[0].movedim(1, -1).is_contiguous() and found[1].movedim(1, -1).is_contiguous()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("executor", "dtype"),
    [(name, torch.bfloat16) for name in EXECUTORS] + [(name, torch.float64) for name in EXECUTORS[:2]],
)
def test_other_dtypes(executor, dtype, layout):
    x, dy, weight, bias = draw((8, 19, 5, 6), dtype)
    x = in_layout(x, layout)
    found = compute(executor, x, dy, weight, bias, 2)
    assert found[0].dtype == found[1].dtype == dtype and found[2].dtype == weight.dtype
    assert_equal(found, reference(x, dy, weight, bias, 2), dtype)


def test_gradients_are_those_of_finite_differences():
    x, _, weight, bias = draw((6, 3, 2, 2), torch.float64)
    running = torch.zeros_like(weight), torch.ones_like(weight)
    leaves = [t.requires_grad_() for t in (x, weight, bias)]

    def normalise(*leaves):
        return split_norm.split_norm(*leaves, *running, groups=3, momentum=0.1, eps=EPS)

    assert torch.autograd.gradcheck(normalise, leaves)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_number_of_threads_changes_no_bit(layout, monkeypatch):
    x, dy, weight, bias = draw((4, 600, 6, 7))
    x = in_layout(x, layout)
    one = compute("operation", x, dy, weight, bias, 2)
    monkeypatch.setattr(split_cpu, "SHARE", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    many = compute("operation", x, dy, weight, bias, 2)
    assert all(torch.equal(a, b) for a, b in zip(one, many, strict=True))


def test_an_infinity_stays_in_its_group():
    x, dy, weight, bias = draw((8, 3, 4, 4))
    expected = compute("operation", x, dy, weight, bias, 2)[0]
    x[5, 1, 2, 2] = torch.inf
    found = compute("operation", x, dy, weight, bias, 2)[0]
    assert torch.equal(found[:4], expected[:4])
    assert found[4:, 1].isnan().any() and torch.equal(found[4:, ::2], expected[4:, ::2])


def test_a_frozen_norm_and_one_without_gradient():
    x, dy, weight, bias = draw((8, 3, 4, 4))
    running = torch.zeros(3), torch.ones(3)
    x.requires_grad_()
    split_norm.split_norm(x, weight, bias, *running, groups=2, momentum=MOMENTUM, eps=EPS).backward(dy)
    assert_equal([x.grad], [reference(x, dy, weight, bias, 2)[1]], torch.float32)
    with torch.no_grad():
        y = split_norm.split_norm(x, weight, bias, *running, groups=2, momentum=MOMENTUM, eps=EPS)
    assert not y.requires_grad


def test_it_compiles_without_a_break():
    """As `torch.compile` of an encoder needs it: the operation has shapes without data, and moves buffers."""
    x, _, weight, bias = draw((8, 3, 4, 4))

    def layer(x, mean, var):
        return split_norm.split_norm(x, weight, bias, mean, var, groups=2, momentum=0.1, eps=EPS).relu()

    results = []
    for function in (layer, torch.compile(layer, backend="aot_eager", fullgraph=True)):
        leaf, running = x.clone().requires_grad_(), (torch.zeros(3), torch.ones(3))
        function(leaf, *running).square().sum().backward()
        results.append((leaf.grad, *running))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)
