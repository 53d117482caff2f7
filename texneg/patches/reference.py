"""Patch negatives in plain NumPy: slow, short, and the reference that the other executors must equal.

Shapes: N images, k negatives each, P planes, H W pixels, B bytes a pixel (`layout`).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from texneg.layout import Bytes
from texneg.patches.plan import Plan, Rule, mix_weight, plan, seam_depth
from texneg.philox.arrays import U64, fold_array


def shuffle(images: Bytes, out: Bytes, index: U64, rule: Rule) -> None:
    """Fill out (N, k, P, H, W, B) from images (N, P, H, W, B); arguments checked by `patch_negatives`."""
    H, W = images.shape[2:4]
    for n, k, made in _plans(out, index, rule):
        side = made.d * rule.mirror
        for tile, (top, left, turn) in enumerate(zip(made.tops, made.lefts, made.turns, strict=True)):
            y, x = tile // made.columns * side, tile % made.columns * side
            patch = images[n, :, top : top + made.d, left : left + made.d]
            patch = patch[:, :, ::-1] if turn & 1 else patch
            patch = np.rot90(patch, turn >> 1, axes=(1, 2))
            before, beyond = (0, 0), (0, side - made.d)
            patch = np.pad(patch, (before, beyond, beyond, before), mode="symmetric")
            h, w = max(0, min(side, H - y)), max(0, min(side, W - x))
            out[n, k, :, y : y + h, x : x + w] = patch[:, :h, :w]


def blend(out: npt.NDArray[Any], index: U64, rule: Rule) -> None:
    """Blend the seams of out (N, k, P, H, W, values of a pixel) in place: whole numbers or floats."""
    for n, k, made in _plans(out, index, rule):
        depth = seam_depth(made.d, rule.blend)
        _blend_rows(out[n, k].swapaxes(0, 2), made.d * rule.mirror, depth)
        _blend_rows(out[n, k].swapaxes(0, 1), made.d * rule.mirror, depth)


def _blend_rows(lines: npt.NDArray[Any], side: int, depth: int) -> None:
    """Blend the seams between tiles along the first axis."""
    for seam in range(side, len(lines), side):
        reach = min(depth, len(lines) - seam)
        for u in range(reach):
            a, b = lines[seam - 1 - u].copy(), lines[seam + u].copy()
            c = mix_weight(u, reach)
            lines[seam - 1 - u], lines[seam + u] = _mix(a, b, c), _mix(b, a, c)


def _mix(a: npt.NDArray[Any], b: npt.NDArray[Any], c: int) -> npt.NDArray[Any]:
    if a.dtype.kind == "u":
        return ((256 - c) * a.astype(int) + c * b.astype(int) + 128 >> 8).astype(a.dtype)
    mixed: npt.NDArray[Any] = a + (b - a) * a.dtype.type(c / 256)
    return mixed


def _plans(out: npt.NDArray[Any], index: U64, rule: Rule) -> Iterator[tuple[int, int, Plan]]:
    """Draw the plan of each negative; its image and number come with it."""
    N, count, _, H, W, _ = out.shape
    for n in range(N):
        for k in range(count):
            key = fold_array(fold_array(rule.base, index[n : n + 1]), np.array([k]))
            yield n, k, plan(int(key[0]), H, W, rule)
