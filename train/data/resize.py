"""Resizing in compiled code, and sums of weighted rows, which resizing and blurring consist of.

Numbers are levels times 256: uint16 for filters without negative weights, else float32. Rows are written in
whole blocks of the vector unit: what lies behind a row belongs to the next one, which is written after it.
"""

import math

import numpy as np

from texneg.jit import compiled
from texneg.train.data.vectors import BLOCK, SIDE, combine_block, transpose_block

WHOLE = 65536.0
"""The weight 1 of uint16 numbers."""


@compiled()
def round_up(n):  # type: ignore[no-untyped-def]
    """Round up to whole blocks."""
    return (n + BLOCK - 1) // BLOCK * BLOCK


@compiled()
def find_stride(S):  # type: ignore[no-untyped-def]
    """Find the distance of columns of S numbers: not whole blocks, which a cache keeps in few places."""
    vectors = (S + SIDE - 1) // SIDE
    return SIDE * (vectors + (vectors % 4 == 0))


@compiled()
def weigh(distance, cubic):  # type: ignore[no-untyped-def]
    """Compute a resize filter at this distance from its centre, in pixels of the coarser image."""
    if not cubic:
        return max(0.0, 1.0 - distance)
    if distance < 1:
        return (1.5 * distance - 2.5) * distance * distance + 1
    return ((2.5 - 0.5 * distance) * distance - 4) * distance + 2 if distance < 2 else 0.0


@compiled(error_model="numpy")
def compute_taps(length, n, cubic):  # type: ignore[no-untyped-def]
    """Compute first and end pixel (n,) and weights (n, taps) of an antialiased resize to n."""
    scale = length / n
    unit = max(scale, 1.0)
    support, per_pixel = 2 * unit if cubic else unit, 1 / unit
    first, end = np.empty(n, np.int64), np.empty(n, np.int64)
    weights = np.zeros((n, math.ceil(support) * 2 + 1), np.float64)
    for o in range(n):
        centre = (o + 0.5) * scale
        first[o] = max(int(centre - support + 0.5), 0)
        end[o] = min(int(centre + support + 0.5), length)
        total = 0.0
        for i in range(first[o], end[o]):
            weights[o, i - first[o]] = weigh(abs(i + 0.5 - centre) * per_pixel, cubic)
            total += weights[o, i - first[o]]
        share = 1 / total
        for k in range(end[o] - first[o]):
            weights[o, k] *= share
    return first, end, weights


@compiled()
def convert(weights, numbers):  # type: ignore[no-untyped-def]
    """Convert weights to the type of the numbers that they are for, in one row."""
    out, given = np.empty(weights.size, numbers.dtype), weights.reshape(-1)
    for i in range(out.size):
        out[i] = min(given[i] * WHOLE + 0.5, WHOLE - 1) if numbers.itemsize == 2 else given[i]
    return out


@compiled()
def resize_rows(image, plan, S, columns):  # type: ignore[no-untyped-def]
    """Crop a uint8 (H, W, 3) image and resize its rows to S; write columns (width, 3, `find_stride`)."""
    top, left, height, width = int(plan[0]), int(plan[1]), int(plan[2]), int(plan[3])
    rows, end, down = compute_taps(height, S, plan[13] > 0)
    taps, weights = down.shape[1], convert(down, columns)
    pixels, step = image.reshape(-1), 3 * image.shape[1]
    if 3 * width < BLOCK:
        pixels = np.append(pixels, np.zeros(BLOCK, np.uint8))
    length, stride = round_up(3 * width), find_stride(S)
    lines = np.zeros(SIDE * length, columns.dtype)
    for block in range(0, S, SIDE):
        for o in range(block, min(block + SIDE, S)):
            to, start, count = (o - block) * length, (top + rows[o]) * step + 3 * left, end[o] - rows[o]
            combine(lines, to, 3 * width, weights, o * taps, count, pixels, start, step)
        for x in range(0, length, SIDE):
            at, to = np.uint64(x), np.uint64(x * stride + block)
            transpose_block(lines, at, np.uint64(length), columns, to, np.uint64(stride))


@compiled()
def combine(out, to, n, weights, first, count, source, start, step):  # type: ignore[no-untyped-def]
    """Write n sums of weighted rows: weights[first + k] times the source's numbers from start + k step on.

    In whole blocks: a little more than n is written where the source goes on; a block at least is there.
    """
    last = min(round_up(n), source.size - start - (count - 1) * step) - BLOCK
    for i in range(0, last + BLOCK, BLOCK):
        more = min(i, last)
        here, at = np.uint64(to + more), np.uint64(start + more)
        combine_block(out, here, weights, np.uint64(first), np.uint64(count), source, at, np.uint64(step))
