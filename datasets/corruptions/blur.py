"""Blur: defocus, frosted glass, motion and zoom. An image is uint8 (H, H, 3), x = image / 255."""

from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np

from texneg.datasets.corruptions import filters
from texneg.datasets.corruptions.draws import Source
from texneg.datasets.corruptions.filters import to_bytes
from texneg.datasets.corruptions.severities import F32, Image, Severities
from texneg.jit import compiled


class Disc(NamedTuple):
    """An aperture out of focus."""

    radius: float
    """pixels"""
    sigma: float
    """of the Gaussian that smooths it, pixels"""


class Glass(NamedTuple):
    """Frosted glass."""

    sigma: float
    """of the blur before and after, pixels"""
    reach: int
    """farthest offset of a pixel"""
    rounds: int


class Motion(NamedTuple):
    """A moving camera."""

    radius: int
    """half the length, pixels"""
    sigma: float
    """of the one-sided Gaussian, pixels"""


class Zoom(NamedTuple):
    """A zooming camera: factors from 1 in steps."""

    stop: float
    step: float


DISC = Severities(
    (Disc(3, 0.1), Disc(4, 0.5), Disc(6, 0.5), Disc(8, 0.5), Disc(10, 0.5)),
    (Disc(0.5, 0.6), Disc(1, 0.1), Disc(1.5, 0.1), Disc(2.5, 0.01), Disc(3, 0.1)),
    (Disc(0.3, 0.4), Disc(0.4, 0.5), Disc(0.5, 0.6), Disc(1, 0.2), Disc(1.5, 0.1)),
)
GLASS = Severities(
    (Glass(0.7, 1, 2), Glass(0.9, 2, 1), Glass(1, 2, 3), Glass(1.1, 3, 2), Glass(1.5, 4, 2)),
    (Glass(0.1, 1, 1), Glass(0.5, 1, 1), Glass(0.6, 1, 2), Glass(0.7, 2, 1), Glass(0.9, 2, 2)),
    (Glass(0.05, 1, 1), Glass(0.25, 1, 1), Glass(0.4, 1, 1), Glass(0.25, 1, 2), Glass(0.4, 1, 2)),
)
MOTION = Severities(
    (Motion(10, 3), Motion(15, 5), Motion(15, 8), Motion(15, 12), Motion(20, 15)),
    (Motion(10, 1), Motion(10, 1.5), Motion(10, 2), Motion(10, 2.5), Motion(12, 3)),
    (Motion(6, 1), Motion(6, 1.5), Motion(6, 2), Motion(8, 2), Motion(9, 2.5)),
)
_SMALL_ZOOM = (Zoom(1.06, 0.01), Zoom(1.11, 0.01), Zoom(1.16, 0.01), Zoom(1.21, 0.01), Zoom(1.26, 0.01))
ZOOM = Severities(
    (Zoom(1.11, 0.01), Zoom(1.16, 0.01), Zoom(1.21, 0.02), Zoom(1.26, 0.02), Zoom(1.31, 0.03)),
    _SMALL_ZOOM,
    _SMALL_ZOOM,
)


def defocus_blur(image: Image, disc: Disc, draws: Source) -> Image:
    """Correlate with a disc, border reflected."""
    return to_bytes(cv2.filter2D(image / 255.0, -1, _disc_kernel(disc)))


@lru_cache(16)
def _disc_kernel(disc: Disc) -> F32:
    """A normalised disc, smoothed by a 3 x 3 Gaussian, from 9 px on by one of 5 x 5."""
    small = disc.radius <= 8
    at = np.arange(-8, 9) if small else np.arange(-disc.radius, disc.radius + 1)
    kernel = (at**2 + at[:, None] ** 2 <= disc.radius**2).astype(np.float32)
    kernel /= kernel.sum()
    side = 3 if small else 5
    return np.asarray(cv2.GaussianBlur(kernel, (side, side), disc.sigma), np.float32)


def glass_blur(image: Image, glass: Glass, draws: Source) -> Image:
    """Blur, shuffle pixels locally, blur again.

    The published exchange of two pixels works on views of the image and copies: a pixel takes the value of
    its neighbour, which keeps its own.
    """
    shuffled = to_bytes(filters.gaussian_blur(image / 255.0, glass.sigma))
    inner = image.shape[0] - 2 * glass.reach
    offsets = draws.offsets(glass.reach, glass.rounds * inner * inner)
    _copy_neighbours(shuffled, offsets, glass.reach, glass.rounds)
    return to_bytes(filters.gaussian_blur(shuffled / 255.0, glass.sigma))


@compiled(error_model="numpy")
def _copy_neighbours(image: Any, offsets: Any, reach: int, rounds: int) -> None:
    i = 0
    for _ in range(rounds):
        for y in range(image.shape[0] - reach, reach, -1):
            for x in range(image.shape[1] - reach, reach, -1):
                from_y, from_x = y + offsets[i, 1], x + offsets[i, 0]
                for c in range(image.shape[2]):
                    image[y, x, c] = image[from_y, from_x, c]
                i += 1


def motion_blur(image: Image, motion: Motion, draws: Source) -> Image:
    """Blur along a line at -45 to 45 degrees."""
    return filters.motion_blur(image, motion.radius, motion.sigma, -45 + 90 * float(draws.uniform(1)[0]))


def zoom_blur(image: Image, zoom: Zoom, draws: Source) -> Image:
    """Mean of the image and of its zoomed versions, in float32; the first factor is 1."""
    x = (image / 255.0).astype(np.float32)
    factors = np.arange(1, zoom.stop, zoom.step)
    total = np.zeros_like(x)
    for factor in factors.tolist():
        filters.add_zoomed(x, factor, total)
    return to_bytes((x + total) / np.float32(len(factors) + 1))
