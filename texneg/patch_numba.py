"""Patch negatives as compiled copies of squares: the fast executor for arrays and CPU tensors.

Shapes: N images, k negatives each, P planes, H W pixels, B bytes a pixel (`patch_layout`). The kernel works
on flat bytes with unsigned 64-bit indices, holds no GIL and starts no thread: loader workers can call it.
"""

import numpy as np
from numba import njit, types

from texneg.memcpy import memcpy
from texneg.patch_layout import Bytes
from texneg.patch_plan import TURN_BLOCK, Rule, Source
from texneg.philox import U64, below, philox_words

_U = np.uint64
_PAPER, _DISJOINT, _PERMUTATION = _U(Source.PAPER), _U(Source.DISJOINT), _U(Source.PERMUTATION)
_TURN_BLOCK = _U(TURN_BLOCK)


def shuffle(images: Bytes, out: Bytes, index: U64, rule: Rule) -> None:
    """Fill out (N, k, P, H, W, B) from images (N, P, H, W, B); arguments checked by `patch_negatives`."""
    base, lo, hi, source, flip, rotate = rule
    _shuffle(images, out, index, base, lo, hi, int(source), flip, rotate)


@njit(nogil=True, cache=True, inline="always")
def _fold(key, field):  # type: ignore[no-untyped-def]
    """One more step of `philox.fold`."""
    z = key + field + _U(0x9E3779B97F4A7C15)
    z = (z ^ (z >> _U(30))) * _U(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> _U(27))) * _U(0x94D049BB133111EB)
    return z ^ (z >> _U(31))


@njit(nogil=True, cache=True)
def _common_divisor(H, W, lo, hi, word):  # type: ignore[no-untyped-def]
    """One of the common divisors of H and W from lo to hi."""
    found = _U(0)
    for d in range(lo, hi + _U(1)):
        found += _U(H % d == 0 and W % d == 0)
    skip = below(word, found)
    for d in range(lo, hi + _U(1)):
        if H % d == 0 and W % d == 0:
            if skip == 0:
                return d
            skip -= _U(1)
    return hi


@njit(nogil=True, cache=True, inline="always")
def _tiles(length, d, source):  # type: ignore[no-untyped-def]
    return length // d + _U(1) if source == _PAPER else (length + d - _U(1)) // d


@njit(nogil=True, cache=True, inline="always")
def _plan_crops(key, heights, widths, tiles, tops, lefts):  # type: ignore[no-untyped-def]
    for j in range((tiles + _U(1)) // _U(2)):
        y0, x0, y1, x1 = philox_words(key, j + _U(1))
        even, odd = _U(2) * j, _U(2) * j + _U(1)
        tops[even], lefts[even] = below(y0, heights), below(x0, widths)
        tops[odd], lefts[odd] = below(y1, heights), below(x1, widths)


@njit(nogil=True, cache=True)
def _plan_disjoint(key, H, W, d, tiles, tops, lefts):  # type: ignore[no-untyped-def]
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
        cell = order[tile] & _U(0x3FFFFFF)
        tops[tile], lefts[tile] = top + cell // columns * d, left + cell % columns * d


@njit(nogil=True, cache=True)
def _turn_of(key, tile, flip, rotate):  # type: ignore[no-untyped-def]
    w0, w1, w2, w3 = philox_words(key, _TURN_BLOCK + tile // _U(4))
    pair = (w0, w1) if tile & _U(2) == 0 else (w2, w3)
    word = pair[0] if tile & _U(1) == 0 else pair[1]
    return (word >> _U(31)) * _U(flip) + _U(2) * (word >> _U(29) & _U(3)) * _U(rotate)


@njit(nogil=True, cache=True)
def _copy_turned(target, corner, source, patch, row, B, d, h, w, turn):  # type: ignore[no-untyped-def]
    """Pixel (y, x) of the tile comes from `patch` + y * down + x * right; steps wrap when negative."""
    end = d - _U(1)
    quarters = turn >> _U(1)
    if quarters == 0:
        first, down, right = _U(0), row, B
    elif quarters == 1:
        first, down, right = end * B, _U(0) - B, row
    elif quarters == 2:
        first, down, right = end * row + end * B, _U(0) - row, _U(0) - B
    else:
        first, down, right = end * row, B, _U(0) - row
    if turn & _U(1):  # mirrored before turning: the step along a row of the patch changes its sign
        if quarters & _U(1):
            first, down = first + end * down, _U(0) - down
        else:
            first, right = first + end * right, _U(0) - right
    for y in range(h):
        to, start = corner + y * row, patch + first + y * down
        for x in range(w):
            for b in range(B):
                target[to + x * B + b] = source[start + x * right + b]


_SIGNATURE = types.void(
    types.Array(types.uint8, 5, "C", readonly=True),
    types.Array(types.uint8, 6, "C"),
    types.Array(types.uint64, 1, "C", readonly=True),
    types.uint64,
    types.int64,
    types.int64,
    types.int64,
    types.boolean,
    types.boolean,
)


@njit(_SIGNATURE, nogil=True, cache=True)
def _shuffle(images, out, index, base, lo, hi, source, flip, rotate):  # type: ignore[no-untyped-def]
    P, H, W, B = _U(images.shape[1]), _U(images.shape[2]), _U(images.shape[3]), _U(images.shape[4])
    count, lo, hi, source = _U(out.shape[1]), _U(lo), _U(hi), _U(source)
    pixels, target = images.reshape(-1), out.reshape(-1)
    most = _tiles(H, lo, source) * _tiles(W, lo, source) + _U(1)  # one more: crops are drawn in pairs
    tops, lefts = np.empty(most, np.uint64), np.empty(most, np.uint64)
    row = W * B
    plane = H * row
    for n in range(_U(len(index))):
        image_key = _fold(base, index[n])
        for k in range(count):
            key = _fold(image_key, k)
            word = philox_words(key, _U(0))[0]
            if source == _PERMUTATION:
                d = _common_divisor(H, W, lo, hi, word)
            else:
                d = lo + below(word, hi - lo + _U(1))
            rows, columns = _tiles(H, d, source), _tiles(W, d, source)
            if source >= _DISJOINT:
                _plan_disjoint(key, H, W, d, rows * columns, tops, lefts)
            else:
                last = _U(source != _PAPER)
                heights, widths = max(_U(1), H - d + last), max(_U(1), W - d + last)
                _plan_crops(key, heights, widths, rows * columns, tops, lefts)
            for tile in range(rows * columns):
                y, x = tile // columns * d, tile % columns * d
                if y >= H or x >= W:
                    continue
                h, w = min(d, H - y), min(d, W - x)
                turn = _turn_of(key, tile, flip, rotate) if flip or rotate else _U(0)
                for p in range(P):
                    patch = (n * P + p) * plane + tops[tile] * row + lefts[tile] * B
                    corner = ((n * count + k) * P + p) * plane + y * row + x * B
                    if turn:
                        _copy_turned(target, corner, pixels, patch, row, B, d, h, w, turn)
                    else:
                        for r in range(h):
                            memcpy(target, corner + r * row, pixels, patch + r * row, w * B)
