"""The plan of a patch negative (`patch_plan`) in compiled code: numbers are uint64, places are bytes.

Shapes: H W pixels, B bytes a pixel, row = W * B. A corner is the byte of a plane where a patch begins.
"""

import numpy as np
from numba import njit

from texneg.patches.plan import TURN_BLOCK, Source
from texneg.philox.arrays import below, philox_words

_U = np.uint64
_PAPER, _DISJOINT, _PERMUTATION = _U(Source.PAPER), _U(Source.DISJOINT), _U(Source.PERMUTATION)
_TURN_BLOCK = _U(TURN_BLOCK)
_CELL = _U((1 << 26) - 1)


@njit(nogil=True, cache=True, inline="always")
def tiles_along(length, d, source):  # type: ignore[no-untyped-def]
    """Tiles of side d along one side of the image."""
    return length // d + _U(1) if source == _PAPER else (length + d - _U(1)) // d


@njit(nogil=True, cache=True, inline="always")
def patch_side(key, H, W, lo, hi, source):  # type: ignore[no-untyped-def]
    """The side d in pixels."""
    word = philox_words(key, _U(0))[0]
    return _divisor(H, W, lo, hi, word) if source == _PERMUTATION else lo + below(word, hi - lo + _U(1))


@njit(nogil=True, cache=True)
def _divisor(H, W, lo, hi, word):  # type: ignore[no-untyped-def]
    """One of the common divisors of H and W from lo to hi, of which there is at least one."""
    found = _U(0)
    for d in range(lo, hi + _U(1)):
        found += _U(H % d == 0 and W % d == 0)
    skip, d = below(word, found), lo
    while skip > 0 or H % d != 0 or W % d != 0:
        skip -= _U(H % d == 0 and W % d == 0)
        d += _U(1)
    return d


@njit(nogil=True, cache=True, inline="always")
def patch_corners(key, H, W, B, d, tiles, source, corners):  # type: ignore[no-untyped-def]
    """Fill corners[:tiles], row-major, and one more to look ahead to."""
    if source in (_DISJOINT, _PERMUTATION):
        _grid(key, H, W, B, d, tiles, corners)
    else:
        last = _U(source != _PAPER)
        _crops(key, max(_U(1), H - d + last), max(_U(1), W - d + last), W * B, B, tiles, corners)
    corners[tiles] = corners[0]


@njit(nogil=True, cache=True)
def _crops(key, heights, widths, row, B, tiles, corners):  # type: ignore[no-untyped-def]
    for j in range((tiles + _U(1)) // _U(2)):
        y0, x0, y1, x1 = philox_words(key, j + _U(1))
        corners[_U(2) * j] = below(y0, heights) * row + below(x0, widths) * B
        corners[_U(2) * j + _U(1)] = below(y1, heights) * row + below(x1, widths) * B


@njit(nogil=True, cache=True)
def _grid(key, H, W, B, d, tiles, corners):  # type: ignore[no-untyped-def]
    columns = W // d
    cells = (H // d) * columns
    slots = (tiles + cells - _U(1)) // cells * cells
    order = np.empty(slots + _U(3), np.uint64)  # permutation number, sort word, cell: ascending
    for j in range((slots + _U(3)) // _U(4)):
        w0, w1, w2, w3 = philox_words(key, j + _U(1))
        order[_U(4) * j], order[_U(4) * j + _U(1)] = w0, w1
        order[_U(4) * j + _U(2)], order[_U(4) * j + _U(3)] = w2, w3
    for slot in range(slots):
        order[slot] = ((slot // cells) << _U(58)) | (order[slot] << _U(26)) | (slot % cells)
    order[:slots].sort()
    _, y, x, _ = philox_words(key, _U(0))
    top, left = below(y, H % d + _U(1)), below(x, W % d + _U(1))
    for tile in range(tiles):
        cell = order[tile] & _CELL
        corners[tile] = ((top + cell // columns * d) * W + left + cell % columns * d) * B


@njit(nogil=True, cache=True)
def patch_turn(key, tile, flip, rotate):  # type: ignore[no-untyped-def]
    """2 * quarter turns counter-clockwise + 1 if mirrored (before turning)."""
    even, odd, even_after, odd_after = philox_words(key, _TURN_BLOCK + tile // _U(4))
    if tile & _U(2):
        even, odd = even_after, odd_after
    word = odd if tile & _U(1) else even
    return (word >> _U(31)) * _U(flip) + _U(2) * (word >> _U(29) & _U(3)) * _U(rotate)
