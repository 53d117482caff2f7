"""Patch negatives as compiled copies of squares: the fast executor for arrays and CPU tensors.

Shapes: N images, k negatives each, P planes, H W pixels, B bytes a pixel (`patch_layout`). The kernel works
on bytes with unsigned 64-bit numbers, holds no GIL and starts no thread: loader workers can call it.
"""

import numpy as np
from numba import config, njit, types

from texneg.layout import Bytes
from texneg.patches.copy_rows import copy_rows, copy_rows_fetching
from texneg.patches.cpu_plan import patch_corners, patch_side, patch_turn, tiles_along
from texneg.patches.plan import Rule
from texneg.philox.arrays import U64, fold_field

_U = np.uint64
_NEAR = 1 << 21  # bytes of images and result that lie in a core's own cache


def shuffle(images: Bytes, out: Bytes, index: U64, rule: Rule) -> None:
    """Fill out (N, k, P, H, W, B) from images (N, P, H, W, B); arguments checked by `patch_negatives`."""
    _kernel(images, out, index, *rule)


@njit(nogil=True, cache=True, inline="always")
def _strip(images, start, out, to, W, B, d, h, tile, corners):  # type: ignore[no-untyped-def]
    """A row of tiles, h pixels high, from the plane at byte `start` of images to byte `to` of out."""
    row = W * B
    for x in range(_U(0), W, d):
        copy_rows(out, to + x * B, row, images, start + corners[tile], row, h, min(d, W - x) * B)
        tile += _U(1)


@njit(nogil=True, cache=True)
def _far_strip(images, start, out, to, W, B, d, h, tile, corners):  # type: ignore[no-untyped-def]
    """The same while the next tile is fetched, which pays where images and result lie in no near cache."""
    row = W * B
    for x in range(_U(0), W, d):
        next_to = to + (x + d) * B if x + d < W else to + d * row
        patch, next_patch = start + corners[tile], start + corners[tile + _U(1)]
        w = min(d, W - x)
        copy_rows_fetching(out, to + x * B, row, images, patch, row, h, w * B, next_to, next_patch)
        tile += _U(1)


@njit(nogil=True, cache=True)
def _turned_strip(  # type: ignore[no-untyped-def]
    images, start, out, to, W, B, d, h, tile, corners, key, flip, rotate
):
    """The same with each patch turned: its rows are read pixel by pixel."""
    for x in range(_U(0), W, d):
        begin, down, right = _steps(patch_turn(key, tile, flip, rotate), d, W * B, B)
        begin += start + corners[tile]
        for y in range(h):
            patch, corner = begin + y * down, to + (y * W + x) * B
            copy_rows(out, corner, B, images, patch, right, min(d, W - x), B)
        tile += _U(1)


@njit(nogil=True, cache=True, inline="always")
def _steps(turn, d, row, B):  # type: ignore[no-untyped-def]
    """Where a turned patch begins in its square, and the steps down and right in it: bytes modulo 2^64."""
    begin, down, right = _U(0), row, B
    if turn & _U(1):
        begin, right = (d - _U(1)) * B, _U(0) - B
    for _ in range(turn >> _U(1)):
        begin, down, right = begin + (d - _U(1)) * right, _U(0) - right, down
    return begin, down, right


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
    row = W * B
    plane = H * row
    far = images.size + out.size > _NEAR
    corners = np.empty(tiles_along(H, lo, source) * tiles_along(W, lo, source) + _U(1), np.uint64)
    for n in range(_U(len(index))):
        image_key = fold_field(base, index[n])
        for k in range(count):
            key = fold_field(image_key, k)
            d = patch_side(key, H, W, lo, hi, source)
            columns = tiles_along(W, d, source)
            patch_corners(key, H, W, B, d, tiles_along(H, d, source) * columns, source, corners)
            for p in range(P):
                start, to = (n * P + p) * plane, ((n * count + k) * P + p) * plane
                tile = _U(0)
                for y in range(_U(0), H, d):
                    h, at = min(d, H - y), to + y * row
                    if flip or rotate:
                        _turned_strip(images, start, out, at, W, B, d, h, tile, corners, key, flip, rotate)
                    elif far:
                        _far_strip(images, start, out, at, W, B, d, h, tile, corners)
                    else:
                        _strip(images, start, out, at, W, B, d, h, tile, corners)
                    tile += columns


# The entry point skips the dispatcher's look at types: 0.2 us, a quarter of the work on 32 pixels.
_kernel = _shuffle if config.DISABLE_JIT else _shuffle.overloads[_SIGNATURE.args].entry_point
