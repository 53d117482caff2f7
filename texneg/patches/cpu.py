"""Patch negatives as compiled copies of squares: the fast executor for arrays and CPU tensors.

Compiled code draws the plan (`plan`) and copies as it says. It works on bytes with unsigned 64-bit numbers,
holds no GIL and starts no thread: loader workers can call it.

Shapes: N images, k negatives each, P planes, H W pixels, B bytes a pixel (`layout`), row = W * B. A corner is
the byte of a plane where a patch begins.
"""

import numpy as np
from numba import config, types

from texneg.jit import compiled
from texneg.layout import Bytes
from texneg.patches.copy_rows import copy_rows, copy_rows_fetching
from texneg.patches.plan import TURN_BLOCK, Rule, Source
from texneg.philox.arrays import U64
from texneg.philox.compiled import below, fold_field, philox_words

_U = np.uint64
_PAPER, _DISJOINT, _PERMUTATION = _U(Source.PAPER), _U(Source.DISJOINT), _U(Source.PERMUTATION)
_TURN_BLOCK = _U(TURN_BLOCK)
_CELL = _U((1 << 26) - 1)
_NEAR = 1 << 21  # bytes of images and result that lie in a core's own cache


def shuffle(images: Bytes, out: Bytes, index: U64, rule: Rule) -> None:
    """Fill out (N, k, P, H, W, B) from images (N, P, H, W, B); squares as they are.

    Arguments are checked by `patch_negatives`.
    """
    base, lo, hi, source, flip, rotate, _, _ = rule
    _kernel(images, out, index, base, lo, hi, source, flip, rotate)


@compiled(inline="always")
def tiles_along(length, d, source):  # type: ignore[no-untyped-def]
    """Tiles of side d along one side of the image."""
    return length // d + _U(1) if source == _PAPER else (length + d - _U(1)) // d


@compiled(inline="always")
def patch_side(key, H, W, lo, hi, source):  # type: ignore[no-untyped-def]
    """The side d in pixels."""
    word = philox_words(key, _U(0))[0]
    return _divisor(H, W, lo, hi, word) if source == _PERMUTATION else lo + below(word, hi - lo + _U(1))


@compiled()
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


@compiled(inline="always")
def patch_corners(key, H, W, B, d, tiles, source, corners):  # type: ignore[no-untyped-def]
    """Fill corners[:tiles], row-major, and one more to look ahead to."""
    if source in (_DISJOINT, _PERMUTATION):
        _grid(key, H, W, B, d, tiles, corners)
    else:
        last = _U(source != _PAPER)
        _crops(key, max(_U(1), H - d + last), max(_U(1), W - d + last), W * B, B, tiles, corners)
    corners[tiles] = corners[0]


@compiled()
def _crops(key, heights, widths, row, B, tiles, corners):  # type: ignore[no-untyped-def]
    for j in range((tiles + _U(1)) // _U(2)):
        y0, x0, y1, x1 = philox_words(key, j + _U(1))
        corners[_U(2) * j] = below(y0, heights) * row + below(x0, widths) * B
        corners[_U(2) * j + _U(1)] = below(y1, heights) * row + below(x1, widths) * B


@compiled()
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


@compiled()
def patch_turn(key, tile, flip, rotate):  # type: ignore[no-untyped-def]
    """2 * quarter turns counter-clockwise + 1 if mirrored (before turning)."""
    even, odd, even_after, odd_after = philox_words(key, _TURN_BLOCK + tile // _U(4))
    if tile & _U(2):
        even, odd = even_after, odd_after
    word = odd if tile & _U(1) else even
    return (word >> _U(31)) * _U(flip) + _U(2) * (word >> _U(29) & _U(3)) * _U(rotate)


@compiled(inline="always")
def _strip(images, start, out, to, W, B, d, h, tile, corners):  # type: ignore[no-untyped-def]
    """Copy a row of tiles, h pixels high, from the plane at byte `start` of images to byte `to` of out."""
    row = W * B
    for x in range(_U(0), W, d):
        copy_rows(out, to + x * B, row, images, start + corners[tile], row, h, min(d, W - x) * B)
        tile += _U(1)


@compiled()
def _far_strip(images, start, out, to, W, B, d, h, tile, corners):  # type: ignore[no-untyped-def]
    """`_strip` that fetches the next tile: faster where images and result lie in no near cache."""
    row = W * B
    for x in range(_U(0), W, d):
        next_to = to + (x + d) * B if x + d < W else to + d * row
        patch, next_patch = start + corners[tile], start + corners[tile + _U(1)]
        w = min(d, W - x)
        copy_rows_fetching(out, to + x * B, row, images, patch, row, h, w * B, next_to, next_patch)
        tile += _U(1)


@compiled()
def _turned_strip(  # type: ignore[no-untyped-def]
    images, start, out, to, W, B, d, h, tile, corners, key, flip, rotate
):
    """`_strip` with each patch turned: its rows are read pixel by pixel."""
    for x in range(_U(0), W, d):
        begin, down, right = steps_of_turn(patch_turn(key, tile, flip, rotate), d, W * B, B)
        begin += start + corners[tile]
        for y in range(h):
            patch, corner = begin + y * down, to + (y * W + x) * B
            copy_rows(out, corner, B, images, patch, right, min(d, W - x), B)
        tile += _U(1)


@compiled(inline="always")
def steps_of_turn(turn, d, row, B):  # type: ignore[no-untyped-def]
    """First byte of a turned patch in its square, and the steps down and right: bytes modulo 2^64."""
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


@compiled(_SIGNATURE)
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
