"""A watermark across the centre, in the manner of ImageNet-W. An image is uint8 (S, S, 3).

Li et al., "A whac-a-mole dilemma", CVPR 2023: white letters, half transparent, that many networks take for
the sign of one class. These letters are drawn by texneg, so that numbers are not those of ImageNet-W.
"""

from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from texneg.datasets.corruptions.severities import F32, Image
from texneg.jit import compiled

LETTERS = (  # strokes x, y, x, y on a grid of 4 x 4
    ((0, 1, 4, 1), (2, 0, 2, 4), (0, 3, 4, 3), (1, 2, 3, 2)),
    ((0, 0, 4, 0), (0, 0, 0, 4), (4, 0, 4, 4), (0, 2, 4, 2), (0, 4, 4, 4)),
    ((2, 0, 0, 4), (2, 0, 4, 4), (1, 2, 3, 2), (0, 1, 4, 1)),
    ((0, 0, 4, 0), (2, 0, 2, 4), (0, 4, 4, 4), (0, 2, 4, 2), (4, 2, 3, 4)),
)
COUNT, FINE = 6, 8  # letters in a row; pixels of the drawing for one of the image


def watermark(image: Image, opacity: float, rng: np.random.Generator) -> Image:
    """Lay the letters over the image; at an opacity of 1 they are white."""
    out = np.empty(image.shape, np.uint8)
    _lay(np.ascontiguousarray(image), letters(len(image)), np.float32(opacity), out)
    return out


@lru_cache(8)
def letters(side: int) -> F32:
    """Draw the letters for images of this side: (S, S), from 0 beside them to 1 on them."""
    drawn = np.zeros((FINE * side, FINE * side), np.uint8)
    letter = FINE * side / (1.4 * COUNT)
    for i in range(COUNT):
        left, top = (1.3 * i + 0.4) * letter, FINE * side / 2 - letter / 2
        for stroke in LETTERS[i % len(LETTERS)]:
            x1, y1, x2, y2 = (
                round(start + place / 4 * letter)
                for start, place in zip((left, top) * 2, stroke, strict=True)
            )
            cv2.line(drawn, (x1, y1), (x2, y2), 255, max(1, round(letter / 9)))
    small = cv2.resize(drawn, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(small / 255, np.float32)


@compiled(error_model="numpy")
def _lay(image: Any, mask: Any, opacity: Any, out: Any) -> None:
    white, half = np.float32(255), np.float32(0.5)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            share = mask[y, x] * opacity
            for c in range(3):
                value = np.float32(image[y, x, c])
                out[y, x, c] = np.uint8(value + (white - value) * share + half)
