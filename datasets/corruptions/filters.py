"""Filters that several corruptions share: Gaussian and motion blur, zoom about the centre, the final cast.

Shapes: H, W the image, C its channels. Values are 0 ... 1 in float64 unless said otherwise.
"""

import math
from functools import lru_cache
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from texneg.datasets.corruptions.severities import F64, Image
from texneg.jit import compiled

I64 = npt.NDArray[np.int64]
X = TypeVar("X", bound=npt.NDArray[np.floating[Any]])


def to_bytes(x: npt.NDArray[np.floating[Any]]) -> Image:
    """Scale 0 ... 1 to 0 ... 255, clipped and truncated, as the official generator does."""
    x = np.ascontiguousarray(x)
    out = np.empty(x.shape, np.uint8)
    _to_bytes(x.reshape(-1), out.reshape(-1))
    return out


@compiled(error_model="numpy")
def _to_bytes(x: Any, out: Any) -> None:
    for i in range(x.size):
        out[i] = np.uint8(min(max(x[i], x.dtype.type(0)), x.dtype.type(1)) * x.dtype.type(255))


def gaussian_blur(x: X, sigma: float) -> X:
    """Gaussian of radius floor(4 sigma + 1/2), border replicated; sums in float64, in SciPy's order.

    Args:
        x: (H, W) or (H, W, C).
        sigma: pixels; below 1/8 nothing changes.
    """
    radius = int(4 * sigma + 0.5)
    if radius == 0:
        return x
    kernel = np.exp(-0.5 / sigma**2 * np.arange(-radius, radius + 1) ** 2)
    padded = np.pad(x, [(radius, radius), (radius, radius), (0, 0)][: x.ndim], mode="edge")
    out = np.empty_like(x)
    channels = x.shape[2] if x.ndim == 3 else 1
    flat = padded.reshape(padded.shape[0], -1)
    _gaussian(flat, (kernel / kernel.sum())[radius:], channels, out.reshape(out.shape[0], -1))
    return out


@compiled(error_model="numpy")
def _gaussian(padded: Any, kernel: Any, channels: int, out: Any) -> None:
    """Filter the columns of a padded image, then the rows; `kernel` is the right half of a symmetric one."""
    radius, width = kernel.size - 1, padded.shape[1]
    total, line = np.empty(width), np.empty(width, padded.dtype)
    for y in range(out.shape[0]):
        middle = padded[y + radius]
        for x in range(width):
            total[x] = middle[x] * kernel[0]
        for i in range(radius, 0, -1):
            above, below, weight = padded[y + radius - i], padded[y + radius + i], kernel[i]
            for x in range(width):
                total[x] += (np.float64(above[x]) + np.float64(below[x])) * weight
        for x in range(width):
            line[x] = total[x]
        inner = out.shape[1]
        middle = line[radius * channels :]
        for x in range(inner):
            total[x] = middle[x] * kernel[0]
        for i in range(radius, 0, -1):
            before, after = line[(radius - i) * channels :], line[(radius + i) * channels :]
            weight = kernel[i]
            for x in range(inner):
                total[x] += (np.float64(before[x]) + np.float64(after[x])) * weight
        for x in range(inner):
            out[y, x] = total[x]


def motion_blur(image: Image, radius: int, sigma: float, degrees: float) -> Image:
    """One-sided Gaussian along a line of whole pixels; as by ImageMagick rounded to 16 bit, truncated to 8.

        out(y, x) = sum_i k_i in(y + ceil(i sin a - 1/2), x + ceil(i cos a - 1/2))
        k_i ~ exp(-i^2 / (2 sigma^2))

    Args:
        image: uint8 (H, W, C); the border is replicated.
        radius: i goes from 0 to twice this.
        sigma: pixels.
        degrees: the angle a.
    """
    steps = np.arange(2 * radius + 1)
    kernel = np.exp(-(steps**2) / (2 * sigma**2))
    angle = math.radians(degrees)
    dy = np.ceil(steps * math.sin(angle) - 0.5).astype(np.int64)
    dx = np.ceil(steps * math.cos(angle) - 0.5).astype(np.int64)
    top, bottom, left, right = (int(max(0, reach)) for reach in (-dy.min(), dy.max(), -dx.min(), dx.max()))
    padded = cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_REPLICATE)
    padded = padded.astype(np.float64).reshape(padded.shape[0], -1)
    channels = image.shape[2] if image.ndim == 3 else 1
    out = np.empty(image.shape, np.uint8)
    rows = out.reshape(image.shape[0], -1)
    _sum_shifted(padded, dy + top, (dx + left) * channels, kernel / kernel.sum(), rows)
    return out


@compiled(error_model="numpy")
def _sum_shifted(padded: Any, rows: Any, columns: Any, kernel: Any, out: Any) -> None:
    """Sum an image that is shifted by whole values, with weights; 255 is 65535 of 16 bit."""
    width = out.shape[1]
    total = np.empty(width)
    for y in range(out.shape[0]):
        total[:] = 0.0
        for i in range(kernel.size):
            line, weight = padded[y + rows[i], columns[i] : columns[i] + width], kernel[i]
            for x in range(width):
                total[x] += weight * line[x]
        for x in range(width):
            out[y, x] = np.uint8(int(total[x] * 257 + 0.5) // 257)


@lru_cache(256)
def zoom_table(side: int, factor: float) -> tuple[I64, F64]:
    """Find the two neighbours that each pixel of a zoomed line mixes: the first, and the share of the second.

    The centre ceil(side / factor) pixels become round(that x factor), corner on corner, of which the centre
    `side` remain.
    """
    before = math.ceil(side / factor)
    after = round(before * factor)
    place = (np.arange(side) + (after - side) // 2) * ((before - 1) / (after - 1))
    first = np.minimum(np.floor(place).astype(np.int64), before - 2)
    return first + (side - before) // 2, place - first


def clipped_zoom(x: F64, factor: float) -> F64:
    """Zoom about the centre of a square image (H, H) or (H, H, C), same size; linear."""
    out = np.zeros(x.shape)
    add_zoomed(x, factor, out)
    return out


def add_zoomed(x: X, factor: float, total: X) -> None:
    """Add a zoomed image to `total`; products are float64, sums of the dtype of `total`."""
    side = x.shape[0]
    _add_zoomed(x.reshape(side, side, -1), *zoom_table(side, factor), total.reshape(side, side, -1))


@compiled(error_model="numpy")
def _add_zoomed(x: Any, first: Any, share: Any, total: Any) -> None:
    side, channels = x.shape[0], x.shape[2]
    flat, out = x.reshape(side, side * channels), total.reshape(side, side * channels)
    line = np.empty(side * channels)
    for i in range(side):
        upper, lower, down = flat[first[i]], flat[first[i] + 1], share[i]
        for j in range(side * channels):
            line[j] = upper[j] * (1 - down) + lower[j] * down
        if channels == 3:  # written out, in half the time
            for j in range(side):
                at, left, right = 3 * first[j], 1 - share[j], share[j]
                out[i, 3 * j] += total.dtype.type(line[at] * left + line[at + 3] * right)
                out[i, 3 * j + 1] += total.dtype.type(line[at + 1] * left + line[at + 4] * right)
                out[i, 3 * j + 2] += total.dtype.type(line[at + 2] * left + line[at + 5] * right)
        else:
            for j in range(side):
                at, left, right = first[j] * channels, 1 - share[j], share[j]
                for c in range(channels):
                    value = line[at + c] * left + line[at + channels + c] * right
                    out[i, j * channels + c] += total.dtype.type(value)
