"""Mirrored and blended patch negatives as compiled code, for arrays and CPU tensors.

Squares are copied as `cpu` does, then mirrored in the result. Seams are blended there, too, since a pixel is
mixed with its mirror image across the seam.

Shapes: N images, k negatives each, P planes, H W pixels, B bytes or E values a pixel, row = W * B.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from texneg.jit import compiled
from texneg.layout import Bytes
from texneg.patches.copy_rows import copy_rows
from texneg.patches.cpu import patch_corners, patch_side, patch_turn, steps_of_turn, tiles_along
from texneg.patches.plan import Rule
from texneg.patches.reverse import PIXELS, copy_reversed, plain_reversed
from texneg.philox.arrays import U64
from texneg.philox.compiled import fold_field

_U = np.uint64
_ONE, _RGB, _FOUR = _U(1), _U(3), _U(4)


def shuffle(images: Bytes, out: Bytes, index: U64, rule: Rule) -> None:
    """Fill out (N, k, P, H, W, B) from images (N, P, H, W, B), squares mirrored, seams left as they are."""
    _shuffle(images, out, index, *_numbers(rule))


def blend(out: npt.NDArray[Any], index: U64, rule: Rule) -> None:
    """Blend the seams of out (N, k, P, H, W, E), of uint8, uint16, float32 or float64, in place."""
    N, count, _, _, _, E = out.shape
    if out.size:
        _blend(out.reshape(N, count, *out.shape[2:4], -1), E, out.dtype.kind == "u", index, *_numbers(rule))


def _numbers(rule: Rule) -> tuple[Any, ...]:
    """The rule in types that are the same for every rule."""
    base, lo, hi, source, *others = rule
    return _U(base), lo, hi, int(source), *others


@compiled()
def _shuffle(  # type: ignore[no-untyped-def]
    images, out, index, base, lo, hi, source, flip, rotate, mirror, blend
):
    P, H, W, B = _U(images.shape[1]), _U(images.shape[2]), _U(images.shape[3]), _U(images.shape[4])
    count, lo, hi, source, mirror = _U(out.shape[1]), _U(lo), _U(hi), _U(source), _U(mirror)
    row = W * B
    plane = H * row
    most = tiles_along(H, lo * mirror, source) * tiles_along(W, lo * mirror, source)
    corners = np.empty(most + _U(1), np.uint64)
    for n in range(_U(len(index))):
        image_key = fold_field(base, index[n])
        for k in range(count):
            key = fold_field(image_key, k)
            d = patch_side(key, H, W, lo, hi, source)
            side = d * mirror
            columns = tiles_along(W, side, source)
            patch_corners(key, H, W, B, d, tiles_along(H, side, source) * columns, source, corners)
            for p in range(P):
                start, to = (n * P + p) * plane, ((n * count + k) * P + p) * plane
                tile = _U(0)
                for y in range(_U(0), H, side):
                    h, at = min(d, H - y), to + y * row
                    for x in range(_U(0), W, side):
                        w, number = min(d, W - x), tile + x // side
                        if flip or rotate:
                            turn = patch_turn(key, number, flip, rotate)
                            begin, down, right = steps_of_turn(turn, d, row, B)
                            begin += start + corners[number]
                            for i in range(h):
                                begun = begin + i * down
                                copy_rows(out, at + i * row + x * B, B, images, begun, right, w, B)
                        else:
                            copy_rows(out, at + x * B, row, images, start + corners[number], row, h, w * B)
                        _mirror_right(out, at + x * B, row, B, d, h, min(side, W - x))
                    _mirror_down(out, at, row, d, min(side, H - y))
                    tile += columns


@compiled(inline="always")
def _mirror_right(out, at, row, B, d, h, width):  # type: ignore[no-untyped-def]
    """Fill h rows of a tile, of which d pixels are there, up to its width with mirror images."""
    memory = out.reshape(-1)
    whole = B == _ONE or B == _RGB or B == _FOUR  # noqa: PLR1714 (a tuple would be built)
    for x in range(d, width, d):
        w, to = min(d, width - x), at + x * B
        for _ in range(h):
            if whole and w >= _U(PIXELS):
                copy_reversed(memory, to, to - B, w, B)
            else:
                plain_reversed(memory, to, to - B, w, B)
            to += row


@compiled(inline="always")
def _mirror_down(out, at, row, d, height):  # type: ignore[no-untyped-def]
    """Fill a row of tiles, of which d rows of pixels are there, down to its height with mirror images."""
    for y in range(d, height, d):
        begun = at + (y - _U(1)) * row
        copy_rows(out, at + y * row, row, out, begun, _U(0) - row, min(d, height - y), row)


@compiled()
def _blend(  # type: ignore[no-untyped-def]
    out, E, whole, index, base, lo, hi, source, flip, rotate, mirror, blend
):
    """Blend seams of out (N, k, P, H, W * E): in each row those between columns of tiles, then the others.

    Where `whole`, values are numbers of 8 or 16 bits, and so is their mixture.
    """
    count, P, H, row = _U(out.shape[1]), _U(out.shape[2]), _U(out.shape[3]), _U(out.shape[4])
    lo, hi, source, mirror, E = _U(lo), _U(hi), _U(source), _U(mirror), _U(E)
    W = row // E
    values = out.reshape(-1)
    for n in range(_U(len(index))):
        image_key = fold_field(base, index[n])
        for k in range(count):
            d = patch_side(fold_field(image_key, k), H, W, lo, hi, source)
            side, depth = d * mirror, d * _U(blend) >> _U(9)
            first = (n * count + k) * P * H
            for x in range(side, W, side):
                reach = min(depth, W - x)
                for u in range(reach):
                    c = _weight(u, reach)
                    to, back = first * row + (x + u) * E, (_U(2) * u + _U(1)) * E
                    if E == _RGB:
                        for _ in range(P * H):
                            for e in range(_RGB):
                                _mix_one(values, to - back + e, to + e, c, whole)
                            to += row
                    else:
                        for _ in range(P * H):
                            _mix(values, to - back, to, E, c, whole)
                            to += row
            for p in range(P):
                for y in range(side, H, side):
                    seam = (first + p * H + y) * row
                    reach = min(depth, H - y)
                    for u in range(reach):
                        one, other = seam - (u + _U(1)) * row, seam + u * row
                        _mix(values, one, other, row, _weight(u, reach), whole)


@compiled(inline="always")
def _weight(u, depth):  # type: ignore[no-untyped-def]
    """`plan.mix_weight`."""
    return _U(64) * (_U(2) * (depth - u) - _U(1)) // depth


@compiled(inline="always")
def _mix(values, one, other, count, c, whole):  # type: ignore[no-untyped-def]
    """Mix two runs of values, each with c / 256 of the other."""
    for i in range(count):
        _mix_one(values, one + i, other + i, c, whole)


@compiled(inline="always")
def _mix_one(values, one, other, c, whole):  # type: ignore[no-untyped-def]
    """Mix two values, each with c / 256 of the other."""
    a, b = values[one], values[other]
    if whole:
        own, other_ = np.int32(a), np.int32(b)
        moved = (other_ - own) * np.int32(c)
        values[one] = ((own << 8) + moved + 128) >> 8
        values[other] = ((other_ << 8) - moved + 128) >> 8
    else:
        share = np.float32(c) / np.float32(256)
        values[one] = a + (b - a) * share
        values[other] = b + (a - b) * share
