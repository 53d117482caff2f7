"""Suppressions of colour: grey by degrees, colour channels that change places. Images are uint8 (S, S, 3)."""

from typing import Any

import numpy as np

from texneg.datasets.corruptions.severities import Image
from texneg.jit import compiled

ORDERS = np.array([(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])  # all but red, green, blue


def grey(image: Image, weight: float, rng: np.random.Generator) -> Image:
    """Mix with the image in grey (0.299 red + 0.587 green + 0.114 blue); a weight of 1 is all grey."""
    out = np.empty(image.shape, np.uint8)
    _mix(np.ascontiguousarray(image).reshape(-1, 3), np.float32(weight), out.reshape(-1, 3))
    return out


@compiled(error_model="numpy")
def _mix(image: Any, weight: Any, out: Any) -> None:
    half, rest = np.float32(0.5), np.float32(1) - weight
    for i in range(image.shape[0]):
        r, g, b = np.float32(image[i, 0]), np.float32(image[i, 1]), np.float32(image[i, 2])
        own = weight * (np.float32(0.299) * r + np.float32(0.587) * g + np.float32(0.114) * b) + half
        out[i, 0] = np.uint8(rest * r + own)
        out[i, 1] = np.uint8(rest * g + own)
        out[i, 2] = np.uint8(rest * b + own)


def shuffle_channels(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """Exchange the colour channels in one of the five ways that change them; at strength 0 none."""
    if strength <= 0:
        return image.copy()
    out = np.empty(image.shape, np.uint8)
    _exchange(np.ascontiguousarray(image).reshape(-1, 3), *ORDERS[rng.integers(5)], out.reshape(-1, 3))
    return out


@compiled(error_model="numpy")
def _exchange(image: Any, red: int, green: int, blue: int, out: Any) -> None:
    for i in range(image.shape[0]):
        out[i, 0], out[i, 1], out[i, 2] = image[i, red], image[i, green], image[i, blue]
