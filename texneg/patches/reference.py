"""Patch negatives in plain NumPy: slow, short, and the reference that the other executors must equal.

Shapes: N images, k negatives each, P planes, H W pixels, B bytes a pixel (`layout`).
"""

import numpy as np

from texneg.layout import Bytes
from texneg.patches.plan import Rule, plan
from texneg.philox.arrays import U64, fold_array


def shuffle(images: Bytes, out: Bytes, index: U64, rule: Rule) -> None:
    """Fill out (N, k, P, H, W, B) from images (N, P, H, W, B); arguments checked by `patch_negatives`."""
    N, _, H, W, _ = images.shape
    for n in range(N):
        for k in range(out.shape[1]):
            key = fold_array(fold_array(rule.base, index[n : n + 1]), np.array([k]))
            d, columns, tops, lefts, turns = plan(int(key[0]), H, W, rule)
            for tile, (top, left, turn) in enumerate(zip(tops, lefts, turns, strict=True)):
                y, x = tile // columns * d, tile % columns * d
                patch = images[n, :, top : top + d, left : left + d]
                patch = patch[:, :, ::-1] if turn & 1 else patch
                patch = np.rot90(patch, turn >> 1, axes=(1, 2))
                h, w = max(0, min(d, H - y)), max(0, min(d, W - x))
                out[n, k, :, y : y + h, x : x + w] = patch[:, :h, :w]
