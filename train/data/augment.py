"""One augmented view of one image in compiled code: crop, flip, colour jitter, grey, blur, solarise.

The operators mean what torchvision v2's functional ones mean on float images, with fixed parameters. Between
them the image is three planes of levels times 256: uint16, or float32 where the resize overshoots. Planes
hold columns in place of rows, for resizing and blurring along a row then add up whole columns.

Shapes: S view side, P numbers of a plane.
"""

import math

import numpy as np
import numpy.typing as npt

from texneg.jit import compiled
from texneg.train.data.colours import (
    CHUNK,
    CONTRAST,
    HALF,
    ORDERS,
    TOP,
    ZERO,
    add_up,
    adjust,
    choose_steps,
    clip,
)
from texneg.train.data.resize import combine, compute_taps, convert, find_stride, resize_rows, round_up
from texneg.train.data.vectors import BLOCK, SIDE, round_level, transpose_block

DEVIATIONS = 3  # the blur's kernel ends here


def allocate(plan: npt.NDArray[np.float64], side: int) -> npt.NDArray[np.uint16] | npt.NDArray[np.float32]:
    """Allocate the memory that `augment` works in for the plans of a batch."""
    width, radius = int(plan[:, 3].max()), math.ceil(DEVIATIONS * plan[:, 11].max())
    size = measure_columns(width, side) + 3 * measure_plane(side, radius)
    return np.empty(size, np.float32 if plan[:, 13].any() else np.uint16)


@compiled()
def copy(source, out):  # type: ignore[no-untyped-def]
    """Copy numbers."""
    for i in range(np.uint64(out.size)):
        out[i] = source[i]


@compiled()
def measure_columns(width, S):  # type: ignore[no-untyped-def]
    """Compute the numbers of the columns of a crop; a view fits in, too."""
    return max(round_up(3 * width) * find_stride(S) + BLOCK, 2 * S * S)


@compiled()
def measure_plane(S, radius):  # type: ignore[no-untyped-def]
    """Compute the numbers of a plane with `radius` unused ones on every side."""
    return round_up((S + 2 * radius) * (S + 2 * radius)) + CHUNK + BLOCK


@compiled()
def augment(image, plan, out, memory):  # type: ignore[no-untyped-def]
    """Write one view of a uint8 (H, W, 3) image into uint8 (S, S, 3).

    Args:
        image: as it was decoded.
        plan: a row of `views.Plan`.
        out: the view.
        memory: of `allocate`.
    """
    S = out.shape[0]
    radius = int(min(math.ceil(DEVIATIONS * plan[11]), S - 1, plan[14]))
    size, P = measure_columns(int(plan[3]), S), measure_plane(S, radius)
    columns, planes = memory[:size], memory[size : size + 3 * P]
    resize_rows(image, plan, S, columns)
    split = 0
    while ORDERS[int(plan[9]), split] != CONTRAST:
        split += 1
    mean = resize_columns(columns, plan, split, S, radius, planes)
    view = columns.view(np.uint8)[: out.size]  # columns go to memory at hand, and the whole view from there
    write_view(planes, plan, split, mean, radius, S, view)
    copy(view, out.reshape(-1))


@compiled()
def resize_columns(columns, plan, split, S, radius, planes):  # type: ignore[no-untyped-def]
    """Resize columns to planes, and take the steps before contrast, at `split`; return the mean grey value.

    Column x of a plane begins at (x + radius) stride and has `radius` zeros at either end until the blur.
    """
    P, stride, step = planes.size // 3, S + 2 * radius, find_stride(S)
    begin, done = radius * stride, 0
    first, end, across = compute_taps(int(plan[3]), S, plan[13] > 0)
    taps, weights = across.shape[1], convert(across, planes)
    chunks, sums = np.empty(6 * CHUNK, np.float32), np.zeros(CHUNK, np.int32)
    steps, summed = choose_steps(plan, 0, split), plan[5 + CONTRAST] != 1
    for c in range(3):
        planes[c * P + begin : c * P + begin + radius] = 0
    for x in range(S):
        o, at = S - 1 - x if plan[4] > 0 else x, begin + x * stride + radius
        for c in range(3):
            source = (3 * first[o] + c) * step
            combine(planes, c * P + at, S, weights, o * taps, end[o] - first[o], columns, source, 3 * step)
            if plan[13] > 0:  # the bicubic filter overshoots at edges
                clip_column(planes, np.uint64(c * P + at), np.uint64(S))
            for i in range(c * P + at + S, (c + 1) * P if x == S - 1 else c * P + at + stride):
                planes[np.uint64(i)] = 0
        while done + CHUNK <= (x + 1) * stride or (x == S - 1 and done < S * stride):
            adjust(planes, begin + done, plan, steps, ZERO, chunks)
            if summed:
                add_up(planes, np.uint64(begin + done), np.uint64(P), sums)
            done += CHUNK
    return np.float32(sums.sum() / (S * S))


@compiled()
def clip_column(planes, at, n):  # type: ignore[no-untyped-def]
    """Clip a column to the levels."""
    for i in range(n):
        planes[at + i] = clip(np.float32(planes[at + i]))


@compiled()
def write_view(planes, plan, split, mean, radius, S, view):  # type: ignore[no-untyped-def]
    """Take the steps from `split` on, `mean` being the mean grey value, blur, and write a view."""
    P, done = planes.size // 3, 0
    stride, length, channels = S + 2 * radius, round_up(S), 1 if plan[10] > 0 else 3
    begin, chunks, steps = radius * stride, np.empty(6 * CHUNK, np.float32), choose_steps(plan, split, 5)
    kernel = convert(compute_kernel(radius, plan[11]), planes)
    across = np.zeros(SIDE * stride + 2 * radius + 2 * BLOCK if radius > 0 else 0, planes.dtype)
    down = np.zeros(across.size, planes.dtype)
    levels = np.empty(3 * SIDE * length, np.uint8)
    for start in range(0, S, SIDE):
        end = min(start + SIDE, S)
        while done < min(end + radius, S) * stride:
            adjust(planes, begin + done, plan, steps, mean, chunks)
            done += CHUNK
        for c in range(channels):
            if radius > 0:
                if start == 0 or end + radius >= S:
                    mirror_columns(planes, c * P, S, radius)
                blur(planes, c * P + start * stride, end - start, S, kernel, across, down)
            for x in range(start, end):
                for channel in range(c, 3 if channels == 1 else c + 1):
                    to = (3 * (x - start) + channel) * length
                    if radius > 0:
                        write_levels(down, (x - start) * stride, length, plan[12] > 0, levels, to)
                    else:
                        write_levels(planes, c * P + x * stride, length, plan[12] > 0, levels, to)
        write_columns(levels, length, 3 * (end - start), view, 3 * start, S)


@compiled()
def write_columns(levels, stride, count, out, to, S):  # type: ignore[no-untyped-def]
    """Write columns of levels, `stride` apart, as columns of the rows (S, 3 S) of a view."""
    for y in range(0, S, SIDE):
        for x in range(0, count, SIDE):
            if y + SIDE <= S and x + SIDE <= count:
                at, here = np.uint64(x * stride + y), np.uint64(y * 3 * S + to + x)
                transpose_block(levels, at, np.uint64(stride), out, here, np.uint64(3 * S))
                continue
            for column in range(x, min(x + SIDE, count)):
                for row in range(y, min(y + SIDE, S)):
                    out[row * 3 * S + to + column] = levels[column * stride + row]


@compiled()
def compute_kernel(radius, sigma):  # type: ignore[no-untyped-def]
    """Compute the weights (2 radius + 1,) of a Gaussian."""
    kernel = np.ones(2 * radius + 1, np.float64)
    for k in range(2 * radius + 1) if radius > 0 else range(0):
        kernel[k] = math.exp(-0.5 * ((k - radius) / sigma) ** 2)
    kernel /= kernel.sum()
    return kernel


@compiled()
def mirror_columns(planes, plane, S, radius):  # type: ignore[no-untyped-def]
    """Copy columns from inside to before the first and behind the last, which are not repeated."""
    stride = S + 2 * radius
    first, last = plane + radius * stride, plane + (radius + S - 1) * stride
    for k in range(1, radius + 1):
        for i in range(stride):
            planes[first - k * stride + i] = planes[first + k * stride + i]
            planes[last + k * stride + i] = planes[last - k * stride + i]


@compiled()
def blur(planes, start, n, S, kernel, across, down):  # type: ignore[no-untyped-def]
    """Blur n columns, the first sum from `start` on: along rows to `across`, then along columns to `down`."""
    radius = kernel.size // 2
    stride = S + 2 * radius
    combine(across, 0, n * stride, kernel, 0, kernel.size, planes, start, stride)
    for x in range(n):
        low, high = x * stride + radius, x * stride + radius + S - 1
        for k in range(1, radius + 1):
            across[low - k], across[high + k] = across[low + k], across[high - k]
    combine(down, 0, n * stride, kernel, 0, kernel.size, across, 0, 1)


@compiled()
def write_levels(values, start, n, solarised, levels, to):  # type: ignore[no-untyped-def]
    """Round n values to 8-bit levels; if solarised, from half of the range up inverted."""
    at, out = np.uint64(start), np.uint64(to)
    if solarised:
        for i in range(np.uint64(n)):
            value = np.float32(values[at + i])
            levels[out + i] = round_level(TOP - value if value >= TOP * HALF else value)
    else:
        for i in range(np.uint64(n)):
            levels[out + i] = round_level(values[at + i])
