"""The plan of a patch negative: which square of the image lands in which tile.

A plan is a pure function of (seed, epoch, index, k): the data-set index of the image and the number of the
negative. Every executor (`patch_numpy`, `patch_numba`, `patch_torch`) computes this plan in its own language
and moves the same bytes. This file is the definition.

The key of a sample is `fold(seed, epoch, PURPOSE, index, k)`; its Philox words are spent as follows.

    block 0          word 0: patch side d, uniform on lo ... hi, both included
                     words 1, 2: y, x of the source grid (disjoint mode only)
    block 1 + j      overlap: y, x of tile 2j (words 0, 1) and of tile 2j + 1 (words 2, 3)
                     disjoint: the sort words of slots 4j ... 4j + 3

Tiles are row-major, ceil(H/d) x ceil(W/d) of them, the last row and column cut at the border. With overlap
(the default, the official code of Ge et al., NeurIPS 2021) each tile is an independent crop. Their code never
draws the last possible offset, an off-by-one; here every position where the patch fits is equally likely.

Disjoint: floor(H/d) x floor(W/d) disjoint source cells at a random grid offset, used in a random permutation,
and in a fresh permutation whenever one is used up (at most four times).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from texneg.philox import fold, philox

PURPOSE = 0x9A7C
MAX_PIXELS = 1 << 26  # the sort words of disjoint mode leave 26 bits for the cell

Places = npt.NDArray[np.int64]


class Rule(NamedTuple):
    """What decides a batch of plans beside the index and number of each negative."""

    base: int  # `base_key(seed, epoch)`
    lo: int  # smallest and largest patch side in pixels
    hi: int
    overlap: bool


def default_size(height: int, width: int) -> tuple[int, int]:
    """Smallest and largest patch side in pixels: the paper's 16 and 72 of 224, scaled to the shorter side.

    >>> default_size(224, 300), default_size(96, 96), default_size(32, 32)
    ((16, 72), (7, 31), (2, 10))
    """
    side = min(height, width)
    lo = max(2, (16 * side + 112) // 224)
    return lo, max(lo, (72 * side + 112) // 224)


def base_key(seed: int, epoch: int) -> int:
    """The part of the key that a whole batch shares."""
    return fold(seed, epoch, PURPOSE)


def tiling(height: int, width: int, d: int) -> tuple[int, int]:
    """Rows and columns of tiles of side d that cover the image."""
    return -(-height // d), -(-width // d)


def permutations_needed(height: int, width: int, d: int) -> tuple[int, int]:
    """Disjoint mode: number of source cells, and how many permutations of them fill the tiles (1 ... 4)."""
    rows, columns = tiling(height, width, d)
    cells = (height // d) * (width // d)
    return cells, -(-rows * columns // cells)


def plan(key: int, height: int, width: int, rule: Rule) -> tuple[int, Places, Places]:
    """Patch side d, and top and left corner in the image of the patch of each tile, row-major."""
    first = philox(key, 0)
    d = rule.lo + _below(first[0], rule.hi - rule.lo + 1)
    rows, columns = tiling(height, width, d)
    tiles = rows * columns
    if rule.overlap:
        words = philox(key, 1 + np.arange(-(-tiles // 2))).reshape(-1, 2)[:tiles]
        return d, _below_each(words[:, 0], height - d + 1), _below_each(words[:, 1], width - d + 1)
    cells, rounds = permutations_needed(height, width, d)
    words = philox(key, 1 + np.arange(-(-rounds * cells // 4))).reshape(-1)[: rounds * cells]
    order = np.argsort(words.reshape(rounds, cells), axis=1, kind="stable").reshape(-1)[:tiles]
    top, left = _below(first[1], height % d + 1), _below(first[2], width % d + 1)
    return d, top + order // (width // d) * d, left + order % (width // d) * d


def _below(word: np.uint32, bound: int) -> int:
    """Uniform integer in 0 ... bound - 1 by multiply and shift."""
    return int(word) * bound >> 32


def _below_each(words: npt.NDArray[np.uint32], bound: int) -> Places:
    return (words.astype(np.int64) * bound) >> 32
