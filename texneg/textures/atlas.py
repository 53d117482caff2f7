"""The atlas: several exemplars in one flat image at several scales, with tables for the search.

Exemplars are stacked top to bottom in slots whose sides are multiples of `BIN`, so that a pixel (y, x) of
the atlas at one level is pixels (2y + i, 2x + j) of the atlas one level finer, and a bin is the same place at
every level. A pixel is named by its linear index, y * pitch + x.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from texneg.jit import compiled
from texneg.textures.window import RADIUS, SPARE

BIN = 8  # side in pixels, at full size, of the places whose use is counted
NEAR = (1, 1, 3, 3)  # px from a place to those tried beside it, in each direction; by level, finest first
MARGIN = 32  # empty rows above and below, at full size, so that a place tried beside any other can be read

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
    owners: I32
    """Exemplar of each bin."""


class Ground(NamedTuple):
    """Tables of the atlas at one level for the scans; rows are counted from the margin's first."""

    pitch: int
    """Pixels from one row to the next."""
    bins: npt.NDArray[np.uint32]
    """Bin of each pixel; one past the last bin where the window leaves the exemplar."""
    positions: I32
    """The pixels whose window lies inside their exemplar."""
    nearby: I32
    """From a pixel to each within `NEAR` rows and columns of it, itself left out."""


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
    owners = np.repeat(np.arange(len(shapes)), [slot // BIN * (pitch // side) for slot in slots])
    fair = len(shapes) * np.array(bins_of)[owners]
    return Tables(
        pitch,
        tops.astype(np.int32),
        sides.astype(np.int32),
        valid.ravel(),
        np.flatnonzero(valid).astype(np.int32),
        bins.ravel().astype(np.int32),
        fair.astype(np.int64),
        owners.astype(np.int32),
    )


@lru_cache(maxsize=64)
def ground(shapes: Shapes, level: int) -> Ground:
    """The scans' tables for exemplars of these (height, width), halved `level` times."""
    table = tables(shapes, level)
    margin = (MARGIN >> level) * table.pitch
    bins = np.where(table.valid, table.bins, len(table.fair))
    near = NEAR[level]
    row, column = np.mgrid[-near : near + 1, -near : near + 1]
    nearby = (row * table.pitch + column).ravel()
    return Ground(
        table.pitch,
        np.pad(bins, margin, constant_values=len(table.fair)).astype(np.uint32),
        (table.positions + margin).astype(np.int32),
        nearby[nearby != 0].astype(np.int32),
    )


def level_count(shapes: Shapes, size: int, most: int, narrowest: int) -> int:
    """Levels to use: at most `most`, with every exemplar and the output >= `narrowest` px at the coarsest."""
    shortest = min(size, *(min(shape) for shape in shapes))
    return max(1, min(most, (shortest // narrowest).bit_length()))


def colours(exemplars: list[I16], table: Tables, level: int) -> I16:
    """Flat int16 RGB of the atlas and its margins at a level, `SPARE` elements longer.

    `exemplars` are given at that level.
    """
    margin = MARGIN >> level
    rows = len(table.valid) // table.pitch + 2 * margin
    flat = np.zeros(rows * table.pitch * 3 + SPARE, np.int16)
    atlas = flat[:-SPARE].reshape(rows, table.pitch, 3)
    for top, exemplar in zip(table.tops, exemplars, strict=True):
        atlas[margin + top : margin + top + exemplar.shape[0], : exemplar.shape[1]] = exemplar
    return flat


@compiled(error_model="numpy")
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
