"""Batch norm of groups in compiled code, for float32, float64 and bfloat16 on the CPU.

A unit of work is one group and a block of its channels. Statistics come from chunks that stay in the cache:
the mean of each, and squared distances from that mean, joined in float64 (Chan, Golub, LeVeque, "Algorithms
for computing the sample variance", 1983). So a group is read from memory once, and its size adds no rounding
error. The number of threads changes no bit. Of bfloat16, only x, y and their gradients are stored as such.

Shapes: N batch, G groups, R values of a channel in a group, C channels, P pixels of a channel in an image. In
memory, channels are last in rows (G, R, C) and not in planes (N, C, P).
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from texneg.jit import compiled
from texneg.layout import is_channels_last
from texneg.train.networks.bfloat16 import as_array, load, store

CHUNK = 16384  # values of a chunk: 64 kB of float32
BLOCK = 512  # channels of a unit, at most
SHARE = 1 << 18  # values that are worth a thread
FAST = {"reassoc", "contract", "nsz"}  # sums in any order; infinities and NaN as ever


def forward(
    x: Tensor, weight: Tensor, bias: Tensor, *, groups: int, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Normalise each group; returns y, the groups' means, 1 / sqrt(variance + eps) and unbiased variances.

    Args:
        x: (N, C, ...), contiguous or channels last; y is like it, and the others are (G, C).
        weight: (C,), of the dtype of x; float32 for bfloat16.
        bias: (C,), likewise.
        groups: G, a divisor of N.
        eps: added to the variance.
    """
    y = torch.empty_like(x)
    statistics = [weight.new_empty(groups, len(weight)) for _ in range(3)]
    arrays = *map(as_array, (x, y, weight, bias)), *(as_array(s).reshape(-1) for s in statistics)
    if is_channels_last(x):
        run(_normalise_rows, x, groups, (*arrays, eps))
    else:
        run(_normalise_planes, x, groups, (*arrays, eps, x[0, 0].numel()))
    mean, rstd, variance = statistics
    return y, mean, rstd, variance


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
    dx, sums = torch.empty_like(x), mean.new_empty(2, *mean.shape)
    arrays = *map(as_array, (dy, x, dx, weight, mean, rstd)), *as_array(sums).reshape(2, -1)
    if is_channels_last(x):
        run(_backward_rows, x, len(mean), arrays)
    else:
        run(_backward_planes, x, len(mean), (*arrays, x[0, 0].numel()))
    dweight, dbias = sums.unbind()
    return dx, dweight.sum(0), dbias.sum(0)


def run(kernel: Callable[..., None], x: Tensor, groups: int, arguments: tuple[Any, ...]) -> None:
    """Call a kernel for all units of x, in as many threads as torch may use and the work is worth."""
    channels = x.shape[1]
    threads = max(1, min(torch.get_num_threads(), x.numel() // SHARE))
    parts = max(-(-threads // groups), -(-channels // BLOCK))  # of the channels
    block = -(-channels // parts)
    units = groups * -(-channels // block)
    ends = [units * t // threads for t in range(threads + 1)]
    others = [
        pool(torch.get_num_threads(), os.getpid()).submit(kernel, *arguments, channels, block, *span)
        for span in pairwise(ends[1:])
    ]
    kernel(*arguments, channels, block, 0, ends[1])
    for other in others:
        other.result()


@lru_cache(maxsize=1)
def pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Make threads that are kept from call to call; a forked process has none of its parent's."""
    return ThreadPoolExecutor(threads, "batch-norm")


@compiled(error_model="numpy", fastmath=FAST)
def _normalise_rows(  # type: ignore[no-untyped-def]
    x, y, weight, bias, mean, rstd, variance, eps, channels, block, first, last
):
    """Units first ... last - 1 of rows (G, R, C)."""
    groups = len(mean) // channels
    rows, step = np.uint64(len(x) // (groups * channels)), np.uint64(channels)
    blocks = (channels + block - 1) // block
    chunk = np.uint64(max(8, CHUNK // min(channels, BLOCK)))
    centre, scale = np.empty(block, weight.dtype), np.empty(block, weight.dtype)
    mean64, square64 = np.empty(block, np.float64), np.empty(block, np.float64)
    for unit in range(first, last):
        group, left = unit // blocks, unit % blocks * block
        count = np.uint64(min(block, channels - left))
        start = np.uint64(group) * rows * step + np.uint64(left)
        mean64[:] = square64[:] = 0
        done = np.uint64(0)
        while done < rows:
            now = min(chunk, rows - done)
            _sum_rows(x, start + done * step, now, step, count, centre)
            for c in range(count):
                centre[c] /= now
            _square_rows(x, start + done * step, now, step, count, centre, scale)
            share = now / (done + now)
            for c in range(count):
                distance = centre[c] - mean64[c]
                mean64[c] += distance * share
                square64[c] += scale[c] + distance * distance * (done * share)
            done += now
        for c in range(count):
            k = group * channels + left + c
            mean[k] = mean64[c]
            variance[k] = square64[c] / (rows - 1)
            rstd[k] = 1 / np.sqrt(square64[c] / rows + eps)
            scale[c] = weight[left + c] * rstd[k]
            centre[c] = bias[left + c] - mean64[c] * scale[c]
        for r in range(rows):
            at = start + r * step
            for c in range(count):
                store(y, at + c, load(x, at + c) * scale[c] + centre[c])


@compiled(error_model="numpy", fastmath=FAST)
def _sum_rows(x, at, rows, step, count, total):  # type: ignore[no-untyped-def]
    """Sums over rows of the channels at ... at + count - 1; four rows at a time, which spares stores."""
    for c in range(count):
        total[c] = 0
    for r in range(rows // np.uint64(4)):
        i = at + np.uint64(4) * r * step
        for c in range(count):
            j = i + c
            k = j + step + step
            total[c] += (load(x, j) + load(x, j + step)) + (load(x, k) + load(x, k + step))
    for r in range(rows // np.uint64(4) * np.uint64(4), rows):
        for c in range(count):
            total[c] += x[at + r * step + c]


@compiled(error_model="numpy", fastmath=FAST)
def _square_rows(x, at, rows, step, count, centre, total):  # type: ignore[no-untyped-def]
    """Sums over rows of squared distances from the centres."""
    for c in range(count):
        total[c] = 0
    for r in range(rows // np.uint64(4)):
        i = at + np.uint64(4) * r * step
        for c in range(count):
            j = i + c
            d0, d1 = load(x, j) - centre[c], load(x, j + step) - centre[c]
            k = j + step + step
            d2, d3 = load(x, k) - centre[c], load(x, k + step) - centre[c]
            total[c] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)
    for r in range(rows // np.uint64(4) * np.uint64(4), rows):
        for c in range(count):
            d = x[at + r * step + c] - centre[c]
            total[c] += d * d


@compiled(error_model="numpy", fastmath=FAST)
def _backward_rows(  # type: ignore[no-untyped-def]
    dy, x, dx, weight, mean, rstd, dweight, dbias, channels, block, first, last
):
    """Units first ... last - 1 of rows (G, R, C)."""
    groups = len(mean) // channels
    rows, step = np.uint64(len(x) // (groups * channels)), np.uint64(channels)
    blocks = (channels + block - 1) // block
    chunk = np.uint64(max(8, CHUNK // min(channels, BLOCK)))
    centre, scale = np.empty(block, weight.dtype), np.empty(block, weight.dtype)
    shift, slope = np.empty(block, weight.dtype), np.empty(block, weight.dtype)
    shift64, slope64 = np.empty(block, np.float64), np.empty(block, np.float64)
    for unit in range(first, last):
        group, left = unit // blocks, unit % blocks * block
        count = np.uint64(min(block, channels - left))
        start = np.uint64(group) * rows * step + np.uint64(left)
        shift64[:] = slope64[:] = 0
        for c in range(count):
            centre[c] = mean[group * channels + left + c]
        done = np.uint64(0)
        while done < rows:
            now = min(chunk, rows - done)
            _sum_products(dy, x, start + done * step, now, step, count, centre, shift, slope)
            for c in range(count):
                shift64[c] += shift[c]
                slope64[c] += slope[c]
            done += now
        for c in range(count):
            k = group * channels + left + c
            r = rstd[k]
            dbias[k] = shift64[c]
            dweight[k] = slope64[c] * r
            shift[c] = shift64[c] / rows
            slope[c] = slope64[c] / rows * r * r
            scale[c] = weight[left + c] * r
        for r in range(rows):
            at = start + r * step
            for c in range(count):
                tilt = (load(x, at + c) - centre[c]) * slope[c]
                store(dx, at + c, (load(dy, at + c) - shift[c] - tilt) * scale[c])


@compiled(error_model="numpy", fastmath=FAST)
def _sum_products(dy, x, at, rows, step, count, centre, total, product):  # type: ignore[no-untyped-def]
    """Sums over rows of the gradients, and of their products with the distances from the centres."""
    for c in range(count):
        total[c] = product[c] = 0
    for r in range(rows // np.uint64(2)):
        i = at + np.uint64(2) * r * step
        for c in range(count):
            j = i + c
            total[c] += load(dy, j) + load(dy, j + step)
            here = load(dy, j) * (load(x, j) - centre[c])
            product[c] += here + load(dy, j + step) * (load(x, j + step) - centre[c])
    for r in range(rows // np.uint64(2) * np.uint64(2), rows):
        for c in range(count):
            j = at + r * step + c
            total[c] += load(dy, j)
            product[c] += load(dy, j) * (load(x, j) - centre[c])


@compiled(error_model="numpy", fastmath=FAST)
def _normalise_planes(  # type: ignore[no-untyped-def]
    x, y, weight, bias, mean, rstd, variance, eps, pixels, channels, block, first, last
):
    """Units first ... last - 1 of planes (N, C, P)."""
    groups = len(mean) // channels
    size, step = np.uint64(pixels), np.uint64(channels * pixels)
    images = np.uint64(len(x) // (groups * channels * pixels))
    blocks, real = (channels + block - 1) // block, weight.dtype.type
    for unit in range(first, last):
        group, left = unit // blocks, unit % blocks * block
        for channel in range(left, min(left + block, channels)):
            k = group * channels + channel
            start = np.uint64(group) * images * step + np.uint64(channel) * size
            mean64, square64 = 0.0, 0.0
            for n in range(images):
                at, total, square = start + n * step, real(0), real(0)
                for p in range(size):
                    total += load(x, at + p)
                centre = real(total / size)
                for p in range(size):
                    square += (load(x, at + p) - centre) * (load(x, at + p) - centre)
                distance = centre - mean64
                mean64 += distance / (n + 1)
                square64 += square + distance * distance * (size * n / (n + 1))
            mean[k] = mean64
            variance[k] = square64 / (images * size - 1)
            rstd[k] = 1 / np.sqrt(square64 / (images * size) + eps)
            scale = weight[channel] * rstd[k]
            shift = real(bias[channel] - mean64 * scale)
            for n in range(images):
                at = start + n * step
                for p in range(size):
                    store(y, at + p, load(x, at + p) * scale + shift)


@compiled(error_model="numpy", fastmath=FAST)
def _backward_planes(  # type: ignore[no-untyped-def]
    dy, x, dx, weight, mean, rstd, dweight, dbias, pixels, channels, block, first, last
):
    """Units first ... last - 1 of planes (N, C, P)."""
    groups = len(mean) // channels
    size, step = np.uint64(pixels), np.uint64(channels * pixels)
    images = np.uint64(len(x) // (groups * channels * pixels))
    blocks, real = (channels + block - 1) // block, weight.dtype.type
    for unit in range(first, last):
        group, left = unit // blocks, unit % blocks * block
        for channel in range(left, min(left + block, channels)):
            k = group * channels + channel
            start = np.uint64(group) * images * step + np.uint64(channel) * size
            centre, r = mean[k], rstd[k]
            shift64, slope64 = 0.0, 0.0
            for n in range(images):
                at, total, product = start + n * step, real(0), real(0)
                for p in range(size):
                    total += load(dy, at + p)
                    product += load(dy, at + p) * (load(x, at + p) - centre)
                shift64 += total
                slope64 += product
            dbias[k] = shift64
            dweight[k] = slope64 * r
            shift, slope = real(shift64 / (images * size)), real(slope64 / (images * size) * r * r)
            scale = weight[channel] * r
            for n in range(images):
                at = start + n * step
                for p in range(size):
                    store(dx, at + p, (load(dy, at + p) - shift - (load(x, at + p) - centre) * slope) * scale)
