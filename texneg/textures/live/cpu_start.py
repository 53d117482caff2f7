"""Where the exemplars are cut and where the search starts, for a batch of texture keys, compiled.

What `exemplars.exemplar_places` and `kernel.start.start` do for two exemplars of one size, whose NumPy calls
would take longer than the search of a small texture (`plan` names the one difference). T textures.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from texneg.philox.arrays import U64, below, fold_field, philox_words
from texneg.textures.draws import fill_words
from texneg.textures.live.cpu_draws import stream
from texneg.textures.live.plan import Level
from texneg.textures.purposes import Purpose
from texneg.textures.start import TILE
from texneg.textures.window import RADIUS

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

_PLACE, _FIELD, _TILE = int(Purpose.EXEMPLAR_PLACE), int(Purpose.FIELD), int(Purpose.TILE)


@njit(nogil=True, cache=True, error_model="numpy")
def places(keys: U64, height: int, width: int, exemplar: int) -> I32:
    """(T, 2, 2) row and column in the image of both exemplars."""
    corners = np.empty((len(keys), 2, 2), np.int32)
    for t in range(len(keys)):
        words = philox_words(stream(keys[t], _PLACE), np.uint64(0))
        corners[t, 0, 0] = height // 2 - exemplar // 2
        corners[t, 0, 1] = width // 2 - exemplar // 2
        corners[t, 1, 0] = below(words[0], np.uint64(height - exemplar + 1))
        corners[t, 1, 1] = below(words[1], np.uint64(width - exemplar + 1))
    return corners


def starts(keys: U64, level: Level) -> I32:
    """(T, side + 4, side + 4) framed maps of verbatim tiles."""
    field = _fields(keys, level.side)  # the second exemplar feeds what lies above the median
    middle = level.side**2 // 2
    second = field >= np.partition(field, middle, axis=1)[:, middle, None]
    return _tiles(keys, second, level.side, level.tile, level.room, level.pitch)


@njit(nogil=True, cache=True, error_model="numpy")
def _tiles(keys, second, side, tile, room, pitch):  # type: ignore[no-untyped-def]
    framed = side + 2 * RADIUS
    down = -(-framed // tile)
    drawn = 1 + (down + 1) * 4  # words a row of tiles: its shift; row and column in either exemplar
    words = np.empty(-(-down * drawn // 4) * 4, np.uint32)
    sources = np.empty((len(keys), framed, framed), np.int32)
    spare = np.uint64(room - tile + 1)
    for t in range(len(keys)):
        fill_words(words, stream(keys[t], _TILE), 0)
        for y in range(framed):
            row = y // tile
            shift = np.int64(below(np.uint64(words[row * drawn]), np.uint64(tile)))
            inner_y = min(max(y - RADIUS, 0), side - 1)
            for x in range(framed):
                inner_x = min(max(x - RADIUS, 0), side - 1)
                owner = np.int64(second[t, inner_y * side + inner_x])
                at = row * drawn + 1 + 4 * ((x + shift) // tile) + 2 * owner
                top = np.int64(below(np.uint64(words[at]), spare)) + RADIUS + owner * pitch
                left = np.int64(below(np.uint64(words[at + 1]), spare)) + RADIUS
                sources[t, y, x] = (top + y % tile) * pitch + left + (x + shift) % tile
    return sources


@njit(nogil=True, cache=True, error_model="numpy")
def _fields(keys, side):  # type: ignore[no-untyped-def]
    """A smooth random field for each texture, (T, side * side), no two values equal."""
    knots, pixels = side // TILE + 4, side * side
    noise = np.empty(-(-knots * knots // 4) * 4, np.uint32)
    boxed = np.empty((knots - 2, knots - 2), np.int64)
    field = np.empty((len(keys), pixels), np.int64)
    for t in range(len(keys)):
        fill_words(noise, fold_field(stream(keys[t], _FIELD), 1), 0)
        for y in range(knots - 2):
            for x in range(knots - 2):
                boxed[y, x] = 0
                for n in range(9):
                    boxed[y, x] += noise[(y + n // 3) * knots + x + n % 3] >> 16
        for y in range(side):
            top, low = y // TILE + 1, y % TILE
            bottom = min(top + 1, knots - 3)
            for x in range(side):
                left, part = x // TILE + 1, x % TILE
                right = min(left + 1, knots - 3)
                above = (TILE - part) * boxed[top, left] + part * boxed[top, right]
                beneath = (TILE - part) * boxed[bottom, left] + part * boxed[bottom, right]
                value = (TILE - low) * above + low * beneath
                field[t, y * side + x] = value * pixels + y * side + x
    return field
