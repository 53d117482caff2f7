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
    S, cubic = planes.shape[1], plan[13] > 0
    columns, columns_end, across = compute_taps(width, S, cubic)
    rows, rows_end, down = compute_taps(height, S, cubic)
    line = np.empty(3 * width, np.float32)
    for o in range(S):
        line[:] = ZERO
        for y in range(rows[o], rows_end[o]):
            weight = down[o, y - rows[o]] / np.float32(255)
            row = image[top + y].reshape(-1)[3 * left :]
            for x in range(line.size):
                line[x] += weight * np.float32(row[x])
        red, green, blue = planes[0, o], planes[1, o], planes[2, o]
        for x in range(S):
            r, g, b = ZERO, ZERO, ZERO
            for i in range(columns[x], columns_end[x]):
                weight = across[x, i - columns[x]]
                r += weight * line[3 * i]
                g += weight * line[3 * i + 1]
                b += weight * line[3 * i + 2]
            if cubic:  # overshoots at edges
                r, g, b = clip(r), clip(g), clip(b)
            to = S - 1 - x if plan[4] > 0 else x
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
def contrast(planes, factor):  # type: ignore[no-untyped-def]
    """Blend with the mean grey value."""
    total = 0.0
    for i in range(planes.shape[1]):
        total += luma(planes, i)
    mean = (ONE - factor) * np.float32(total / planes.shape[1])
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
            row, out = planes[c, y], across[y]
            for x in range(-radius, S + radius):
                padded[x + radius] = row[mirror_index(x, S)]
            out[:] = ZERO
            for k in range(2 * radius + 1):
                weight, shifted = kernel[k], padded[k:]
                for x in range(S):
                    out[x] += weight * shifted[x]
        for y in range(S):
            out = planes[c, y]
            out[:] = ZERO
            for k in range(2 * radius + 1):
                weight, row = kernel[k], across[mirror_index(y + k - radius, S)]
                for x in range(S):
                    out[x] += weight * row[x]


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
    for y in range(S):
        for x in range(S):
            for c in range(3):
                out[y, x, c] = np.uint8(planes[c, y, x] * np.float32(255) + np.float32(0.5))
