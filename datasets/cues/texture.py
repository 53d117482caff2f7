"""Texture cues: textures synthesised from squares of an image, those of the object where there is a mask.

Shapes: S side of the picture, E side of a square.
"""

from typing import NamedTuple

import cv2
import numpy as np

from texneg.datasets.corruptions.draws import hash_text
from texneg.datasets.cues.shape import Mask
from texneg.datasets.decode import Pixels
from texneg.philox.arrays import fold, generator
from texneg.philox.streams import Stream
from texneg.textures.exemplars import exemplar_places
from texneg.textures.presets import PAPER_EXEMPLAR, PAPER_SIDE, SMALLEST_EXEMPLAR
from texneg.textures.texture import texture

FEWEST, MOST = 2, 6  # squares that a texture is made of
SMALLEST_SHARE = 14  # squares inside an object are at least this part of the picture's side: 16 px of 224


class Square(NamedTuple):
    """A square of a picture, in pixels."""

    top: int
    left: int
    side: int


def default_side(size: int) -> int:
    """Side of the squares of a picture of that size: 96 px of 224, and the same share of others."""
    return max(SMALLEST_EXEMPLAR, round(size * PAPER_EXEMPLAR / PAPER_SIDE))


def smallest_side(size: int) -> int:
    """Side that the largest square inside an object must have in a picture of that size."""
    return max(SMALLEST_EXEMPLAR, size // SMALLEST_SHARE)


def find_squares(mask: Mask, side: int) -> Mask:
    """Find the top left corners of all squares of that side that lie inside a mask."""
    if side > min(mask.shape):
        return np.zeros((0, 0), bool)
    sums = cv2.integral(mask.astype(np.uint8))
    inside = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return np.asarray(inside == side * side)


def largest_square(mask: Mask) -> int:
    """Side of the largest square inside a mask; 0 for an empty one."""
    fits, fails = 0, min(mask.shape) + 1
    while fails - fits > 1:
        middle = (fits + fails) // 2
        if find_squares(mask, middle).any():
            fits = middle
        else:
            fails = middle
    return fits


def choose_squares(mask: Mask, side: int, *, seed: int, key: str) -> list[Square]:
    """Choose squares inside an object: of that side, or of three quarters of the largest one that fits.

    The smaller they are beside the object, the more of them, two to six.

    Args:
        mask: (S, S) of the object.
        side: of the squares at most.
        seed: of the cue sets.
        key: of the image.
    """
    largest = largest_square(mask)
    side = min(side, max(3 * largest // 4, min(largest, smallest_side(len(mask)))))
    rows, columns = np.nonzero(find_squares(mask, side))
    wanted = int(np.clip(int(mask.sum()) // (2 * side * side), FEWEST, MOST))
    rng = generator(seed, Stream.CUE_SQUARES, hash_text(key))
    chosen = rng.choice(len(rows), size=min(wanted, len(rows)), replace=False)
    return [Square(int(rows[at]), int(columns[at]), side) for at in chosen]


def make_texture(
    pixels: Pixels, mask: Mask | None, *, side: int, seed: int, key: str
) -> tuple[Pixels, list[Square]]:
    """Make the texture of a picture, or of its object; also returns the squares that it is made of.

    Args:
        pixels: uint8 (S, S, 3).
        mask: (S, S) of the object; without one the squares are the centre and a random one, as everywhere.
        side: of the squares at most.
        seed: of the cue sets.
        key: of the image.
    """
    own = fold(seed, Stream.CUE_TEXTURE, hash_text(key))
    if mask is None:
        places = exemplar_places(*pixels.shape[:2], size=side, seed=own)
        squares = [Square(top, left, side) for top, left in places]
    else:
        squares = choose_squares(mask, side, seed=seed, key=key)
    cut = [pixels[top : top + side, left : left + side].copy() for top, left, side in squares]
    return texture(cut, size=len(pixels), seed=own), squares
