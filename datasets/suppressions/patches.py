"""Suppressions of shape: squares of a grid change places or turn; and an image of its own patches alone.

Every pixel is kept once; of an image whose side the grid does not divide, the border beyond the squares
stays. An image is uint8 (S, S, 3).
"""

from typing import Any

import numpy as np

from texneg.datasets.corruptions.severities import Image
from texneg.datasets.suppressions.smoothing import scale
from texneg.errors import InputError
from texneg.jit import compiled
from texneg.patches.patches import patch_negatives


def shuffle(image: Image, grid: float, rng: np.random.Generator) -> Image:
    """Put the squares of a grid of this many a side into random order."""
    n = require_grid(grid, len(image))
    out = image.copy()
    if n > 1:
        _shuffle(np.ascontiguousarray(image), n, rng.permutation(n * n), out)
    return out


def rotate(image: Image, grid: float, rng: np.random.Generator) -> Image:
    """Turn each square of a grid by 0, 90, 180 or 270 degrees, each as likely as another."""
    n = require_grid(grid, len(image))
    out = image.copy()
    if n > 1:
        _rotate(np.ascontiguousarray(image), n, rng.integers(0, 4, n * n), out)
    return out


def require_grid(grid: float, side: int) -> int:
    """Return the squares a side of a grid, 1 where nothing changes.

    Raises:
        InputError: the squares would be smaller than a pixel.
    """
    n = max(1, int(grid))
    if n > side:
        raise InputError(f"a grid of {n} x {n} squares needs images of {n} px or more; these have {side}")
    return n


@compiled(error_model="numpy")
def _shuffle(image: Any, n: int, order: Any, out: Any) -> None:
    side = image.shape[0] // n
    margin = (image.shape[0] - n * side) // 2
    width = side * image.shape[2]
    pixels, made = image.reshape(image.shape[0], -1), out.reshape(out.shape[0], -1)
    for to in range(n * n):
        top, left = margin + to // n * side, (margin + to % n * side) * image.shape[2]
        top2, left2 = margin + order[to] // n * side, (margin + order[to] % n * side) * image.shape[2]
        for y in range(side):
            row = made[top + y, left : left + width]
            source = pixels[top2 + y, left2 : left2 + width]
            for x in range(width):
                row[x] = source[x]


@compiled(error_model="numpy")
def _rotate(image: Any, n: int, turns: Any, out: Any) -> None:
    """Turn counter-clockwise."""
    side = image.shape[0] // n
    margin = (image.shape[0] - n * side) // 2
    last = side - 1
    for square in range(n * n):
        top, left, turn = margin + square // n * side, margin + square % n * side, turns[square]
        for y in range(side):
            for x in range(side):
                if turn == 0:
                    y2, x2 = y, x
                elif turn == 1:
                    y2, x2 = x, last - y
                elif turn == 2:
                    y2, x2 = last - y, last - x
                else:
                    y2, x2 = last - x, y
                for c in range(3):
                    out[top + y, left + x, c] = image[top + y2, left + x2, c]


def patches_alone(image: Image, side: float, rng: np.random.Generator) -> Image:
    """Make an image of patches of itself of this side at 224 px: a patch negative."""
    if side <= 0:
        return image.copy()
    d = min(scale(side, len(image), 1), len(image))
    return np.asarray(patch_negatives(image[None], size=(d, d), seed=int(rng.integers(1 << 62)))[0, 0])
