"""One augmented view of one image in compiled code: crop, flip, colour jitter, grey, blur.

The operators mean what torchvision v2's functional ones mean on float images, with fixed parameters; rounding
happens once, at the end. Between the operators the image is three float32 planes (3, S, S) in 0 ... 1.
"""

import math

import numpy as np
from numba import njit

# The 24 orders of brightness, contrast, saturation and hue.
ORDERS = np.array(
    [[a, b, c, 6 - a - b - c] for a in range(4) for b in range(4) for c in range(4) if len({a, b, c}) == 3],
    np.int64,
)
RED, GREEN, BLUE = np.float32(0.2989), np.float32(0.587), np.float32(0.114)
ZERO, ONE = np.float32(0), np.float32(1)
DEVIATIONS = 3  # the blur's kernel ends here


@njit(nogil=True, cache=True)
def triangle_taps(length, n):  # type: ignore[no-untyped-def]
    """First pixel (n,) and weights (n, taps) of an antialiased bilinear resize of `length` pixels to n."""
    scale = length / n
    support = max(scale, 1.0)
    first = np.zeros(n, np.int64)
    weights = np.zeros((n, math.ceil(support) * 2 + 1), np.float32)
    for o in range(n):
        centre = (o + 0.5) * scale
        low = max(int(centre - support + 0.5), 0)
        high = min(int(centre + support + 0.5), length)
        total = 0.0
        for i in range(low, high):
            total += max(0.0, 1.0 - abs(i + 0.5 - centre) / support)
        first[o] = low
        for i in range(low, high):
            weights[o, i - low] = max(0.0, 1.0 - abs(i + 0.5 - centre) / support) / total
    return first, weights


@njit(nogil=True, cache=True)
def resized_crop(image, plan, planes):  # type: ignore[no-untyped-def]
    """Crop of a uint8 (H, W, 3) image, resized to fill the planes and mirrored if the plan says so."""
    top, left, height, width = int(plan[0]), int(plan[1]), int(plan[2]), int(plan[3])
    S = planes.shape[1]
    columns, across = triangle_taps(width, S)
    rows, down = triangle_taps(height, S)
    narrow = np.empty((3, height, S), np.float32)
    for y in range(height):
        for o in range(S):
            r, g, b = ZERO, ZERO, ZERO
            for k in range(min(across.shape[1], width - columns[o])):
                weight, x = across[o, k], left + columns[o] + k
                r += weight * image[top + y, x, 0]
                g += weight * image[top + y, x, 1]
                b += weight * image[top + y, x, 2]
            to = S - 1 - o if plan[4] > 0 else o
            narrow[0, y, to], narrow[1, y, to], narrow[2, y, to] = r, g, b
    for c in range(3):
        for o in range(S):
            planes[c, o, :] = ZERO
            for k in range(min(down.shape[1], height - rows[o])):
                weight = down[o, k] / np.float32(255)
                for x in range(S):
                    planes[c, o, x] += weight * narrow[c, rows[o] + k, x]


@njit(nogil=True, cache=True)
def unit(x):  # type: ignore[no-untyped-def]
    """The nearest value in 0 ... 1."""
    return min(max(x, ZERO), ONE)


@njit(nogil=True, cache=True)
def luma(planes, i):  # type: ignore[no-untyped-def]
    """Grey value of pixel i of (3, P) planes."""
    return RED * planes[0, i] + GREEN * planes[1, i] + BLUE * planes[2, i]


@njit(nogil=True, cache=True)
def brightness(planes, factor):  # type: ignore[no-untyped-def]
    """Multiply by the factor."""
    for c in range(3):
        for i in range(planes.shape[1]):
            planes[c, i] = unit(factor * planes[c, i])


@njit(nogil=True, cache=True)
def contrast(planes, factor):  # type: ignore[no-untyped-def]
    """Blend with the mean grey value."""
    total = 0.0
    for i in range(planes.shape[1]):
        total += luma(planes, i)
    mean = (ONE - factor) * np.float32(total / planes.shape[1])
    for c in range(3):
        for i in range(planes.shape[1]):
            planes[c, i] = unit(factor * planes[c, i] + mean)


@njit(nogil=True, cache=True)
def saturation(planes, factor):  # type: ignore[no-untyped-def]
    """Blend with the grey image; factor 0 makes it grey."""
    for i in range(planes.shape[1]):
        grey = (ONE - factor) * luma(planes, i)
        for c in range(3):
            planes[c, i] = unit(factor * planes[c, i] + grey)


@njit(nogil=True, cache=True)
def hue(planes, turn):  # type: ignore[no-untyped-def]
    """Rotate the hue of HSV by `turn` full turns, saturation and value unchanged."""
    for i in range(planes.shape[1]):
        r, g, b = planes[0, i], planes[1, i], planes[2, i]
        top = max(r, g, b)
        chroma = top - min(r, g, b)
        if chroma == ZERO:
            continue
        if top == r:
            sixth = (g - b) / chroma
        elif top == g:
            sixth = np.float32(2) + (b - r) / chroma
        else:
            sixth = np.float32(4) + (r - g) / chroma
        sixth += np.float32(6) * turn
        for c in range(3):
            # Place on the hexagon seen from the channel: red, green and blue are 5, 3 and 1 sixths ahead.
            k = sixth + np.float32(5 - 2 * c)
            k -= np.float32(6) * np.floor(k / np.float32(6))
            planes[c, i] = top - chroma * unit(min(k, np.float32(4) - k))


@njit(nogil=True, cache=True)
def blur(planes, sigma):  # type: ignore[no-untyped-def]
    """Gaussian blur of (3, S, S) planes, sigma in pixels, mirrored at the edges."""
    S = planes.shape[1]
    radius = min(math.ceil(DEVIATIONS * sigma), S - 1)
    kernel = np.empty(2 * radius + 1, np.float32)
    for k in range(2 * radius + 1):
        kernel[k] = math.exp(-0.5 * ((k - radius) / sigma) ** 2)
    kernel /= kernel.sum()
    padded = np.empty(S + 2 * radius, np.float32)
    across = np.empty((S, S), np.float32)
    for c in range(3):
        for y in range(S):
            for x in range(-radius, S + radius):
                padded[x + radius] = planes[c, y, mirrored(x, S)]
            across[y, :] = ZERO
            for k in range(2 * radius + 1):
                for x in range(S):
                    across[y, x] += kernel[k] * padded[x + k]
        for y in range(S):
            planes[c, y, :] = ZERO
            for k in range(2 * radius + 1):
                row = mirrored(y + k - radius, S)
                for x in range(S):
                    planes[c, y, x] += kernel[k] * across[row, x]


@njit(nogil=True, cache=True)
def mirrored(x, n):  # type: ignore[no-untyped-def]
    """Index inside 0 ... n - 1, the edge pixel not repeated."""
    return abs(x) if x < n else 2 * (n - 1) - x


@njit(nogil=True, cache=True)
def render(image, plan, out):  # type: ignore[no-untyped-def]
    """One view of a uint8 (H, W, 3) image into uint8 (S, S, 3); `plan` is a row of `views.Plan`."""
    S = out.shape[0]
    planes = np.empty((3, S, S), np.float32)
    flat = planes.reshape(3, S * S)
    resized_crop(image, plan, planes)
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
        blur(planes, plan[11])
    for y in range(S):
        for x in range(S):
            for c in range(3):
                out[y, x, c] = np.uint8(planes[c, y, x] * np.float32(255) + np.float32(0.5))
