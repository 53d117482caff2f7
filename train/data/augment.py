"""One augmented view of one image in compiled code: crop, flip, colour jitter, grey, blur, solarise.

The operators mean what torchvision v2's functional ones mean on float images, with fixed parameters; rounding
happens once, at the end. Between the operators the image is three float32 planes in 0 ... 1. They hold columns
in place of rows, for resizing and blurring along a row then add up whole columns; OpenCV transposes there and
back. Columns go through all operators in chunks that the fastest memory holds.

Shapes: S view side, P numbers of a plane.
"""

import math

import numpy as np
import numpy.typing as npt

from texneg.jit import compiled
from texneg.train.data.resize import combine, compute_taps, find_stride, resize_rows, round_up
from texneg.train.data.vectors import BLOCK, SIDE, transpose_block

# The 24 orders of brightness, contrast, saturation and hue.
ORDERS = np.array(
    [[a, b, c, 6 - a - b - c] for a in range(4) for b in range(4) for c in range(4) if len({a, b, c}) == 3],
    np.int64,
)
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
RED, GREEN, BLUE = np.float32(0.2989), np.float32(0.587), np.float32(0.114)
ZERO, HALF, ONE, LEVELS = np.float32(0), np.float32(0.5), np.float32(1), np.float32(255)
LANES = 16
CHUNK = 2048  # numbers of each plane
DEVIATIONS = 3  # the blur's kernel ends here


def measure_memory(plan: npt.NDArray[np.float64], side: int) -> int:
    """Compute the float32 numbers that `augment` needs at most for the plans of a batch."""
    width, radius = int(plan[:, 3].max()), math.ceil(DEVIATIONS * plan[:, 11].max())
    columns, plane = round_up(3 * width) * find_stride(side), side * (side + 2 * radius)
    return int(columns + 3 * (round_up(plane) + CHUNK) + BLOCK)


@compiled()
def augment(image, plan, out, memory):  # type: ignore[no-untyped-def]
    """Write one view of a uint8 (H, W, 3) image into uint8 (S, S, 3).

    Args:
        image: as it was decoded.
        plan: a row of `views.Plan`.
        out: the view.
        memory: `measure_memory` float32 numbers to work in; new ones would take as long as the work.
    """
    S = out.shape[0]
    radius = int(min(math.ceil(DEVIATIONS * plan[11]), S - 1, plan[14]))
    size = round_up(3 * int(plan[3])) * find_stride(S)
    columns, planes = memory[: size + BLOCK], memory[size + BLOCK :]
    planes = planes[: 3 * (round_up(S * (S + 2 * radius)) + CHUNK)]
    resize_rows(image, plan, S, columns)
    order, split = ORDERS[int(plan[9])], 0
    while order[split] != CONTRAST:
        split += 1
    sums = np.zeros(CHUNK, np.float64)
    resize_columns(columns, plan, order[:split], S, radius, planes, sums)
    write_view(planes, plan, order[split:], np.float32(sums.sum() / (S * S)), radius, out)


@compiled()
def resize_columns(columns, plan, steps, S, radius, planes, sums):  # type: ignore[no-untyped-def]
    """Resize columns to planes, and take the steps before contrast; for that add up grey values.

    Column x of a plane begins at x (S + 2 radius) and has `radius` unused numbers at either end, 0 until the blur.
    """
    P, stride, n, done = planes.size // 3, S + 2 * radius, round_up(S), 0
    step = find_stride(S)
    first, end, across = compute_taps(int(plan[3]), S, plan[13] > 0)
    for c in range(3):
        planes[c * P : c * P + radius] = ZERO
    for x in range(S):
        o = S - 1 - x if plan[4] > 0 else x
        for c in range(3):
            to = c * P + x * stride + radius
            combine(planes, to, n, across[o], end[o] - first[o], columns, (3 * first[o] + c) * step, 3 * step)
            if plan[13] > 0:  # the bicubic filter overshoots at edges
                brighten(planes, to, n, ONE, ZERO)
            for i in range(to + S, (c + 1) * P if x == S - 1 else to + stride):
                planes[np.uint64(i)] = ZERO
        while done + CHUNK <= (x + 1) * stride or (x == S - 1 and done < S * stride):
            adjust(planes, done, plan, steps, ZERO)
            if plan[5 + CONTRAST] != 1:
                add_up(planes, np.uint64(done), np.uint64(P), sums)
            done += CHUNK


@compiled()
def write_view(planes, plan, steps, mean, radius, out):  # type: ignore[no-untyped-def]
    """Take the other steps, `mean` being the mean grey value, make grey, blur, and write the levels of a view."""
    S, P, done = out.shape[0], planes.size // 3, 0
    stride, n, channels = S + 2 * radius, round_up(S), 1 if plan[10] > 0 else 3
    kernel = compute_kernel(radius, plan[11])
    across = np.zeros(round_up(SIDE * stride) + 3 * BLOCK, np.float32)
    down = np.zeros(across.size, np.float32)
    levels = np.empty(3 * SIDE * n, np.uint8)
    for start in range(0, S, SIDE):
        end = min(start + SIDE, S)
        while done < min(end + radius, S) * stride:
            adjust(planes, done, plan, steps, mean)
            if channels == 1:
                make_grey(planes, np.uint64(done), np.uint64(P))
            done += CHUNK
        for c in range(channels):
            if radius > 0:
                blur(planes, c * P, start, end, S, kernel, across, down)
            for x in range(start, end):
                for copy in range(c, 3 if channels == 1 else c + 1):
                    to = (3 * (x - start) + copy) * n
                    if radius > 0:
                        write_levels(down, (x - start) * stride, n, plan[12] > 0, levels, to)
                    else:
                        write_levels(planes, c * P + x * stride, n, plan[12] > 0, levels, to)
        write_columns(levels, n, 3 * (end - start), out.reshape(-1), 3 * start, S)


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
def adjust(planes, at, plan, steps, mean):  # type: ignore[no-untyped-def]
    """Adjust the colours of a chunk in these steps; `mean` is the mean grey value."""
    P = planes.size // 3
    for which in steps:
        factor = np.float32(plan[5 + which])
        if (which == BRIGHTNESS or which == CONTRAST) and factor != ONE:
            rest = (ONE - factor) * mean if which == CONTRAST else ZERO
            for c in range(3):
                brighten(planes, c * P + at, CHUNK, factor, rest)
        elif which == SATURATION and factor != ONE:
            saturate(planes, np.uint64(at), np.uint64(P), factor)
        elif which == HUE and factor != ZERO:
            turn_hue(planes, np.uint64(at), np.uint64(P), factor)


@compiled()
def clip(x):  # type: ignore[no-untyped-def]
    """Clip to 0 ... 1."""
    return min(max(x, ZERO), ONE)


@compiled()
def brighten(planes, at, n, factor, rest):  # type: ignore[no-untyped-def]
    """Multiply by the factor, and add the rest."""
    at = np.uint64(at)
    for i in range(np.uint64(n)):
        planes[at + i] = clip(factor * planes[at + i] + rest)


@compiled()
def add_up(planes, red, P, sums):  # type: ignore[no-untyped-def]
    """Add the grey values of a chunk to sums; doubles hold them exactly, in whatever order."""
    green, blue = red + P, red + P + P
    for i in range(np.uint64(CHUNK)):
        sums[i] += RED * planes[red + i] + GREEN * planes[green + i] + BLUE * planes[blue + i]


@compiled()
def saturate(planes, red, P, factor):  # type: ignore[no-untyped-def]
    """Blend with the grey image."""
    green, blue = red + P, red + P + P
    for i in range(np.uint64(CHUNK)):
        r, g, b = planes[red + i], planes[green + i], planes[blue + i]
        grey = (ONE - factor) * (RED * r + GREEN * g + BLUE * b)
        planes[red + i] = clip(factor * r + grey)
        planes[green + i] = clip(factor * g + grey)
        planes[blue + i] = clip(factor * b + grey)


@compiled()
def make_grey(planes, red, P):  # type: ignore[no-untyped-def]
    """Write the grey image in place of red."""
    green, blue = red + P, red + P + P
    for i in range(np.uint64(CHUNK)):
        planes[red + i] = clip(RED * planes[red + i] + GREEN * planes[green + i] + BLUE * planes[blue + i])


@compiled()
def turn_hue(planes, red, P, turn):  # type: ignore[no-untyped-def]
    """Rotate the hue of HSV by `turn` full turns, -1/2 ... 1/2, saturation and value unchanged."""
    green, blue = red + P, red + P + P
    for i in range(np.uint64(CHUNK)):
        r, g, b = planes[red + i], planes[green + i], planes[blue + i]
        top, low = max(r, g, b), min(r, g, b)
        # The place on the colour hexagon, whose sides have the length of the chroma: red at 0, green at 2, blue at 4.
        chroma = top - low
        side, ahead = (b - r, np.float32(2)) if top == g else (r - g, np.float32(4))
        side, ahead = (g - b, ZERO) if top == r else (side, ahead)
        place, around = side + (ahead + np.float32(6) * turn) * chroma, np.float32(6) * chroma
        place = place + around if place < ZERO else place
        place = place - around if place >= around else place
        two = chroma + chroma
        from_cyan, from_green, from_blue = (
            abs(place - (two + chroma)),
            abs(place - two),
            abs(place - (two + two)),
        )
        planes[red + i] = min(max(from_cyan + (low - chroma), low), top)
        planes[green + i] = min(max((low + two) - from_green, low), top)
        planes[blue + i] = min(max((low + two) - from_blue, low), top)


@compiled()
def compute_kernel(radius, sigma):  # type: ignore[no-untyped-def]
    """Compute the weights (2 radius + 1,) of a Gaussian."""
    kernel = np.ones(2 * radius + 1, np.float32)
    for k in range(2 * radius + 1) if radius > 0 else range(0):
        kernel[k] = math.exp(-0.5 * ((k - radius) / sigma) ** 2)
    kernel /= kernel.sum()
    return kernel


@compiled()
def blur(planes, plane, start, end, S, kernel, across, down):  # type: ignore[no-untyped-def]
    """Blur some columns of a plane, mirrored at the edges: along rows to `across`, then along columns to `down`."""
    radius = kernel.size // 2
    stride = S + 2 * radius
    inside = min(max(start, radius), end), max(min(S - radius, end), start)
    for x in range(start, end):
        to = (x - start) * stride
        if x == inside[0] and x < inside[1]:
            n = round_up((inside[1] - x) * stride)
            combine(across, to, n, kernel, kernel.size, planes, plane + (x - radius) * stride, stride)
        if x < inside[0] or x >= inside[1]:
            across[to : to + round_up(stride)] = ZERO
            for k in range(kernel.size):
                at = plane + mirror_index(x + k - radius, S) * stride
                add_weighted(across, to, round_up(stride), kernel[k], planes, at)
    for x in range(end - start):
        low, high = x * stride + radius, x * stride + radius + S - 1
        for k in range(1, radius + 1):
            across[low - k], across[high + k] = across[low + k], across[high - k]
    combine(down, 0, round_up((end - start) * stride), kernel, kernel.size, across, 0, 1)


@compiled()
def add_weighted(out, to, n, weight, source, at):  # type: ignore[no-untyped-def]
    """Add a weighted row."""
    to, at = np.uint64(to), np.uint64(at)
    for x in range(np.uint64(n)):
        out[to + x] += weight * source[at + x]


@compiled()
def mirror_index(x, n):  # type: ignore[no-untyped-def]
    """Mirror an index into 0 ... n - 1, the edge pixel not repeated."""
    return abs(x) if x < n else 2 * (n - 1) - x


@compiled()
def write_levels(values, at, n, solarised, levels, to):  # type: ignore[no-untyped-def]
    """Round values to 8-bit levels."""
    if solarised:
        write_solarised(values, np.uint64(at), np.uint64(n), levels, np.uint64(to))
    else:
        write_rounded(values, np.uint64(at), np.uint64(n), levels, np.uint64(to))


@compiled()
def write_rounded(values, at, n, levels, to):  # type: ignore[no-untyped-def]
    """Round values to levels."""
    for i in range(n):
        levels[to + i] = np.uint8(values[at + i] * LEVELS + HALF)


@compiled()
def write_solarised(values, at, n, levels, to):  # type: ignore[no-untyped-def]
    """Round values to levels, inverted from 1/2 up."""
    for i in range(n):
        value = ONE - values[at + i] if values[at + i] >= HALF else values[at + i]
        levels[to + i] = np.uint8(value * LEVELS + HALF)
