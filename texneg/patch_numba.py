"""Patch negatives as compiled copies of rows: the fast executor for arrays and CPU tensors.

Shapes: N images, k negatives each, P planes, H W pixels, B bytes a pixel (`patch_layout`). The kernel works
on flat bytes with unsigned 64-bit indices, holds no GIL and starts no thread: loader workers can call it.
"""

import numpy as np
from numba import njit, types

from texneg.memcpy import memcpy
from texneg.patch_layout import Bytes
from texneg.patch_plan import Rule
from texneg.philox import U64, below, philox_words

_U = np.uint64


def shuffle(images: Bytes, out: Bytes, index: U64, rule: Rule) -> None:
    """Fill out (N, k, P, H, W, B) from images (N, P, H, W, B); arguments checked by `patch_negatives`."""
    _shuffle(images, out, index, _U(rule.base), rule.lo, rule.hi, rule.overlap)


@njit(nogil=True, cache=True, inline="always")
def _fold(key, field):  # type: ignore[no-untyped-def]
    """One more step of `philox.fold`."""
    z = key + field + _U(0x9E3779B97F4A7C15)
    z = (z ^ (z >> _U(30))) * _U(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> _U(27))) * _U(0x94D049BB133111EB)
    return z ^ (z >> _U(31))


@njit(nogil=True, cache=True, inline="always")
def _plan_overlap(key, H, W, d, tops, lefts):  # type: ignore[no-untyped-def]
    tiles = _tiles(H, d) * _tiles(W, d)
    heights, widths = H - d + _U(1), W - d + _U(1)  # where a patch fits
    for j in range((tiles + _U(1)) // _U(2)):
        y0, x0, y1, x1 = philox_words(key, j + _U(1))
        even, odd = _U(2) * j, _U(2) * j + _U(1)
        tops[even], lefts[even] = below(y0, heights), below(x0, widths)
        tops[odd], lefts[odd] = below(y1, heights), below(x1, widths)


@njit(nogil=True, cache=True)
def _plan_disjoint(key, H, W, d, tops, lefts):  # type: ignore[no-untyped-def]
    tiles = _tiles(H, d) * _tiles(W, d)
    columns = W // d
    cells = (H // d) * columns
    slots = _tiles(tiles, cells) * cells
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


@njit(nogil=True, cache=True, inline="always")
def _tiles(length, d):  # type: ignore[no-untyped-def]
    return (length + d - _U(1)) // d


@njit(nogil=True, cache=True, inline="always")
def _copy_tiles(source, start, target, to, H, W, B, d, tops, lefts):  # type: ignore[no-untyped-def]
    """One plane, which begins at byte `start` of source and at byte `to` of target."""
    row = W * B
    columns = _tiles(W, d)
    for r in range(_tiles(H, d)):
        for c in range(columns):
            tile = r * columns + c
            patch = start + tops[tile] * row + lefts[tile] * B
            corner = to + r * d * row + c * d * B
            count = min(d, W - c * d) * B
            for y in range(min(d, H - r * d)):
                memcpy(target, corner + y * row, source, patch + y * row, count)


_SIGNATURE = types.void(
    types.Array(types.uint8, 5, "C", readonly=True),
    types.Array(types.uint8, 6, "C"),
    types.Array(types.uint64, 1, "C", readonly=True),
    types.uint64,
    types.int64,
    types.int64,
    types.boolean,
)


@njit(_SIGNATURE, nogil=True, cache=True)
def _shuffle(images, out, index, base, lo, hi, overlap):  # type: ignore[no-untyped-def]
    P, H, W, B = _U(images.shape[1]), _U(images.shape[2]), _U(images.shape[3]), _U(images.shape[4])
    count, lo, hi = _U(out.shape[1]), _U(lo), _U(hi)
    source, target = images.reshape(-1), out.reshape(-1)
    tiles = _tiles(H, lo) * _tiles(W, lo) + _U(1)  # one more: the plan is drawn two tiles at a time
    tops, lefts = np.empty(tiles, np.uint64), np.empty(tiles, np.uint64)
    plane = H * W * B
    for n in range(_U(len(index))):
        image_key = _fold(base, index[n])
        for k in range(count):
            key = _fold(image_key, k)
            d = lo + below(philox_words(key, _U(0))[0], hi - lo + _U(1))
            if overlap:
                _plan_overlap(key, H, W, d, tops, lefts)
            else:
                _plan_disjoint(key, H, W, d, tops, lefts)
            for p in range(P):
                start, to = (n * P + p) * plane, ((n * count + k) * P + p) * plane
                _copy_tiles(source, start, target, to, H, W, B, d, tops, lefts)
