"""Resizing in compiled code, and sums of weighted rows, which resizing and blurring consist of.

The vector units do a row's numbers in blocks, and what is left of a row one by one, which takes as long. So rows
end at a whole block where memory allows: what lies there belongs to the next row, and is written before it.
"""

import math

import numpy as np

from texneg.jit import compiled
from texneg.train.data.vectors import BLOCK, SIDE, combine_block, transpose_block


@compiled()
def round_up(n):  # type: ignore[no-untyped-def]
    """Round up to whole blocks."""
    return (n + BLOCK - 1) // BLOCK * BLOCK


@compiled()
def find_stride(S):  # type: ignore[no-untyped-def]
    """Find a distance of columns of S numbers, a multiple of SIDE but not of BLOCK, where the cache's sets repeat."""
    blocks = (S + SIDE - 1) // SIDE
    return SIDE * (blocks + (blocks % 4 == 0))


@compiled()
def weigh(distance, cubic):  # type: ignore[no-untyped-def]
    """Compute a resize filter at this distance from its centre, in pixels of the coarser image."""
    if not cubic:
        return max(0.0, 1.0 - distance)
    if distance < 1:
        return (1.5 * distance - 2.5) * distance * distance + 1
    return ((2.5 - 0.5 * distance) * distance - 4) * distance + 2 if distance < 2 else 0.0


@compiled()
def compute_taps(length, n, cubic):  # type: ignore[no-untyped-def]
    """Compute first and end pixel (n,) and weights (n, taps) of an antialiased resize to n."""
    scale = length / n
    unit = max(scale, 1.0)
    support = 2 * unit if cubic else unit
    first, end = np.zeros(n, np.int64), np.zeros(n, np.int64)
    weights = np.zeros((n, math.ceil(support) * 2 + 1), np.float32)
    for o in range(n):
        centre = (o + 0.5) * scale
        first[o] = max(int(centre - support + 0.5), 0)
        end[o] = min(int(centre + support + 0.5), length)
        total = 0.0
        for i in range(first[o], end[o]):
            total += weigh(abs(i + 0.5 - centre) / unit, cubic)
        for i in range(first[o], end[o]):
            weights[o, i - first[o]] = weigh(abs(i + 0.5 - centre) / unit, cubic) / total
    return first, end, weights


@compiled()
def resize_rows(image, plan, S, columns):  # type: ignore[no-untyped-def]
    """Crop a uint8 (H, W, 3) image and resize its rows to S, as 0 ... 1; write columns (width, 3, S and more)."""
    top, left, height, width = int(plan[0]), int(plan[1]), int(plan[2]), int(plan[3])
    rows, end, down = compute_taps(height, S, plan[13] > 0)
    down /= np.float32(255)
    pixels, step = image.reshape(-1), 3 * image.shape[1]
    length, stride = round_up(3 * width), find_stride(S)
    lines = np.zeros(SIDE * length, np.float32)
    for block in range(0, S, SIDE):
        for o in range(block, min(block + SIDE, S)):
            start, count = (top + rows[o]) * step + 3 * left, end[o] - rows[o]
            combine(lines, (o - block) * length, 3 * width, down[o], count, pixels, start, step)
        for x in range(0, length, SIDE):
            at, to = np.uint64(x), np.uint64(x * stride + block)
            transpose_block(lines, at, np.uint64(length), columns, to, np.uint64(stride))


@compiled()
def combine(out, to, n, weights, count, source, start, step):  # type: ignore[no-untyped-def]
    """Write n sums of weighted rows: weights[k] times the numbers of the source from start + k step on.

    In whole blocks: a little more than n is written where the source goes on.
    """
    ready = min(round_up(n), (source.size - start - (count - 1) * step) // BLOCK * BLOCK)
    here, at = np.uint64(to), np.uint64(start)
    for i in range(np.uint64(0), np.uint64(ready), np.uint64(BLOCK)):
        combine_block(out, here + i, weights, np.uint64(count), source, at + i, np.uint64(step))
    for i in range(ready, n):
        total = np.float32(0)
        for k in range(count):
            total += weights[k] * np.float32(source[start + k * step + i])
        out[to + i] = total
