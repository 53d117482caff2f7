"""Images of any channels and depth as the 8-bit pictures of three channels that a search compares.

Three channels stay as they are and one counts as three; other depths are scaled by the least and the largest
value of all the images together. Of any other number of channels the first three principal components are
taken, each channel divided by its standard deviation, so that units do not matter. All sums are of integers
and the rest is one fixed sequence of float64 operations, so the same bytes come out on any machine.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from texneg.jit import compiled

Array = npt.NDArray[Any]
U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

COMPARED = 3  # channels of what a search compares
_DEPTH = 65535  # other depths than 8 and 16 bits are rounded to so many steps a channel
_EVERY = 4  # pixels of which one counts for the components
_UNIT, _LEFT_OUT = 1 << 32, 16  # weights of components are so many of one, and sums lose their last bits
_SWEEPS = 12  # of Jacobi's method; 16 channels take 8


def compared(images: Sequence[Array]) -> list[U8]:
    """The pictures (h, w, 3) uint8 that stand for images (h, w, C) of one dtype and one number of channels.

    A view of the image where nothing changes. What is not finite counts as 0, or as the largest value where
    it is positive.
    """
    channels = images[0].shape[2]
    if channels not in (1, COMPARED):
        ranges = _finite_ranges(images)
        return _components([_whole(image, ranges) for image in images])
    if images[0].dtype != np.uint8:
        images = eight_bit(images)
    return [np.broadcast_to(image, (*image.shape[:2], COMPARED)) for image in images]


def eight_bit(images: Sequence[Array]) -> list[U8]:
    """Images scaled by the least and the largest value of all of them to uint8."""
    values = [image.astype(np.float32) for image in images]
    finite = [value[np.isfinite(value)] for value in values]
    least = np.float32(min((value.min() for value in finite if value.size), default=0))
    span = np.float32(max((value.max() for value in finite if value.size), default=0)) - least
    with np.errstate(all="ignore"):
        scaled = [(value - least) / span * np.float32(255) for value in values]
    return [np.rint(np.nan_to_num(value, posinf=255, neginf=0)).astype(np.uint8) for value in scaled]


def _finite_ranges(images: Sequence[Array]) -> tuple[F64, F64] | None:
    """Least and largest finite value of each channel; None for whole numbers, which are taken as they are."""
    if images[0].dtype.kind == "u":
        return None
    flat = np.concatenate([image.reshape(-1, image.shape[2]) for image in images]).astype(np.float64)
    finite = np.isfinite(flat)
    least = np.where(finite, flat, np.inf).min(axis=0)
    most = np.where(finite, flat, -np.inf).max(axis=0)
    return least, most


def _whole(image: Array, ranges: tuple[F64, F64] | None) -> Array:
    """The image in whole numbers of at most 16 bits."""
    if ranges is None:
        return np.ascontiguousarray(image)
    least, most = ranges
    with np.errstate(all="ignore"):
        share = (image.astype(np.float64) - least) / (most - least)
    return np.rint(np.nan_to_num(share, posinf=1, neginf=0).clip(0, 1) * _DEPTH).astype(np.uint16)


def _components(images: list[Array]) -> list[U8]:
    """The first three principal components of images of whole numbers, on one scale."""
    flat = [image.reshape(-1, image.shape[2]) for image in images]
    count = sum(len(pixels[::_EVERY]) for pixels in flat)
    centre = sum(pixels[::_EVERY].sum(axis=0, dtype=np.int64) for pixels in flat) // count
    weights = component_weights(
        count, *map(sum, zip(*(moments(pixels, centre) for pixels in flat), strict=True))
    )
    found = [project(pixels, weights) for pixels in flat]
    least = np.min([one.min(axis=0) for one in found], axis=0)
    span = max(int((np.max([one.max(axis=0) for one in found], axis=0) - least).max()), 1)
    return [
        scale(one, least, span).reshape(*image.shape[:2], COMPARED)
        for one, image in zip(found, images, strict=True)
    ]


@compiled(error_model="numpy")
def moments(pixels: Array, centre: I64) -> tuple[I64, I64]:
    """Sums (C,) and sums of products (C, C) of channels less a centre, of every fourth of (n, C) pixels."""
    channels = pixels.shape[1]
    sums, products = np.zeros(channels, np.int64), np.zeros((channels, channels), np.int64)
    values = np.empty(channels, np.int64)
    for n in range(0, len(pixels), _EVERY):
        for a in range(channels):
            values[a] = np.int64(pixels[n, a]) - centre[a]
            sums[a] += values[a]
            for b in range(a + 1):
                products[a, b] += values[a] * values[b]
    for a in range(channels):
        for b in range(a):
            products[b, a] = products[a, b]
    return sums, products


@compiled(error_model="numpy")
def component_weights(count: int, sums: I64, products: I64) -> I64:
    """(C, 3) whole weights of the first three principal components of standardised channels, or 0.

    Jacobi's method on the correlations. Of the two signs of a component that in which the channel of largest
    weight, the first of equals, is positive.
    """
    channels = len(sums)
    covariance, matrix = np.zeros((channels, channels)), np.zeros((channels, channels))
    for a in range(channels):
        for b in range(channels):
            covariance[a, b] = products[a, b] / count - (sums[a] / count) * (sums[b] / count)
    deviation = np.array([np.sqrt(max(covariance[a, a], 0.0)) for a in range(channels)])
    for a in range(channels):
        for b in range(channels):
            if deviation[a] > 0 and deviation[b] > 0:
                matrix[a, b] = covariance[a, b] / (deviation[a] * deviation[b])
    vectors = np.eye(channels)
    for _ in range(_SWEEPS):
        for a in range(channels - 1):
            for b in range(a + 1, channels):
                _rotate(matrix, vectors, a, b)
    weights = np.zeros((channels, COMPARED), np.int64)
    taken = np.zeros(channels, np.bool_)
    for component in range(min(COMPARED, channels)):
        best = -1
        for a in range(channels):
            if not taken[a] and (best < 0 or matrix[a, a] > matrix[best, best]):
                best = a
        taken[best] = True
        largest = 0.0
        for a in range(channels):
            if abs(vectors[a, best]) > abs(largest) + 1e-9:
                largest = vectors[a, best]
        for a in range(channels):
            if deviation[a] > 0 and matrix[best, best] > 1e-9:
                weight = vectors[a, best] / deviation[a] * np.sign(largest)
                weights[a, component] = np.int64(np.rint(weight * _UNIT))
    return weights


@compiled(error_model="numpy")
def _rotate(matrix: F64, vectors: F64, a: int, b: int) -> None:
    """Turn axes a and b so that nothing is left at (a, b) of a symmetric matrix, in place."""
    if abs(matrix[a, b]) < 1e-14:
        return
    angle = (matrix[b, b] - matrix[a, a]) / (2 * matrix[a, b])
    tangent = (1.0 if angle >= 0 else -1.0) / (abs(angle) + np.sqrt(angle * angle + 1))
    cosine = 1 / np.sqrt(tangent * tangent + 1)
    sine = tangent * cosine
    for k in range(len(matrix)):
        one, two = matrix[k, a], matrix[k, b]
        matrix[k, a], matrix[k, b] = cosine * one - sine * two, sine * one + cosine * two
    for k in range(len(matrix)):
        one, two = matrix[a, k], matrix[b, k]
        matrix[a, k], matrix[b, k] = cosine * one - sine * two, sine * one + cosine * two
    for k in range(len(matrix)):
        one, two = vectors[k, a], vectors[k, b]
        vectors[k, a], vectors[k, b] = cosine * one - sine * two, sine * one + cosine * two


@compiled(error_model="numpy")
def project(pixels: Array, weights: I64) -> I64:
    """(n, 3) weighted sums of (n, C) pixels."""
    found = np.zeros((len(pixels), COMPARED), np.int64)
    for n in range(len(pixels)):
        for a in range(pixels.shape[1]):
            value = np.int64(pixels[n, a])
            for c in range(COMPARED):
                found[n, c] += value * weights[a, c]
        for c in range(COMPARED):
            found[n, c] >>= _LEFT_OUT
    return found


@compiled(error_model="numpy")
def scale(values: I64, least: I64, span: int) -> U8:
    """(n, 3) from `least` on, in 255ths of `span`, rounded."""
    found = np.empty((len(values), COMPARED), np.uint8)
    for n in range(len(values)):
        for c in range(COMPARED):
            found[n, c] = (2 * 255 * (values[n, c] - least[c]) + span) // (2 * span)
    return found
