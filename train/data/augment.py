"""One augmented view of one image in compiled code: crop, flip, colour jitter, grey, blur, solarise.

The operators mean what torchvision v2's functional ones mean on float images, with fixed parameters; rounding
happens once, at the end. Between the operators the image is three float32 planes (3, S, S) in 0 ... 1.
"""

import math

import numpy as np

from texneg.jit import compiled

# The 24 orders of brightness, contrast, saturation and hue.
ORDERS = np.array(
    [[a, b, c, 6 - a - b - c] for a in range(4) for b in range(4) for c in range(4) if len({a, b, c}) == 3],
    np.int64,
)
RED, GREEN, BLUE = np.float32(0.2989), np.float32(0.587), np.float32(0.114)
ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
U1, U2, U3 = np.uint64(1), np.uint64(2), np.uint64(3)
LANES = 16
DEVIATIONS = 3  # the blur's kernel ends here


@compiled()
def clip(x):  # type: ignore[no-untyped-def]
    """Clip to 0 ... 1."""
    return min(max(x, ZERO), ONE)


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
def crop_and_resize(image, plan, planes):  # type: ignore[no-untyped-def]
    """Crop a uint8 (H, W, 3) image, resize it to fill the planes, and mirror it if the plan says so."""
    top, left, height, width = int(plan[0]), int(plan[1]), int(plan[2]), int(plan[3])
    S, mirrored, cubic = planes.shape[1], plan[4] > 0, plan[13] > 0
    columns, columns_end, across = compute_taps(width, S, cubic)
    rows, rows_end, down = compute_taps(height, S, cubic)
    taps = (columns_end - columns).max()
    starts = (3 * columns).astype(np.uint64)
    line = np.zeros(3 * (width + taps), np.float32)
    for o in range(S):
        line[: 3 * width] = ZERO
        for y in range(rows[o], rows_end[o]):
            weight = down[o, y - rows[o]] / np.float32(255)
            row = image[top + y].reshape(-1)[3 * left :]
            for x in range(3 * width):
                line[x] += weight * np.float32(row[x])
        resize_line(line, starts, across[:, :taps], planes[0, o], planes[1, o], planes[2, o], mirrored)
        if cubic:  # overshoots at edges
            for x in range(S):
                for c in range(3):
                    planes[c, o, x] = clip(planes[c, o, x])


@compiled()
def resize_line(line, starts, across, red, green, blue, mirrored):  # type: ignore[no-untyped-def]
    """Resize a line of pixels to three lines of channels.

    Every pixel has the same number of taps, the last of weight 0 at times. Indices are unsigned, since numba
    would let signed ones count from the end.
    """
    S = red.size
    for x in range(S):
        r, g, b = ZERO, ZERO, ZERO
        at = starts[x]
        for weight in across[x]:
            r += weight * line[at]
            g += weight * line[at + U1]
            b += weight * line[at + U2]
            at += U3
        to = S - 1 - x if mirrored else x
        red[to], green[to], blue[to] = r, g, b


@compiled()
def luma(planes, i):  # type: ignore[no-untyped-def]
    """Compute the grey value of pixel i of (3, P) planes."""
    return RED * planes[0, i] + GREEN * planes[1, i] + BLUE * planes[2, i]


@compiled()
def brightness(planes, factor):  # type: ignore[no-untyped-def]
    """Multiply by the factor."""
    for c in range(3):
        for i in range(planes.shape[1]):
            planes[c, i] = clip(factor * planes[c, i])


@compiled()
def add_up(values):  # type: ignore[no-untyped-def]
    """Add up values of 0 ... 1, several at a time; a double holds such sums exactly, in whatever order."""
    lanes, whole = np.zeros(LANES, np.float64), values.size // LANES * LANES
    for start in range(0, whole, LANES):
        for k in range(LANES):
            lanes[k] += values[start + k]
    total = lanes.sum()
    for value in values[whole:]:
        total += value
    return total


@compiled()
def contrast(planes, factor):  # type: ignore[no-untyped-def]
    """Blend with the mean grey value."""
    grey = np.empty(planes.shape[1], np.float32)
    for i in range(planes.shape[1]):
        grey[i] = luma(planes, i)
    mean = (ONE - factor) * np.float32(add_up(grey) / planes.shape[1])
    for c in range(3):
        for i in range(planes.shape[1]):
            planes[c, i] = clip(factor * planes[c, i] + mean)


@compiled()
def saturation(planes, factor):  # type: ignore[no-untyped-def]
    """Blend with the grey image; factor 0 makes it grey."""
    red, green, blue = planes[0], planes[1], planes[2]
    for i in range(planes.shape[1]):
        r, g, b = red[i], green[i], blue[i]
        grey = (ONE - factor) * (RED * r + GREEN * g + BLUE * b)
        red[i] = clip(factor * r + grey)
        green[i] = clip(factor * g + grey)
        blue[i] = clip(factor * b + grey)


@compiled(error_model="numpy")
def hue(planes, turn):  # type: ignore[no-untyped-def]
    """Rotate the hue of HSV by `turn` full turns, saturation and value unchanged."""
    red, green, blue = planes[0], planes[1], planes[2]
    for i in range(planes.shape[1]):
        r, g, b = red[i], green[i], blue[i]
        top = max(r, g, b)
        chroma = top - min(r, g, b)
        per = ONE / chroma if chroma > ZERO else ZERO
        sixth = (r - g) * per + np.float32(4)
        sixth = (b - r) * per + np.float32(2) if top == g else sixth
        sixth = (g - b) * per if top == r else sixth
        sixth += np.float32(6) * turn
        # Red, green and blue look at the hexagon from 5, 3 and 1 sixths ahead.
        red[i] = top - chroma * hexagon(sixth + np.float32(5))
        green[i] = top - chroma * hexagon(sixth + np.float32(3))
        blue[i] = top - chroma * hexagon(sixth + np.float32(1))


@compiled(inline="always")
def hexagon(sixths):  # type: ignore[no-untyped-def]
    """Compute the share of the chroma that a channel lacks at this place of the colour hexagon."""
    k = sixths - np.float32(6) * np.floor(sixths * (ONE / np.float32(6)))
    return clip(min(k, np.float32(4) - k))


@compiled()
def blur(planes, sigma, reach):  # type: ignore[no-untyped-def]
    """Blur (3, S, S) planes by a Gaussian, sigma and reach in pixels, mirrored at the edges."""
    S = planes.shape[1]
    radius = int(min(math.ceil(DEVIATIONS * sigma), S - 1, reach))
    kernel = np.empty(2 * radius + 1, np.float32)
    for k in range(2 * radius + 1):
        kernel[k] = math.exp(-0.5 * ((k - radius) / sigma) ** 2)
    kernel /= kernel.sum()
    padded = np.empty(S + 2 * radius, np.float32)
    across = np.empty((S, S), np.float32)
    for c in range(3):
        for y in range(S):
            row = planes[c, y]
            padded[radius : radius + S] = row
            for x in range(1, radius + 1):
                padded[radius - x] = row[x]
                padded[radius + S - 1 + x] = row[S - 1 - x]
            across[y] = ZERO
            for k in range(0, 2 * radius, 2):
                add_two(across[y], kernel[k], padded[k:], kernel[k + 1], padded[k + 1 :])
            add_one(across[y], kernel[2 * radius], padded[2 * radius :])
        for y in range(S):
            planes[c, y] = ZERO
            for k in range(0, 2 * radius, 2):
                first, second = mirror_index(y + k - radius, S), mirror_index(y + k + 1 - radius, S)
                add_two(planes[c, y], kernel[k], across[first], kernel[k + 1], across[second])
            add_one(planes[c, y], kernel[2 * radius], across[mirror_index(y + radius, S)])


@compiled(inline="always")
def add_one(out, weight, values):  # type: ignore[no-untyped-def]
    """Add weighted values."""
    for x in range(out.size):
        out[x] += weight * values[x]


@compiled(inline="always")
def add_two(out, weight, values, weight2, values2):  # type: ignore[no-untyped-def]
    """Add two times weighted values, one after the other."""
    for x in range(out.size):
        out[x] = (out[x] + weight * values[x]) + weight2 * values2[x]


@compiled()
def mirror_index(x, n):  # type: ignore[no-untyped-def]
    """Mirror an index into 0 ... n - 1, the edge pixel not repeated."""
    return abs(x) if x < n else 2 * (n - 1) - x


@compiled()
def solarise(planes):  # type: ignore[no-untyped-def]
    """Invert values from 1/2 up."""
    for c in range(3):
        for i in range(planes.shape[1]):
            value = planes[c, i]
            planes[c, i] = ONE - value if value >= HALF else value


@compiled()
def augment(image, plan, out):  # type: ignore[no-untyped-def]
    """Write one view of a uint8 (H, W, 3) image into uint8 (S, S, 3); `plan` is a row of `views.Plan`."""
    S = out.shape[0]
    planes = np.empty((3, S, S), np.float32)
    flat = planes.reshape(3, S * S)
    crop_and_resize(image, plan, planes)
    for step in range(4):
        which = ORDERS[int(plan[9]), step]
        factor = np.float32(plan[5 + which])
        if which == 0 and factor != ONE:
            brightness(flat, factor)
        elif which == 1 and factor != ONE:
            contrast(flat, factor)
        elif which == 2 and factor != ONE:
            saturation(flat, factor)
        elif which == 3 and factor != ZERO:
            hue(flat, factor)
    if plan[10] > 0:
        saturation(flat, ZERO)
    if plan[11] > 0:
        blur(planes, plan[11], plan[14])
    if plan[12] > 0:
        solarise(flat)
    levels = out.reshape(-1)
    for i in range(S * S):
        for c in range(3):
            levels[3 * i + c] = np.uint8(flat[c, i] * np.float32(255) + np.float32(0.5))
