"""Digital: contrast, elastic, pixelate and JPEG. An image is uint8 (H, H, 3), x = image / 255."""

import io
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image as PillowImage

from texneg.datasets.corruptions.draws import Source
from texneg.datasets.corruptions.filters import to_bytes
from texneg.datasets.corruptions.severities import F64, Image, Severities
from texneg.jit import compiled


class Elastic(NamedTuple):
    """A random affine map, then a smooth field of displacements."""

    strength: float
    """by which the smoothed field is multiplied, pixels"""
    sigma: float
    """of the Gaussian that smooths it, pixels"""
    affine: float
    """farthest displacement of a corner of the affine map, pixels"""


CONTRAST = Severities((0.4, 0.3, 0.2, 0.1, 0.05), (0.4, 0.3, 0.2, 0.1, 0.05), (0.75, 0.5, 0.4, 0.3, 0.15))
ELASTIC = Severities(
    (
        Elastic(488, 170.8, 24.4),
        Elastic(488, 19.52, 48.8),
        Elastic(12.2, 2.44, 4.88),
        Elastic(17.08, 2.44, 4.88),
        Elastic(29.28, 2.44, 4.88),
    ),
    (
        Elastic(0, 0, 5.12),
        Elastic(3.2, 19.2, 3.84),
        Elastic(6.4, 5.12, 3.84),
        Elastic(6.4, 1.92, 1.92),
        Elastic(10.24, 1.92, 1.28),
    ),
    (
        Elastic(0, 0, 2.56),
        Elastic(1.6, 6.4, 2.24),
        Elastic(2.56, 1.92, 1.92),
        Elastic(3.2, 1.28, 1.6),
        Elastic(3.2, 0.96, 0.96),
    ),
)
PIXELATE = Severities((0.6, 0.5, 0.4, 0.3, 0.25), (0.9, 0.8, 0.7, 0.6, 0.5), (0.95, 0.9, 0.85, 0.75, 0.65))
JPEG = Severities((25, 18, 15, 10, 7), (65, 58, 50, 40, 25), (80, 65, 58, 50, 40))


def contrast(image: Image, factor: float, draws: Source) -> Image:
    """Draw every channel towards its mean."""
    mean = _mean(image.reshape(-1, 3))
    levels = np.arange(256)[:, None] / 255.0
    table = to_bytes((levels - mean) * factor + mean)
    out = np.empty_like(image)
    _look_up(image.reshape(-1, 3), table, out.reshape(-1, 3))
    return out


@compiled(error_model="numpy")
def _mean(image: Any) -> Any:
    """Mean of x in each channel, summed in the order of the pixels as NumPy does."""
    r, g, b = 0.0, 0.0, 0.0
    for i in range(image.shape[0]):
        r += image[i, 0] / 255.0
        g += image[i, 1] / 255.0
        b += image[i, 2] / 255.0
    return np.array([r, g, b]) / image.shape[0]


@compiled(error_model="numpy")
def _look_up(image: Any, table: Any, out: Any) -> None:
    for i in range(image.shape[0]):
        for c in range(3):
            out[i, c] = table[image[i, c], c]


def elastic_transform(image: Image, elastic: Elastic, draws: Source) -> Image:
    """Move three points and the image with them, then every pixel by a smooth random field, in float32."""
    side = image.shape[0]
    low, high = side // 2 - side // 3, side // 2 + side // 3
    before = np.array([[high, high], [high, low], [low, low]], np.float32)
    moves = -elastic.affine + 2 * elastic.affine * draws.uniform(3, 2)
    there = cv2.getAffineTransform(before, before + moves.astype(np.float32))
    fields = smooth_fields(2 * draws.uniform(2, side, side) - 1, elastic.sigma) * elastic.strength
    x = image.astype(np.float32) / np.float32(255)
    moved, out = np.empty_like(x), np.empty_like(image)
    _warp_affine(x, cv2.invertAffineTransform(there).astype(np.float32), moved)
    _displace(moved, *fields.astype(np.float32), out)
    return out


def smooth_fields(fields: F64, sigma: float) -> F64:
    """Gaussian of radius floor(3 sigma + 1/2) of N square fields (N, H, H), half-sample reflection."""
    if sigma == 0:
        return fields
    count, side, _ = fields.shape
    gaussian = _reflected_gaussian(side, sigma)
    down = _smooth(np.ascontiguousarray(fields.transpose(1, 0, 2)).reshape(side, -1), *gaussian)
    turned = np.ascontiguousarray(down.reshape(side, count, side).transpose(2, 1, 0)).reshape(side, -1)
    across = _smooth(turned, *gaussian).reshape(side, count, side)
    return np.ascontiguousarray(across.transpose(1, 2, 0))


@compiled(error_model="numpy")
def _add_four(total: Any, rows: Any, weights: Any, k: int) -> None:
    """Add four rows from row k on, each with its weight."""
    a, b, c, d = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
    for j in range(total.size):
        total[j] += a * rows[k, j] + b * rows[k + 1, j] + (c * rows[k + 2, j] + d * rows[k + 3, j])


@compiled(error_model="numpy")
def _smooth(x: Any, even: Any, odd: Any, radius: int) -> Any:
    """Filter the columns of x (H, W) by the matrix of a reflected filter: it never mixes even and odd parts.

    The order of the sums is fixed, other than in a library's matrix product.
    """
    side, width = x.shape
    middle = even.shape[0]
    both, apart = np.empty((middle, width)), np.empty((middle, width))
    for i in range(middle):
        for j in range(width):
            both[i, j] = (x[i, j] + x[side - 1 - i, j]) / 2
            apart[i, j] = (x[i, j] - x[side - 1 - i, j]) / 2
    out = np.empty((side, width))
    total, rest = np.empty(width), np.empty(width)
    for i in range(middle):
        total[:] = 0.0
        rest[:] = 0.0
        first, last = max(0, i - radius), min(middle, i + radius + 1)
        fours = last - (last - first) % 4
        for k in range(first, fours, 4):  # four at a time, so that the totals are loaded less often
            _add_four(total, both, even[i], k)
            _add_four(rest, apart, odd[i], k)
        for k in range(fours, last):
            for j in range(width):
                total[j] += even[i, k] * both[k, j]
                rest[j] += odd[i, k] * apart[k, j]
        for j in range(width):
            out[i, j] = total[j] + rest[j]
            out[side - 1 - i, j] = total[j] - rest[j]
    return out


@lru_cache(16)
def _reflected_gaussian(side: int, sigma: float) -> tuple[F64, F64, int]:
    """The matrix of a Gaussian with half-sample reflection, for even and for odd columns, and its radius."""
    radius = int(3 * sigma + 0.5)
    steps = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 / sigma**2 * steps**2)
    weights /= weights.sum()
    places = (np.arange(side)[:, None] + steps) % (2 * side)
    places = np.where(places < side, places, 2 * side - 1 - places)
    matrix = np.zeros((side, side))
    np.add.at(matrix, (np.arange(side)[:, None], places), weights)
    middle = side - side // 2
    mirrored = matrix[:, ::-1]
    even, odd = matrix[:middle, :middle] + mirrored[:middle, :middle], matrix - mirrored
    if side % 2:
        even[:, -1] /= 2
    return even, np.ascontiguousarray(odd[:middle, :middle]), radius


@compiled(error_model="numpy", inline="always")
def _fused(a: Any, b: Any, c: Any) -> Any:
    """The float32 a b + c, rounded once."""
    return np.float32(np.float64(a) * np.float64(b) + np.float64(c))


@compiled(error_model="numpy")
def _warp_affine(x: Any, back: Any, out: Any) -> None:
    """Bilinear samples of x at back (j, i, 1), whole-sample reflection, rounded as OpenCV 5 does."""
    side = x.shape[0]
    for i in range(side):
        row_x, row_y = back[0, 1] * np.float32(i) + back[0, 2], back[1, 1] * np.float32(i) + back[1, 2]
        for j in range(side):
            at_x, at_y = _fused(back[0, 0], np.float32(j), row_x), _fused(back[1, 0], np.float32(j), row_y)
            x0, y0 = int(np.floor(at_x)), int(np.floor(at_y))
            right, down = at_x - np.float32(x0), at_y - np.float32(y0)
            x1, y1 = x0 + 1, y0 + 1
            if x0 < 0 or x1 >= side or y0 < 0 or y1 >= side:
                x0, x1 = _reflect_whole(x0, side), _reflect_whole(x1, side)
                y0, y1 = _reflect_whole(y0, side), _reflect_whole(y1, side)
            for c in range(3):
                upper = _fused(right, x[y0, x1, c] - x[y0, x0, c], x[y0, x0, c])
                lower = _fused(right, x[y1, x1, c] - x[y1, x0, c], x[y1, x0, c])
                out[i, j, c] = _fused(down, lower - upper, upper)


@compiled(error_model="numpy", inline="always")
def _reflect_whole(at: int, side: int) -> int:
    at = abs(at) % (2 * side - 2)
    return at if at < side else 2 * side - 2 - at


@compiled(error_model="numpy")
def _displace(x: Any, right: Any, down: Any, out: Any) -> None:
    """Bilinear samples of x at (i + down, j + right), half-sample reflection, truncated to bytes."""
    side = x.shape[0]
    for i in range(side):
        for j in range(side):
            at_x, at_y = _reflect_half(j + right[i, j], side), _reflect_half(i + down[i, j], side)
            x0, y0 = int(np.floor(at_x)), int(np.floor(at_y))
            across, along = at_x - x0, at_y - y0
            x1, y1 = min(x0 + 1, side - 1), min(y0 + 1, side - 1)
            x0, y0 = max(x0, 0), max(y0, 0)
            for c in range(3):
                value = x[y0, x0, c] * (1 - along) * (1 - across) + x[y0, x1, c] * (1 - along) * across
                value += x[y1, x0, c] * along * (1 - across) + x[y1, x1, c] * along * across
                clipped = min(max(np.float32(value), np.float32(0)), np.float32(1))
                out[i, j, c] = np.uint8(clipped * np.float32(255))


@compiled(error_model="numpy", inline="always")
def _reflect_half(at: float, side: int) -> float:
    """A place brought into -1/2 ... side - 1/2."""
    if -0.5 <= at <= side - 0.5:
        return at
    at = (at + 0.5) % (2 * side)
    return (at if at < side else 2 * side - at) - 0.5


def pixelate(image: Image, factor: float, draws: Source) -> Image:
    """Shrink and enlarge, by boxes."""
    height, width = image.shape[:2]
    box = PillowImage.Resampling.BOX
    small = PillowImage.fromarray(image).resize((int(width * factor), int(height * factor)), box)
    return np.array(small.resize((width, height), box))


def jpeg_compression(image: Image, quality: int, draws: Source) -> Image:
    """Encode as JPEG and decode; chroma halved."""
    return reencode(image, quality)


def reencode(image: Image, quality: int) -> Image:
    """The pixels that a JPEG of this quality has."""
    with PillowImage.open(io.BytesIO(encode_jpeg(image, quality))) as picture:
        return np.array(picture)


def encode_jpeg(image: Image, quality: int, *, optimise: bool = False) -> bytes:
    """The bytes of a JPEG, chroma halved; smaller Huffman tables with `optimise`, and the same pixels."""
    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(buffer, "JPEG", quality=quality, optimize=optimise)
    return buffer.getvalue()
