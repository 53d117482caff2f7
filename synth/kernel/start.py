"""Where the search begins: verbatim tiles of the exemplars, shared out by a smooth random field."""

import numpy as np
import numpy.typing as npt

from texneg.philox import fold
from texneg.synth.kernel.atlas import Tables
from texneg.synth.kernel.draws import words
from texneg.synth.kernel.purposes import Purpose
from texneg.synth.kernel.window import RADIUS

TILE = 8  # px at the coarsest level: 32 px at full size with three levels

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]


def start(table: Tables, side: int, seed: int, parts: tuple[int, ...] | None = None) -> I32:
    """A (side + 4, side + 4) coordinate map of atlas indices, all valid: the output with its frame.

    Each tile is a piece of an exemplar at a uniform random place, each row of tiles shifted by a random part
    of a tile. Each exemplar feeds pixels in proportion to its part, an equal number by default, in patches of
    several tiles whose outlines follow a field drawn at pixel resolution.
    """
    count = len(table.tops)
    framed = side + 2 * RADIUS
    tile = min(TILE, (int(table.sides.min()) - 2 * RADIUS) // 2)  # leaves every tile several places
    labels = np.pad(shares(count, side, seed, parts), RADIUS, mode="edge")

    down = -(-framed // tile)
    across = down + 1
    drawn = (
        words(fold(seed, Purpose.TILE), down * (1 + across * count * 2)).astype(np.int64).reshape(down, -1)
    )
    shift = drawn[:, 0] * tile >> 32
    room = table.sides - 2 * RADIUS - tile + 1
    corner = (drawn[:, 1:].reshape(down, across, count, 2) * room >> 32) + RADIUS

    row = np.arange(framed)[:, None]
    column = np.arange(framed) + shift[row // tile]
    place = corner[row // tile, column // tile, labels]
    y = place[..., 0] + row % tile + table.tops[labels]
    x = place[..., 1] + column % tile
    return (y * table.pitch + x).astype(np.int32)


def shares(count: int, side: int, seed: int, parts: tuple[int, ...] | None = None) -> I64:
    """(side, side) labels 0 ... count - 1 in smooth patches whose total sizes are as their parts (to a pixel).

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
        height = smooth_field(side, fold(seed, Purpose.FIELD, len(groups))).ravel()[pixels]
        height = height * len(pixels) + np.arange(len(pixels))  # no two equal, so that the cut is exact
        cut = len(pixels) * sum(parts[first : first + lower]) // sum(parts[first : first + members])
        below = height < np.partition(height, cut)[cut] if cut < len(pixels) else height == height
        groups.append((pixels[below], first, lower))
        groups.append((pixels[~below], first + lower, members - lower))
    return labels.reshape(side, side)


def smooth_field(side: int, key: int) -> I64:
    """(side, side) integer heights: white noise one value a tile, 3 x 3 box filter, linear in between."""
    knots = side // TILE + 4
    noise = words(key, knots * knots).astype(np.int64).reshape(knots, knots) >> 16
    place = np.arange(side)[:, None] + TILE - TILE * np.arange(knots - 2)
    linear = np.maximum(TILE - np.abs(place), 0)  # (side, knots - 2)
    weights = np.zeros((side, knots), np.int64)
    for shift in range(3):
        weights[:, shift : shift + knots - 2] += linear
    return weights @ noise @ weights.T
