"""Batch norm of groups in Triton: two kernels forward, two backward, statistics in float32.

The first kernel of each pair sums over spans of a group's rows, the second joins the spans of its group and
goes through the rows again. There are no atomic operations. Importing this module imports Triton.

Shapes: N batch, G groups, R values of a channel in a group, S spans of a group, C channels, P pixels of a
channel in an image. In memory, channels are last (G, R, C) or not (N, C, P).
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from texneg.layout import is_channels_last

ROWS, COLUMNS = 64, 64  # rows and channels that a program handles at once, where channels are last
TILE = 2048  # and values, where they are not
PROGRAMS = 2048  # wanted of a kernel
SPANS = 64  # of a group, at most


def forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    groups: int,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise each group and move the running statistics; returns y, the groups' means and 1 / deviations.

    Args:
        x: (N, C, ...), contiguous or channels last; y is like it, the statistics are (G, C) float32.
        weight: (C,), like the three others.
        bias: shift.
        running_mean: changed in place, as is the variance.
        running_var: unbiased.
        groups: G, a divisor of N.
        momentum: share by which the running statistics move.
        eps: added to the variance.
    """
    y = torch.empty_like(x)
    mean, rstd = weight.new_empty(2, groups, len(weight), dtype=torch.float32)
    cut = Cut(x, groups)
    parts = cut.new_parts(x)
    with torch.cuda.device_of(x):
        _moments_kernel[cut.grid](x, parts, *cut.sizes, **cut.constants)
        _normalise_kernel[cut.grid](
            x, y, parts, weight, bias, running_mean, running_var, mean, rstd, momentum, eps, *cut.sizes,
            **cut.constants, MOST=triton.next_power_of_2(cut.spans),
        )  # fmt: skip
    return y, mean, rstd


def backward(
    dy: Tensor, x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight and bias.

    Args:
        dy: gradient of y, with the strides of x.
        x: as given to `forward`, like the weight.
        weight: (C,).
        mean: (G, C), as `forward` returned it, like rstd.
        rstd: (G, C).
    """
    dx, dweight, dbias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)
    cut = Cut(x, len(mean))
    parts = cut.new_parts(x)
    with torch.cuda.device_of(x):
        _products_kernel[cut.grid](dy, x, parts, mean, *cut.sizes, **cut.constants)
        _gradient_kernel[cut.grid](
            dy, x, dx, parts, weight, mean, rstd, dweight, dbias, *cut.sizes,
            **cut.constants, MOST=triton.next_power_of_2(cut.spans),
        )  # fmt: skip
    return dx, dweight, dbias


class Cut:
    """The programs that share a tensor: spans of rows, blocks of channels, groups."""

    def __init__(self, x: Tensor, groups: int) -> None:
        channels, pixels = x.shape[1], x[0, 0].numel()
        rows = len(x) // groups * pixels
        last = is_channels_last(x)
        tile, columns = ROWS, COLUMNS
        if not last:
            tile = min(TILE, triton.next_power_of_2(rows))
            columns = min(TILE // tile, triton.next_power_of_2(channels))
        blocks = triton.cdiv(channels, columns)
        wanted = max(1, min(SPANS, PROGRAMS // (groups * blocks), rows // tile))
        self.span = triton.cdiv(triton.cdiv(rows, wanted), tile) * tile
        self.spans = triton.cdiv(rows, self.span)
        self.grid = (self.spans, blocks, groups)
        self.sizes = groups, self.spans, self.span, rows, channels, pixels
        self.constants = {"LAST": last, "ROWS": tile, "COLUMNS": columns, "num_warps": 8}

    def new_parts(self, x: Tensor) -> Tensor:
        """Make room for two sums of each span: (2, G, S, C)."""
        spans, _, groups = self.grid
        return x.new_empty(2, groups, spans, x.shape[1], dtype=torch.float32)


@triton.jit
def _offsets(group, row, channel, rows, channels, pixels, LAST: tl.constexpr):  # type: ignore[no-untyped-def]
    """Places in memory of rows x channels of a group."""
    start = group.to(tl.int64) * rows * channels
    if LAST:
        return start + row[:, None].to(tl.int64) * channels + channel[None, :]
    image = (row // pixels).to(tl.int64) * channels * pixels + row % pixels
    return start + image[:, None] + channel[None, :] * pixels


@triton.jit
def _place(parts, group, span, channel, spans, channels):  # type: ignore[no-untyped-def]
    """The first sum of spans of a group."""
    return parts + (group * spans + span) * channels + channel


@triton.jit
def _join(parts, group, channel, inside, groups, spans, span, rows, channels, MOST: tl.constexpr):  # type: ignore[no-untyped-def]
    """Mean and sum of squared distances from it, of a group."""
    number = tl.arange(0, MOST)
    there = (number < spans)[:, None] & inside[None, :]
    place = _place(parts, group, number[:, None], channel[None, :], spans, channels)
    means = tl.load(place, mask=there, other=0.0)
    squares = tl.load(place + groups * spans * channels, mask=there, other=0.0)
    count = tl.maximum(tl.minimum(rows - number * span, span), 0).to(tl.float32)[:, None]
    mean = tl.sum(means * count, axis=0) / rows
    distance = means - mean[None, :]
    return mean, tl.sum(squares + distance * distance * count, axis=0)


@triton.jit
def _moments_kernel(  # type: ignore[no-untyped-def]
    x, parts, groups, spans, span, rows, channels, pixels,
    LAST: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Mean of a span and squared distances from it, by way of distances from the first tile's mean."""
    part, group = tl.program_id(0), tl.program_id(2)
    channel = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = channel < channels
    first, end = part * span, tl.minimum(part * span + span, rows)
    row = first + tl.arange(0, ROWS)
    mask = (row < end)[:, None] & inside[None, :]
    value = tl.load(x + _offsets(group, row, channel, rows, channels, pixels, LAST), mask=mask, other=0.0)
    centre = tl.sum(value.to(tl.float32), axis=0) / tl.minimum(ROWS, end - first)
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    square = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(first, end, ROWS):
        row = start + tl.arange(0, ROWS)
        mask = (row < end)[:, None] & inside[None, :]
        value = tl.load(x + _offsets(group, row, channel, rows, channels, pixels, LAST), mask=mask, other=0.0)
        distance = tl.where(mask, value.to(tl.float32) - centre[None, :], 0.0)
        total += distance
        square += distance * distance
    shift = tl.sum(total, axis=0) / (end - first)
    place = _place(parts, group, part, channel, spans, channels)
    tl.store(place, centre + shift, mask=inside)
    squares = tl.maximum(tl.sum(square, axis=0) - shift * shift * (end - first), 0.0)
    tl.store(place + groups * spans * channels, squares, mask=inside)


@triton.jit
def _normalise_kernel(  # type: ignore[no-untyped-def]
    x, y, parts, weight, bias, running_mean, running_var, mean, rstd, momentum, eps,
    groups, spans, span, rows, channels, pixels,
    LAST: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, MOST: tl.constexpr,
):  # fmt: skip
    """Normalise a span; the programs of the first one keep the statistics."""
    part, group = tl.program_id(0), tl.program_id(2)
    channel = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = channel < channels
    own, square = _join(parts, group, channel, inside, groups, spans, span, rows, channels, MOST)
    inverse = 1 / tl.sqrt_rn(square / rows + eps)
    if part == 0:
        tl.store(mean + group * channels + channel, own, mask=inside)
        tl.store(rstd + group * channels + channel, inverse, mask=inside)
        if group == 0:
            means, squares = own, square
            for other in range(1, groups):
                m, s = _join(parts, other, channel, inside, groups, spans, span, rows, channels, MOST)
                means += m
                squares += s
            _move(running_mean + channel, means / groups, momentum, inside)
            _move(running_var + channel, squares / groups / (rows - 1), momentum, inside)
    scale = tl.load(weight + channel, mask=inside, other=0.0).to(tl.float32) * inverse
    shift = tl.load(bias + channel, mask=inside, other=0.0).to(tl.float32) - own * scale
    for start in range(part * span, tl.minimum(part * span + span, rows), ROWS):
        row = start + tl.arange(0, ROWS)
        mask = (row < rows)[:, None] & inside[None, :]
        place = _offsets(group, row, channel, rows, channels, pixels, LAST)
        value = tl.load(x + place, mask=mask, other=0.0).to(tl.float32)
        tl.store(y + place, value * scale[None, :] + shift[None, :], mask=mask)


@triton.jit
def _move(place, target, momentum, inside):  # type: ignore[no-untyped-def]
    """Move values towards a target."""
    old = tl.load(place, mask=inside, other=0.0).to(tl.float32)
    tl.store(place, old + momentum * (target - old), mask=inside)


@triton.jit
def _products_kernel(  # type: ignore[no-untyped-def]
    dy, x, parts, mean, groups, spans, span, rows, channels, pixels,
    LAST: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Sums over a span of the gradients, and of their products with the distances from the mean."""
    part, group = tl.program_id(0), tl.program_id(2)
    channel = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = channel < channels
    centre = tl.load(mean + group * channels + channel, mask=inside, other=0.0)
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    product = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(part * span, tl.minimum(part * span + span, rows), ROWS):
        row = start + tl.arange(0, ROWS)
        mask = (row < rows)[:, None] & inside[None, :]
        place = _offsets(group, row, channel, rows, channels, pixels, LAST)
        gradient = tl.load(dy + place, mask=mask, other=0.0).to(tl.float32)
        value = tl.load(x + place, mask=mask, other=0.0).to(tl.float32)
        total += gradient
        product += gradient * (value - centre[None, :])
    place = _place(parts, group, part, channel, spans, channels)
    tl.store(place, tl.sum(total, axis=0), mask=inside)
    tl.store(place + groups * spans * channels, tl.sum(product, axis=0), mask=inside)


@triton.jit
def _sum_spans(parts, group, channel, inside, groups, spans, channels, MOST: tl.constexpr):  # type: ignore[no-untyped-def]
    """Both sums of a group."""
    number = tl.arange(0, MOST)
    there = (number < spans)[:, None] & inside[None, :]
    place = _place(parts, group, number[:, None], channel[None, :], spans, channels)
    first = tl.load(place, mask=there, other=0.0)
    second = tl.load(place + groups * spans * channels, mask=there, other=0.0)
    return tl.sum(first, axis=0), tl.sum(second, axis=0)


@triton.jit
def _gradient_kernel(  # type: ignore[no-untyped-def]
    dy, x, dx, parts, weight, mean, rstd, dweight, dbias, groups, spans, span, rows, channels, pixels,
    LAST: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, MOST: tl.constexpr,
):  # fmt: skip
    """Gradient of a span; the programs of the first span of the first group sum those of the parameters."""
    part, group = tl.program_id(0), tl.program_id(2)
    channel = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = channel < channels
    total, product = _sum_spans(parts, group, channel, inside, groups, spans, channels, MOST)
    centre = tl.load(mean + group * channels + channel, mask=inside, other=0.0)
    inverse = tl.load(rstd + group * channels + channel, mask=inside, other=0.0)
    if (part == 0) & (group == 0):
        totals, products = total, product * inverse
        for other in range(1, groups):
            t, p = _sum_spans(parts, other, channel, inside, groups, spans, channels, MOST)
            totals += t
            products += p * tl.load(rstd + other * channels + channel, mask=inside, other=0.0)
        tl.store(dbias + channel, totals, mask=inside)
        tl.store(dweight + channel, products, mask=inside)
    scale = tl.load(weight + channel, mask=inside, other=0.0).to(tl.float32) * inverse
    shift, slope = total / rows, product / rows * inverse * inverse
    for start in range(part * span, tl.minimum(part * span + span, rows), ROWS):
        row = start + tl.arange(0, ROWS)
        mask = (row < rows)[:, None] & inside[None, :]
        place = _offsets(group, row, channel, rows, channels, pixels, LAST)
        gradient = tl.load(dy + place, mask=mask, other=0.0).to(tl.float32)
        value = tl.load(x + place, mask=mask, other=0.0).to(tl.float32) - centre[None, :]
        tl.store(dx + place, (gradient - shift[None, :] - value * slope[None, :]) * scale[None, :], mask=mask)
