"""Weather: snow, frost, fog and brightness. An image is uint8 (H, H, 3), x = image / 255."""

from typing import Any, NamedTuple

import cv2
import numpy as np

from texneg.datasets.corruptions import filters
from texneg.datasets.corruptions.colour import shift_hsv
from texneg.datasets.corruptions.draws import Source
from texneg.datasets.corruptions.filters import to_bytes
from texneg.datasets.corruptions.severities import F64, Image, Severities
from texneg.errors import InputError
from texneg.jit import compiled


class Snow(NamedTuple):
    """A layer of flakes, and how much of the image stays as it is."""

    mean: float
    scale: float
    zoom: float
    threshold: float
    radius: int
    """half the length of a streak, pixels"""
    sigma: float
    mix: float


class Frost(NamedTuple):
    """A picture of frost over the image."""

    image: float
    """weight of the image"""
    frost: float
    """weight of the frost"""
    shrink: float
    """factor by which pictures of frost are made smaller first"""


class Fog(NamedTuple):
    """A fractal map over the image."""

    amount: float
    decay: float
    """by which the fractal's amplitude falls from level to level"""


SNOW = Severities(
    (
        Snow(0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        Snow(0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        Snow(0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        Snow(0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        Snow(0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    ),
    (
        Snow(0.1, 0.2, 1, 0.6, 8, 3, 0.8),
        Snow(0.1, 0.2, 1, 0.5, 10, 4, 0.8),
        Snow(0.15, 0.3, 1.75, 0.55, 10, 4, 0.7),
        Snow(0.25, 0.3, 2.25, 0.6, 12, 6, 0.65),
        Snow(0.3, 0.3, 1.25, 0.65, 14, 12, 0.6),
    ),
    (
        Snow(0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        Snow(0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        Snow(0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        Snow(0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        Snow(0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ),
)
FROST = Severities(
    (Frost(1, 0.4, 1), Frost(0.8, 0.6, 1), Frost(0.7, 0.7, 1), Frost(0.65, 0.7, 1), Frost(0.6, 0.75, 1)),
    (
        Frost(1, 0.3, 0.3),
        Frost(0.9, 0.4, 0.3),
        Frost(0.8, 0.45, 0.3),
        Frost(0.75, 0.5, 0.3),
        Frost(0.7, 0.55, 0.3),
    ),
    (
        Frost(1, 0.2, 0.2),
        Frost(1, 0.3, 0.2),
        Frost(0.9, 0.4, 0.2),
        Frost(0.85, 0.4, 0.2),
        Frost(0.75, 0.45, 0.2),
    ),
)
FOG = Severities(
    (Fog(1.5, 2), Fog(2, 2), Fog(2.5, 1.7), Fog(2.5, 1.5), Fog(3, 1.4)),
    (Fog(0.4, 3), Fog(0.7, 3), Fog(1, 2.5), Fog(1.5, 2), Fog(2, 1.75)),
    (Fog(0.2, 3), Fog(0.5, 3), Fog(0.75, 2.5), Fog(1, 2), Fog(1.5, 1.75)),
)
BRIGHTNESS = Severities((0.1, 0.2, 0.3, 0.4, 0.5), (0.1, 0.2, 0.3, 0.4, 0.5), (0.05, 0.1, 0.15, 0.2, 0.3))


def snow(image: Image, constants: Snow, draws: Source) -> Image:
    """Whiten the image, and add flakes and their picture turned by 180 degrees."""
    c = constants
    flakes = filters.clipped_zoom(draws.normal(image.shape[:2], mean=c.mean, scale=c.scale), c.zoom)
    flakes[flakes < c.threshold] = 0
    degrees = -135 + 90 * float(draws.uniform(1)[0])
    streaks = filters.motion_blur(to_bytes(flakes), c.radius, c.sigma, degrees)
    x = image.astype(np.float32) / np.float32(255)
    out = np.empty_like(image)
    _snow(x, cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), streaks, np.float32(c.mix), np.float32(1 - c.mix), out)
    return out


@compiled(error_model="numpy")
def _snow(x: Any, grey: Any, streaks: Any, mix: Any, rest: Any, out: Any) -> None:
    side = out.shape[0]
    for i in range(side):
        for j in range(side):
            white = grey[i, j] * np.float32(1.5) + np.float32(0.5)
            layer, turned = streaks[i, j] / 255.0, streaks[side - 1 - i, side - 1 - j] / 255.0
            for c in range(3):
                value = mix * x[i, j, c] + rest * max(x[i, j, c], white)
                out[i, j, c] = np.uint8(min(max(value + layer + turned, 0.0), 1.0) * 255)


def frost(image: Image, constants: Frost, draws: Source) -> Image:
    """Blend with a random crop of a picture of frost: one of the first five, as published."""
    side = image.shape[0]
    picture = draws.pictures().shrunk(draws.below(5), constants.shrink)
    if min(picture.shape[:2]) <= side:
        raise InputError(
            f"a picture of frost has {picture.shape[1]} x {picture.shape[0]} px, too few for images of"
            f" {side} px; use larger pictures"
        )
    top = draws.below(picture.shape[0] - side)
    left = draws.below(picture.shape[1] - side)
    out = np.empty_like(image)
    _blend(image, picture[top : top + side, left : left + side], constants.image, constants.frost, out)
    return out


@compiled(error_model="numpy")
def _blend(image: Any, layer: Any, weight: float, layer_weight: float, out: Any) -> None:
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            for c in range(3):
                value = weight * image[y, x, c] + layer_weight * layer[y, x, c]
                out[y, x, c] = np.uint8(min(max(value, 0.0), 255.0))


def fog(image: Image, constants: Fog, draws: Source) -> Image:
    """(x + amount M) max(x) / (max(x) + amount), with a fractal map M of 0 ... 1."""
    side = image.shape[0]
    clouds = plasma(1 << (side - 1).bit_length(), constants.decay, draws)
    out = np.empty_like(image)
    _fog(image, clouds, float(image.max() / 255.0), constants.amount, out)
    return out


@compiled(error_model="numpy")
def _fog(image: Any, clouds: Any, brightest: float, amount: float, out: Any) -> None:
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            layer = amount * clouds[y, x]
            for c in range(3):
                value = (image[y, x, c] / 255.0 + layer) * brightest / (brightest + amount)
                out[y, x, c] = np.uint8(min(max(value, 0.0), 1.0) * 255)


def plasma(side: int, decay: float, draws: Source) -> F64:
    """Diamond-square map (side, side) of 0 ... 1 that wraps at its edges; `side` is a power of two."""
    clouds = np.zeros((side, side))
    _diamond_square(clouds, draws.uniform(side * side - 1), decay)
    clouds -= clouds.min()
    clouds /= clouds.max()
    return clouds


@compiled(error_model="numpy")
def _diamond_square(clouds: Any, uniform: Any, decay: float) -> None:
    """Fill level by level: centres, midpoints of rows, midpoints of columns, one uniform number each.

    A point is the mean of four neighbours plus w U(-w, w).
    """
    side = clouds.shape[0]
    step, wobble, at = side, 100.0, 0
    while step >= 2:
        half = step // 2
        for y in range(0, side, step):
            for x in range(0, side, step):
                below, right = (y + step) % side, (x + step) % side
                four = (clouds[y, x] + clouds[below, x]) + (clouds[y, right] + clouds[below, right])
                clouds[y + half, x + half] = four / 4 + wobble * (-wobble + 2 * wobble * uniform[at])
                at += 1
        for y in range(0, side, step):
            for x in range(half, side, step):
                near = clouds[y + half, x] + clouds[(y - half) % side, x]
                four = near + (clouds[y, x - half] + clouds[y, (x + half) % side])
                clouds[y, x] = four / 4 + wobble * (-wobble + 2 * wobble * uniform[at])
                at += 1
        for y in range(half, side, step):
            for x in range(0, side, step):
                near = clouds[y, x + half] + clouds[y, (x - half) % side]
                four = near + (clouds[y - half, x] + clouds[(y + half) % side, x])
                clouds[y, x] = four / 4 + wobble * (-wobble + 2 * wobble * uniform[at])
                at += 1
        step, wobble = half, wobble / decay


def brightness(image: Image, amount: float, draws: Source) -> Image:
    """Add to the value of HSV."""
    return shift_hsv(image, 1.0, 0.0, amount)
