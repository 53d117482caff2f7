"""Suppressions of texture: Gaussian blur, bilateral filter, non-local means.

Strengths are those of Burgert et al. (NeurIPS 2025, arXiv 2509.20234) for images of 224 px; lengths in pixels
grow and shrink with the image's side. Borders are reflected about the outermost pixel. An image is uint8
(S, S, 3).
"""

import math
from typing import Any

import cv2
import numpy as np

from texneg.datasets.corruptions.severities import F32, Image
from texneg.datasets.suppressions.weights import decay
from texneg.jit import compiled

SIDE = 224  # px, of the images that strengths are stated for
TEMPLATE = 3  # half the side of the squares that non-local means compares
SEARCH = 10  # farthest offset that it searches, at 224 px


def scale(length: float, side: int, least: int) -> int:
    """Scale a length at 224 px to an image of this side, in whole pixels, at least `least`."""
    return max(least, round(length * side / SIDE))


def blur(image: Image, kernel: float, rng: np.random.Generator) -> Image:
    """Blur with a Gaussian of a kernel of this side at 224 px.

    Its deviation there is 0.15 `kernel` + 0.35 px, which is what OpenCV takes for such a kernel.
    """
    if kernel <= 1:
        return image.copy()
    side = 2 * scale((kernel - 1) / 2, len(image), 1) + 1
    sigma = (0.15 * kernel + 0.35) * len(image) / SIDE
    return np.asarray(cv2.GaussianBlur(image, (side, side), sigma))


def bilateral(image: Image, diameter: float, rng: np.random.Generator) -> Image:
    """Average each pixel with its neighbours of a similar colour.

        weight = exp(-|p - q|^2 / (2 s^2) - (|dr| + |dg| + |db|)^2 / (2 c^2))

    over the disc of this diameter at 224 px, where c = 15 `diameter` - 10 (50 for 4, 200 for 14) and s is as
    many pixels.
    """
    if diameter <= 0:
        return image.copy()
    size = len(image)
    radius, spread = scale(diameter // 2, size, 1), max(15.0 * diameter - 10, 1.0)
    away = [
        (y, x) for y in range(-radius, radius + 1) for x in range(-radius, radius + 1)
        if y * y + x * x <= radius * radius
    ]  # fmt: skip
    offsets = np.array(away, np.int64)
    near = np.array([math.hypot(*offset) * SIDE / size / spread for offset in away]) ** 2 / 2
    out = np.empty(image.shape, np.uint8)
    _bilateral(to_planes(image, radius), offsets, near.astype(np.float32), np.float32(0.5 / spread**2), out)
    return out


def to_planes(image: Image, border: int) -> F32:
    """Reflect the border of an image (S, S, C), and return its channels as planes (C, S + 2b, S + 2b)."""
    padded = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REFLECT_101)
    return np.ascontiguousarray(padded.reshape(*padded.shape[:2], -1).transpose(2, 0, 1), np.float32)


@compiled(error_model="numpy")
def _bilateral(planes: Any, offsets: Any, near: Any, colour: Any, out: Any) -> None:
    """Average over the offsets, row by row, in loops of few arrays, which are compiled to vector code."""
    side, border = out.shape[0], (planes.shape[1] - out.shape[0]) // 2
    weights, total = np.empty(side, np.float32), np.empty(side, np.float32)
    sums = np.empty((3, side), np.float32)
    for y in range(side):
        r, g, b = (
            planes[0, border + y, border : border + side],
            planes[1, border + y, border : border + side],
            planes[2, border + y, border : border + side],
        )
        total[:] = 0
        sums[:] = 0
        for i in range(len(offsets)):
            top, left = border + y + offsets[i, 0], border + offsets[i, 1]
            r2 = planes[0, top, left : left + side]
            g2 = planes[1, top, left : left + side]
            b2 = planes[2, top, left : left + side]
            far = near[i]
            for x in range(side):
                weights[x] = abs(r2[x] - r[x])
            for x in range(side):
                weights[x] += abs(g2[x] - g[x])
            for x in range(side):
                weights[x] += abs(b2[x] - b[x])
            for x in range(side):
                weights[x] = decay(far + weights[x] * weights[x] * colour)
            for x in range(side):
                total[x] += weights[x]
            for c in range(3):
                mine, other = sums[c], planes[c, top, left : left + side]
                for x in range(side):
                    mine[x] += weights[x] * other[x]
        for c in range(3):
            for x in range(side):
                out[y, x, c] = np.uint8(sums[c, x] / total[x] + np.float32(0.5))


def average_alike(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """Non-local means: average each pixel with those whose surroundings of 7 x 7 px look alike.

    Lightness, and the two colours together, of CIE Lab in 8 bit, each by

        weight = exp(-mean squared difference / strength^2)

    over a square of 21 x 21 px at 224 px (Buades, Coll, Morel, CVPR 2005; the colour variant of OpenCV).
    """
    if strength <= 0:
        return image.copy()
    reach = scale(SEARCH, len(image), 2)
    lab = cv2.cvtColor(image, cv2.COLOR_LRGB2LAB)
    planes = to_planes(lab, reach + TEMPLATE)
    offsets = np.array(
        [(y, x) for y in range(reach + 1) for x in range(-reach, reach + 1) if (y, x) > (0, 0)], np.int64
    )
    found = np.empty_like(lab)
    for first, count in ((0, 1), (1, 2)):
        sharpness = 1 / (strength**2 * count * (2 * TEMPLATE + 1) ** 2)
        _average_alike(
            planes[first : first + count], offsets, reach, np.float32(sharpness), found[..., first:]
        )
    return np.asarray(cv2.cvtColor(found, cv2.COLOR_LAB2LRGB))


@compiled(error_model="numpy")
def _average_alike(planes: Any, offsets: Any, reach: int, sharpness: Any, out: Any) -> None:
    """Average planes (C, S + 2b, S + 2b), b = reach + 3, over offsets and their opposites, into (S, S, C).

    A pair of pixels has one weight, which counts for both. Sums cover a margin of `reach` beyond the image.
    """
    channels, side = planes.shape[0], out.shape[0]
    inner = side + 2 * reach
    total = np.ones((inner, inner), np.float32)
    sums = planes[:, 3 : 3 + inner, 3 : 3 + inner].copy()
    columns, triple = np.empty(inner + 6, np.float32), np.empty(inner + 6, np.float32)
    weights = np.empty(inner, np.float32)
    rows = np.empty((7, inner + 6), np.float32)  # squared differences of the latest seven
    for i in range(len(offsets)):
        dy, dx = offsets[i]
        left, right = max(0, reach - max(dx, 0)), reach + side + max(-dx, 0)
        width = right - left
        first, last = reach - dy, reach + side
        columns[:] = 0
        for y in range(first, last + 6):
            row = rows[y % 7, : width + 6]
            if y >= first + 7:
                for x in range(width + 6):
                    columns[x] -= row[x]
            a, b = planes[0, y, left : left + width + 6], planes[0, y + dy, left + dx : left + dx + width + 6]
            for x in range(width + 6):
                row[x] = (a[x] - b[x]) * (a[x] - b[x])
            for c in range(1, channels):
                a = planes[c, y, left : left + width + 6]
                b = planes[c, y + dy, left + dx : left + dx + width + 6]
                for x in range(width + 6):
                    row[x] += (a[x] - b[x]) * (a[x] - b[x])
            for x in range(width + 6):
                columns[x] += row[x]
            if y < first + 6:
                continue
            for x in range(width + 4):
                triple[x] = columns[x] + columns[x + 1] + columns[x + 2]
            for x in range(width):
                weights[x] = decay((triple[x] + triple[x + 3] + columns[x + 6]) * sharpness)
            m = y - 6
            here, there = total[m, left : left + width], total[m + dy, left + dx : left + dx + width]
            for x in range(width):
                here[x] += weights[x]
            for x in range(width):
                there[x] += weights[x]
            for c in range(channels):
                own = planes[c, m + 3, left + 3 : left + 3 + width]
                other = planes[c, m + 3 + dy, left + 3 + dx : left + 3 + dx + width]
                mine, its = sums[c, m, left : left + width], sums[c, m + dy, left + dx : left + dx + width]
                for x in range(width):
                    mine[x] += weights[x] * other[x]
                for x in range(width):
                    its[x] += weights[x] * own[x]
    for y in range(side):
        for x in range(side):
            for c in range(channels):
                out[y, x, c] = np.uint8(
                    sums[c, reach + y, reach + x] / total[reach + y, reach + x] + np.float32(0.5)
                )
