"""Several exemplars in one flat image, at several scales, with what the search must know about each pixel.

Exemplars are stacked top to bottom in slots whose sides are multiples of `BIN`, so that a pixel (y, x) of
the atlas at one level is pixels (2y + i, 2x + j) of the atlas one level finer, and a bin is the same place at
every level. A pixel is named by its linear index, y * pitch + x.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from texneg.synth.kernel.window import RADIUS, SPARE

BIN = 8  # side in pixels, at full size, of the places whose use is counted

I16 = npt.NDArray[np.int16]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
Shapes = tuple[tuple[int, int], ...]


class Tables(NamedTuple):
    """The atlas at one level, without colours; shared by all textures from exemplars of the same sizes."""

    pitch: int
    """Pixels from one row to the next."""
    tops: I32
    """(E,) first row of each exemplar."""
    sides: I32
    """(E, 2) height and width of each exemplar."""
    valid: npt.NDArray[np.uint8]
    """1 where the 5 x 5 window around a pixel lies inside its exemplar."""
    positions: I32
    """The valid pixels."""
    bins: I32
    """Bin of each pixel."""
    fair: I64
    """1 / share of the output that each bin should feed: E * bins of its exemplar."""


@lru_cache(maxsize=64)
def tables(shapes: Shapes, level: int) -> Tables:
    """Tables for exemplars of these (height, width), halved `level` times."""
    slots = [-(-height // BIN) * BIN for height, _ in shapes]
    tops = np.cumsum([0, *slots[:-1]]) >> level
    pitch = max(-(-width // BIN) * BIN for _, width in shapes) >> level
    rows = sum(slots) >> level
    sides = np.array(shapes) >> level
    valid = np.zeros((rows, pitch), np.uint8)
    for top, (height, width) in zip(tops, sides, strict=True):
        valid[top + RADIUS : top + height - RADIUS, RADIUS : width - RADIUS] = 1
    row, column = np.mgrid[:rows, :pitch]
    side = BIN >> level
    bins = row // side * (pitch // side) + column // side
    bins_of = [-(-height // BIN) * -(-width // BIN) for height, width in shapes]
    fair = np.repeat([len(shapes) * n for n in bins_of], [slot // BIN * (pitch // side) for slot in slots])
    return Tables(
        pitch,
        tops.astype(np.int32),
        sides.astype(np.int32),
        valid.ravel(),
        np.flatnonzero(valid).astype(np.int32),
        bins.ravel().astype(np.int32),
        fair.astype(np.int64),
    )


def level_count(shapes: Shapes, size: int, most: int, narrowest: int) -> int:
    """Levels to use: at most `most`, with every exemplar and the output >= `narrowest` px at the coarsest."""
    shortest = min(size, *(min(shape) for shape in shapes))
    return max(1, min(most, (shortest // narrowest).bit_length()))


def colours(exemplars: list[I16], table: Tables) -> I16:
    """Flat int16 RGB of the atlas at the level the exemplars are given at, `SPARE` elements longer."""
    flat = np.zeros(len(table.valid) * 3 + SPARE, np.int16)
    atlas = flat[: len(table.valid) * 3].reshape(-1, table.pitch, 3)
    for top, exemplar in zip(table.tops, exemplars, strict=True):
        atlas[top : top + exemplar.shape[0], : exemplar.shape[1]] = exemplar
    return flat


@njit(nogil=True, cache=True, error_model="numpy")
def halve(image: I16) -> I16:
    """(H, W, 3) to (H // 2, W // 2, 3): separable filter 1 3 3 1 / 8, rounded, the edge repeated."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    bottom, right = image.shape[0] - 1, image.shape[1] - 1
    rows = np.empty((height, right + 1, 3), np.int16)
    for y in range(height):
        above, below = max(2 * y - 1, 0), min(2 * y + 2, bottom)
        for x in range(right + 1):
            for c in range(3):
                inner = image[2 * y, x, c] + image[2 * y + 1, x, c]
                rows[y, x, c] = image[above, x, c] + 3 * inner + image[below, x, c]
    half = np.empty((height, width, 3), np.int16)
    for y in range(height):
        for x in range(width):
            left, beyond = max(2 * x - 1, 0), min(2 * x + 2, right)
            for c in range(3):
                inner = rows[y, 2 * x, c] + rows[y, 2 * x + 1, c]
                half[y, x, c] = (rows[y, left, c] + 3 * inner + rows[y, beyond, c] + 32) >> 6
    return half
