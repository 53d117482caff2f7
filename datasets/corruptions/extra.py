"""The four that mCE leaves out: speckle noise, Gaussian blur, spatter and saturate. x = image / 255."""

from typing import Any, NamedTuple

import cv2
import numpy as np

from texneg.datasets.corruptions import filters
from texneg.datasets.corruptions.colour import shift_hsv
from texneg.datasets.corruptions.draws import Source
from texneg.datasets.corruptions.filters import to_bytes
from texneg.datasets.corruptions.severities import F32, F64, Image, Severities
from texneg.jit import compiled


class Spatter(NamedTuple):
    """Drops on the lens."""

    mean: float
    scale: float
    sigma: float
    """of the Gaussian that makes drops of noise, pixels"""
    threshold: float
    strength: float
    """of water: its weight; of mud: the Gaussian of its edges, pixels"""
    mud: bool


class Saturation(NamedTuple):
    """A change of the saturation of HSV."""

    factor: float
    offset: float


SPECKLE_SCALE = Severities(
    (0.15, 0.2, 0.35, 0.45, 0.6), (0.15, 0.2, 0.25, 0.3, 0.35), (0.06, 0.1, 0.12, 0.16, 0.2)
)
BLUR_SIGMA = Severities((1.0, 2.0, 3.0, 4.0, 6.0), (0.5, 0.75, 1.0, 1.25, 1.5), (0.4, 0.6, 0.7, 0.8, 1.0))
SPATTER = Severities(
    (
        Spatter(0.65, 0.3, 4, 0.69, 0.6, False),
        Spatter(0.65, 0.3, 3, 0.68, 0.6, False),
        Spatter(0.65, 0.3, 2, 0.68, 0.5, False),
        Spatter(0.65, 0.3, 1, 0.65, 1.5, True),
        Spatter(0.67, 0.4, 1, 0.65, 1.5, True),
    ),
    (
        Spatter(0.62, 0.1, 0.7, 0.7, 0.6, False),
        Spatter(0.65, 0.1, 0.8, 0.7, 0.6, False),
        Spatter(0.65, 0.3, 1, 0.69, 0.6, False),
        Spatter(0.65, 0.1, 0.7, 0.68, 0.6, True),
        Spatter(0.65, 0.1, 0.5, 0.67, 0.6, True),
    ),
    (
        Spatter(0.62, 0.1, 0.7, 0.7, 0.5, False),
        Spatter(0.65, 0.1, 0.8, 0.7, 0.5, False),
        Spatter(0.65, 0.3, 1, 0.69, 0.5, False),
        Spatter(0.65, 0.1, 0.7, 0.69, 0.6, True),
        Spatter(0.65, 0.1, 0.5, 0.68, 0.6, True),
    ),
)
SATURATE = Severities(
    (Saturation(0.3, 0), Saturation(0.1, 0), Saturation(2, 0), Saturation(5, 0.1), Saturation(20, 0.2)),
    (Saturation(0.3, 0), Saturation(0.1, 0), Saturation(2, 0), Saturation(5, 0.1), Saturation(30, 0.2)),
    (Saturation(0.3, 0), Saturation(0.1, 0), Saturation(1.5, 0), Saturation(2, 0.1), Saturation(2.5, 0.2)),
)
WATER = np.array([175, 238, 238], np.float32) / 255  # pale turquoise
MUD = np.array([63, 42, 20], np.float32) / 255
EMBOSS = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], np.float32)


def speckle_noise(image: Image, scale: float, draws: Source) -> Image:
    """Noise in proportion to the value: x + x N(0, scale)."""
    noise = draws.normal((image.size,), scale=scale)
    return to_bytes(_add_scaled(image.reshape(-1), noise).reshape(image.shape))


@compiled(error_model="numpy")
def _add_scaled(image: Any, noise: Any) -> Any:
    for i in range(image.size):
        x = image[i] / 255.0
        noise[i] = x + x * noise[i]
    return noise


def gaussian_blur(image: Image, sigma: float, draws: Source) -> Image:
    """A Gaussian, border replicated."""
    return to_bytes(filters.gaussian_blur(image / 255.0, sigma))


def spatter(image: Image, constants: Spatter, draws: Source) -> Image:
    """Water brightens with its shading; mud covers."""
    c = constants
    noise = draws.normal(image.shape[:2], mean=c.mean, scale=c.scale)
    layer = filters.gaussian_blur(noise, c.sigma)
    layer[layer < c.threshold] = 0
    x = (image / 255.0).astype(np.float32)
    if not c.mud:
        return to_bytes(x + _shade_water(layer, c.strength)[..., None] * WATER)
    cover = filters.gaussian_blur((layer > c.threshold).astype(np.float32), c.strength)
    cover[cover < 0.8] = 0
    return to_bytes(x * (1 - cover[..., None]) + cover[..., None] * MUD)


def _shade_water(layer: F64, strength: float) -> F32:
    """Weights (H, H): the layer times the embossed distance from its edges, the largest being `strength`."""
    drops = ((layer * 255).astype(np.int64) % 256).astype(np.uint8)  # wraps around above 1, as published
    distance = cv2.distanceTransform(255 - cv2.Canny(drops, 50, 150), cv2.DIST_L2, 5)
    near = cv2.blur(np.minimum(distance, np.float32(20)), (3, 3)).astype(np.uint8)
    shaded = cv2.blur(cv2.filter2D(cv2.equalizeHist(near), cv2.CV_8U, EMBOSS), (3, 3))
    weight = drops.astype(np.float32) * shaded.astype(np.float32)
    largest = weight.max()
    return weight / largest * np.float32(strength) if largest > 0 else weight


def saturate(image: Image, constants: Saturation, draws: Source) -> Image:
    """Multiply the saturation of HSV, and add to it."""
    return shift_hsv(image, constants.factor, constants.offset, 0.0)
