"""The start of a search: verbatim tiles of the exemplars, allotted by a smooth random field."""

import numpy as np
import numpy.typing as npt

from texneg.jit import compiled
from texneg.philox.arrays import fold
from texneg.philox.compiled import words
from texneg.philox.streams import Stream
from texneg.textures.atlas import Tables
from texneg.textures.window import RADIUS

TILE = 8  # px at the coarsest level: 32 px at full size with three levels

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]


def start(table: Tables, side: int, seed: int, parts: tuple[int, ...] | None = None) -> I32:
    """A (side + 4, side + 4) coordinate map of atlas indices, all valid: the output with its frame.

    Each tile is a piece of an exemplar at a uniform random place, each row of tiles shifted by a random part
    of a tile. Each exemplar feeds pixels in proportion to its part, an equal number by default, in patches of
    several tiles whose outlines follow a field drawn at pixel resolution.
    """
    count = len(table.tops)
    tile = min(TILE, (int(table.sides.min()) - 2 * RADIUS) // 2)  # leaves every tile several places
    down = -(-(side + 2 * RADIUS) // tile)
    drawn = words(fold(seed, Stream.TILE), down * (1 + (down + 1) * count * 2))
    return lay_tiles(shares(count, side, seed, parts), tile, drawn, table.sides, table.tops, table.pitch)


@compiled(error_model="numpy")
def lay_tiles(labels: I64, tile: int, drawn: U32, sides: I32, tops: I32, pitch: int) -> I32:
    """The framed map in which every pixel shows the tile that its label's exemplar has at its place."""
    side, count = len(labels), len(tops)
    framed = side + 2 * RADIUS
    a_row = 1 + (-(-framed // tile) + 1) * count * 2
    source = np.empty((framed, framed), np.int32)
    for y in range(framed):
        first = y // tile * a_row
        shift = np.int64(drawn[first]) * tile >> 32
        for x in range(framed):
            owner = labels[min(max(y - RADIUS, 0), side - 1), min(max(x - RADIUS, 0), side - 1)]
            at = first + 1 + ((x + shift) // tile * count + owner) * 2
            top = np.int64(drawn[at]) * (sides[owner, 0] - 2 * RADIUS - tile + 1) >> 32
            left = np.int64(drawn[at + 1]) * (sides[owner, 1] - 2 * RADIUS - tile + 1) >> 32
            row = top + RADIUS + y % tile + tops[owner]
            source[y, x] = row * pitch + left + RADIUS + (x + shift) % tile
    return source


def shares(count: int, side: int, seed: int, parts: tuple[int, ...] | None = None) -> I64:
    """(side, side) labels 0 ... count - 1 in smooth patches whose sizes are as their parts (to a pixel).

    The exemplars are halved again and again; each half takes the side of a smooth random field that keeps the
    shares. Two exemplars in equal parts: one field, cut at its median.
    """
    parts = parts or (1,) * count
    labels = np.zeros(side * side, np.int64)
    groups = [(np.arange(side * side), 0, count)]
    for pixels, first, members in groups:
        if members == 1 or not len(pixels):
            labels[pixels] = first
            continue
        lower = members // 2
        height = smooth_field(side, fold(seed, Stream.FIELD, len(groups))).ravel()[pixels]
        height = height * len(pixels) + np.arange(len(pixels))  # no two equal, so that the cut is exact
        cut = len(pixels) * sum(parts[first : first + lower]) // sum(parts[first : first + members])
        cut = min(cut, len(pixels) - 1)
        below = height < np.partition(height, cut)[cut]
        groups.append((pixels[below], first, lower))
        groups.append((pixels[~below], first + lower, members - lower))
    return labels.reshape(side, side)


def smooth_field(side: int, key: int) -> I64:
    """(side, side) integer heights: white noise one value a tile, 3 x 3 box filter, linear in between."""
    knots = side // TILE + 4
    return interpolate(words(key, knots * knots).reshape(knots, knots) >> 16, side)


@compiled(error_model="numpy")
def interpolate(noise: U32, side: int) -> I64:
    """(side, side) from one value a tile: 3 x 3 box filter, then linear in between."""
    knots = len(noise) - 2
    boxed = np.zeros((knots, knots), np.int64)
    for y in range(knots):
        for x in range(knots):
            for n in range(9):
                boxed[y, x] += noise[y + n // 3, x + n % 3]
    lines = np.empty((side, knots), np.int64)
    for y in range(side):
        knot, part = y // TILE + 1, y % TILE
        for x in range(knots):
            lines[y, x] = (TILE - part) * boxed[knot, x] + part * boxed[min(knot + 1, knots - 1), x]
    field = np.empty((side, side), np.int64)
    for y in range(side):
        for x in range(side):
            knot, part = x // TILE + 1, x % TILE
            field[y, x] = (TILE - part) * lines[y, knot] + part * lines[y, min(knot + 1, knots - 1)]
    return field
