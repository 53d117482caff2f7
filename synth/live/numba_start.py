"""Compiled: where the exemplars are cut and where the search starts, for a batch of texture keys.

What `exemplars.exemplar_places` and `kernel.start.start` do for two exemplars of one size, whose NumPy calls
would take longer than the search of a small texture (`plan` names the one difference). T textures.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from texneg.philox import U64, below, philox_words
from texneg.synth.kernel.draws import fill_words
from texneg.synth.kernel.purposes import Purpose
from texneg.synth.kernel.start import TILE
from texneg.synth.kernel.window import RADIUS
from texneg.synth.live.numba_draws import extend, stream

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


@njit(nogil=True, cache=True, error_model="numpy")
def starts(keys: U64, side: int, tile: int, room: int, pitch: int) -> I32:
    """(T, side + 4, side + 4) framed maps of verbatim tiles."""
    framed = side + 2 * RADIUS
    down = -(-framed // tile)
    drawn = 1 + (down + 1) * 4  # words a row of tiles: its shift; row and column in either exemplar
    words = np.empty(-(-down * drawn // 4) * 4, np.uint32)
    sources = np.empty((len(keys), framed, framed), np.int32)
    spare = np.uint64(room - tile + 1)
    for t in range(len(keys)):
        fill_words(words, stream(keys[t], _TILE), 0)
        second = _second(keys[t], side)
        for y in range(framed):
            row = y // tile
            shift = np.int64(below(np.uint64(words[row * drawn]), np.uint64(tile)))
            for x in range(framed):
                inner_y = min(max(y - RADIUS, 0), side - 1)
                inner_x = min(max(x - RADIUS, 0), side - 1)
                owner = np.int64(second[inner_y * side + inner_x])
                at = row * drawn + 1 + 4 * ((x + shift) // tile) + 2 * owner
                top = np.int64(below(np.uint64(words[at]), spare)) + RADIUS + owner * pitch
                left = np.int64(below(np.uint64(words[at + 1]), spare)) + RADIUS
                sources[t, y, x] = (top + y % tile) * pitch + left + (x + shift) % tile
    return sources


@njit(nogil=True, cache=True, error_model="numpy")
def _second(key, side):  # type: ignore[no-untyped-def]
    """Which pixels the second exemplar feeds, (side * side,): those above the median of a smooth field."""
    knots = side // TILE + 4
    noise = np.empty(-(-knots * knots // 4) * 4, np.uint32)
    fill_words(noise, extend(stream(key, _FIELD), np.uint64(1)), 0)
    boxed = np.zeros((knots - 2, knots - 2), np.int64)
    for y in range(knots - 2):
        for x in range(knots - 2):
            for n in range(9):
                boxed[y, x] += noise[(y + n // 3) * knots + x + n % 3] >> 16
    pixels = side * side
    height = np.empty(pixels, np.int64)
    for y in range(side):
        top, low = y // TILE + 1, y % TILE
        bottom = min(top + 1, knots - 3)
        for x in range(side):
            left, part = x // TILE + 1, x % TILE
            right = min(left + 1, knots - 3)
            above = (TILE - part) * boxed[top, left] + part * boxed[top, right]
            beneath = (TILE - part) * boxed[bottom, left] + part * boxed[bottom, right]
            value = (TILE - low) * above + low * beneath
            height[y * side + x] = value * pixels + y * side + x  # no two equal: the cut is exact
    return height >= np.partition(height, pixels // 2)[pixels // 2]
