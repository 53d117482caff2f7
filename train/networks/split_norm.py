"""Batch norm of groups of consecutive images, as one differentiable operation of torch.

`torch.ops.texneg.split_norm` and its gradient are compiled code on the CPU, Triton kernels on a CUDA device
that runs them, and torch's batch norm group by group elsewhere. Half precision is computed in float32.

Shapes: N batch, G groups, C channels.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from texneg.devices import runs_triton
from texneg.layout import is_channels_last

LIBRARY = torch.library.Library("texneg", "FRAGMENT")
LIBRARY.define(
    "split_norm(Tensor x, Tensor weight, Tensor bias, Tensor(a!) running_mean, Tensor(b!) running_var,"
    " int groups, float momentum, float eps) -> (Tensor, Tensor, Tensor)"
)
LIBRARY.define(
    "split_norm_backward(Tensor dy, Tensor x, Tensor weight, Tensor mean, Tensor rstd)"
    " -> (Tensor, Tensor, Tensor)"
)

Three = tuple[Tensor, Tensor, Tensor]


def split_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    *,
    groups: int,
    momentum: float,
    eps: float,
) -> Tensor:
    """Normalise each of G groups of consecutive images by its own statistics.

    Args:
        x: (N, C, ...); the result has its memory format.
        weight: (C,).
        bias: (C,).
        running_mean: (C,); moves towards the mean of the groups' means, in place.
        running_var: (C,); moves towards the mean of their unbiased variances, in place.
        groups: G, a divisor of N.
        momentum: share by which the running statistics move.
        eps: added to the variance.
    """
    return _SplitNorm.apply(x, weight, bias, running_mean, running_var, groups, momentum, eps)


class _SplitNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, *others: Any) -> Tensor:
        if not (x.is_contiguous() or is_channels_last(x)):
            x = x.contiguous()
        y, mean, rstd = torch.ops.texneg.split_norm(x, weight, *others)
        ctx.save_for_backward(x, weight, mean, rstd)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        return *torch.ops.texneg.split_norm_backward(dy, *ctx.saved_tensors), *[None] * 5


# The two operations on each kind of device. Statistics (G, C) are returned for the gradient.


@torch.library.impl(LIBRARY, "split_norm", "CPU")
def _on_cpu(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    var: Tensor,
    groups: int,
    momentum: float,
    eps: float,
) -> Three:
    from texneg.train.networks import split_cpu  # compiles, for those who use it

    stored, computed = _cpu_dtypes(x)
    y, means, rstds, variances = split_cpu.forward(
        x.to(stored), weight.to(computed), bias.to(computed), groups=groups, eps=eps
    )
    _move(mean, var, means, variances, momentum)
    return y.to(x.dtype), means, rstds


@torch.library.impl(LIBRARY, "split_norm_backward", "CPU")
def _backward_on_cpu(dy: Tensor, x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor) -> Three:
    from texneg.train.networks import split_cpu

    stored, computed = _cpu_dtypes(x)
    dx, dweight, dbias = split_cpu.backward(
        _as_stored(dy, x).to(stored), x.to(stored), weight.to(computed), mean, rstd
    )
    return dx.to(x.dtype), dweight.to(weight.dtype), dbias.to(weight.dtype)


@torch.library.impl(LIBRARY, "split_norm", "CUDA")
def _on_cuda(x: Tensor, *others: Any) -> Three:
    if not _in_triton(x):
        return normalise_by_group(x, *others)
    from texneg.train.networks import split_cuda  # imports Triton

    return split_cuda.forward(x, *others)


@torch.library.impl(LIBRARY, "split_norm_backward", "CUDA")
def _backward_on_cuda(dy: Tensor, x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor) -> Three:
    if not _in_triton(x):
        return backward_by_group(dy, x, weight, mean, rstd)
    from texneg.train.networks import split_cuda

    return split_cuda.backward(_as_stored(dy, x), x, weight, mean, rstd)


@torch.library.impl(LIBRARY, "split_norm", "CompositeExplicitAutograd")
def normalise_by_group(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    var: Tensor,
    groups: int,
    momentum: float,
    eps: float,
) -> Three:
    """Run torch's batch norm on each group."""
    means, variances = mean.new_zeros(2, groups, len(mean))
    parts = [
        torch.native_batch_norm(part, weight, bias, m, v, True, 1.0, eps)
        for part, m, v in zip(x.chunk(groups), means, variances, strict=True)
    ]
    _move(mean, var, means, variances, momentum)
    y, saved_means, rstds = zip(*parts, strict=True)
    return _as_stored(torch.cat(y), x), torch.stack(saved_means), torch.stack(rstds)


@torch.library.impl(LIBRARY, "split_norm_backward", "CompositeExplicitAutograd")
def backward_by_group(dy: Tensor, x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor) -> Three:
    """Run the gradient of torch's batch norm on each group."""
    parts = [
        torch.ops.aten.native_batch_norm_backward(
            dy_part, x_part, weight, None, None, m, r, True, 0.0, [True, True, True]
        )
        for dy_part, x_part, m, r in zip(dy.chunk(len(mean)), x.chunk(len(mean)), mean, rstd, strict=True)
    ]
    dx, dweight, dbias = zip(*parts, strict=True)
    return _as_stored(torch.cat(dx), x), torch.stack(dweight).sum(0), torch.stack(dbias).sum(0)


@torch.library.impl(LIBRARY, "split_norm", "Meta")
def _shapes(
    x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, groups: int, *_: float
) -> Three:
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    statistics = x.new_empty(groups, len(mean), dtype=dtype)
    return torch.empty_like(x), statistics, torch.empty_like(statistics)


@torch.library.impl(LIBRARY, "split_norm_backward", "Meta")
def _backward_shapes(dy: Tensor, x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor) -> Three:
    return torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)


def _cpu_dtypes(x: Tensor) -> tuple[torch.dtype, torch.dtype]:
    """Of x in memory, and of arithmetic and statistics."""
    if x.dtype in (torch.float64, torch.bfloat16):
        return x.dtype, torch.float64 if x.dtype == torch.float64 else torch.float32
    return torch.float32, torch.float32


def _in_triton(x: Tensor) -> bool:
    return x.dtype in (torch.float32, torch.float16, torch.bfloat16) and runs_triton(x.device)


def _as_stored(y: Tensor, x: Tensor) -> Tensor:
    """Return y with the strides of x."""
    return y if y.stride() == x.stride() else torch.empty_like(x).copy_(y)


def _move(mean: Tensor, var: Tensor, means: Tensor, variances: Tensor, momentum: float) -> None:
    """Move running statistics towards the mean over the groups."""
    mean.lerp_(means.mean(0), momentum)
    var.lerp_(variances.mean(0), momentum)
