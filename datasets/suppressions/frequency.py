"""Suppression of one octave of frequencies. An image is uint8 (S, S, 3)."""

import math
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from texneg.datasets.corruptions.severities import F32, Image
from texneg.jit import compiled

OCTAVES = (
    (0, 4),
    (4, 8),
    (8, 16),
    (16, 32),
    (32, math.inf),
)  # cycles an image side: above the first, up to the second


def remove_octave(image: Image, octave: float, rng: np.random.Generator) -> Image:
    """Take out the frequencies of one octave, 1 to 5, in all directions; the mean stays, 0 changes nothing.

    A frequency (u, v) belongs to the octave that its length falls into. Values are rounded and clipped.
    """
    if octave < 1:
        return image.copy()
    kept, out = _kept(len(image), int(octave)), np.empty(image.shape, np.uint8)
    for c in range(3):
        spectrum = cv2.dft(image[:, :, c].astype(np.float32))
        spectrum *= kept
        _to_bytes(cv2.idft(spectrum, flags=cv2.DFT_SCALE | cv2.DFT_REAL_OUTPUT), c, out)
    return out


def exists(octave: float, side: int) -> bool:
    """Return True if images of this side have frequencies of an octave along their rows."""
    return octave < 1 or OCTAVES[int(octave) - 1][0] < side / 2


@lru_cache(16)
def _kept(side: int, octave: int) -> F32:
    """Make the factors 0 and 1 of a spectrum as OpenCV packs that of a real image (S, S).

    Column 0, and of an even side the last one, hold real and imaginary parts below each other, the others
    beside each other.
    """
    rows, columns = np.mgrid[:side, :side]
    u, v = (columns + 1) // 2, np.minimum(rows, side - rows)
    outer = (columns == 0) | ((columns == side - 1) & (side % 2 == 0))
    length = np.hypot(u, np.where(outer, (rows + 1) // 2, v))
    low, high = OCTAVES[octave - 1]
    return np.where((length > low) & (length <= high), 0, 1).astype(np.float32)


@compiled(error_model="numpy")
def _to_bytes(x: Any, channel: int, out: Any) -> None:
    low, high, half = np.float32(0), np.float32(255), np.float32(0.5)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j, channel] = np.uint8(min(max(x[i, j], low), high) + half)
