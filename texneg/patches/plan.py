"""The plan of a patch negative: for each tile, the square of the image that fills it, and its turn.

A plan is a pure function of (seed, epoch, index, k): the data-set index of the image and the number of the
negative. Every executor (`reference`, `cpu`, `device`, `cuda`) computes this plan in its own
language and moves the same bytes. This file is the definition.

The key of a sample is `fold(seed, epoch, Stream.PATCHES, index, k)`; its Philox words are spent as follows.

    block 0          word 0: patch side d; words 1, 2: y, x of the source grid (disjoint grids)
    block 1 + j      crops: y, x of tile 2j (words 0, 1) and of tile 2j + 1 (words 2, 3)
                     disjoint grids: the sort words of slots 4j ... 4j + 3
    block 2^31 + j   the turns of tiles 4j ... 4j + 3, where patches are flipped or rotated

Tiles are row-major and cut at the bottom and right border. Where the patches come from:

    CROPS        ceil(H/d) x ceil(W/d) tiles, each an independent crop, every place equally likely.
    PAPER        the tiles and places of the code of Ge et al. (NeurIPS 2021): (H//d + 1) x (W//d + 1) tiles,
                 and the last place where a crop fits is never drawn (while there is another).
    DISJOINT     floor(H/d) x floor(W/d) disjoint source cells at a random grid offset, used in a random
                 permutation, and in a fresh one whenever one is used up (at most four times).
    PERMUTATION  DISJOINT with d uniform on the common divisors of H and W from lo to hi: every pixel of the
                 image is used exactly once. The authors' first version, which they found to be worse.

Else d is uniform on lo ... hi, both included.

A tile has the side d, or m d where squares are mirrored: the square, turned, lies in its first corner; its
mirror images at its right and lower borders, theirs at those and so on fill the rest, m x m squares in all.
The rules above count tiles by the tile's side in place of d.

Seams are blended last, where a rule says so: first those between columns of tiles, then those between rows.
At a seam, h pixels on either side are mixed, each with its mirror image across it; u pixels away from it:

    c = 64 (2 (h - u) - 1) // h           256ths that the other pixel gets
    (256 - c) a + c b + 128 >> 8          whole numbers of 8 or 16 bits
    a + (b - a) (c / 256)                 floats, in float64 of float64, else in float32

and h = d blend // 512 with blend in 256ths of d, or the width of the last tile where that is less.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from texneg.arguments import shared_key
from texneg.philox.arrays import philox
from texneg.philox.streams import Stream

MAX_PIXELS = 1 << 26  # the sort words of disjoint grids leave 26 bits for the cell
TURN_BLOCK = 1 << 31

I64 = npt.NDArray[np.int64]


class Source(IntEnum):
    """The origin of the patches of a negative."""

    CROPS = 0
    PAPER = 1
    DISJOINT = 2
    PERMUTATION = 3


class Rule(NamedTuple):
    """Everything that decides a batch of plans except the index and number of each negative."""

    base: int  # `batch_key(seed, epoch)`
    lo: int  # smallest and largest patch side in pixels
    hi: int
    source: Source
    flip: bool = False  # each patch mirrored left to right, or not
    rotate: bool = False  # each patch turned by 0 to 3 quarters
    mirror: int = 1  # squares along a side of a tile: a patch and its mirror images
    blend: int = 0  # width of a blended seam, 256ths of d


class Plan(NamedTuple):
    """One negative: T tiles, row-major."""

    d: int  # patch side in pixels
    columns: int  # tiles in a row
    tops: I64  # (T,) row and column in the image of each patch's corner
    lefts: I64
    turns: I64  # (T,) 2 * quarter turns counter-clockwise + 1 if mirrored (before turning)


def default_size(height: int, width: int) -> tuple[int, int]:
    """Smallest and largest patch side in pixels: the paper's 16 and 72 of 224, scaled to the shorter side.

    >>> default_size(224, 300), default_size(96, 96), default_size(32, 32)
    ((16, 72), (7, 31), (2, 10))
    """
    side = min(height, width)
    lo = max(2, (16 * side + 112) // 224)
    return lo, max(lo, (72 * side + 112) // 224)


def small_size(height: int, width: int) -> tuple[int, int]:
    """Smallest and largest patch side in pixels that keep less of an object: 16 and 48 of 224, scaled.

    >>> small_size(224, 300), small_size(96, 96), small_size(32, 32)
    ((16, 48), (7, 21), (2, 7))
    """
    side = min(height, width)
    lo, _ = default_size(height, width)
    return lo, max(lo, (48 * side + 112) // 224)


def batch_key(seed: int, epoch: int) -> int:
    """The part of the key that a whole batch shares."""
    return shared_key(seed, epoch, Stream.PATCHES)


def tiling(height: int, width: int, side: int, source: Source) -> tuple[int, int]:
    """Rows and columns of tiles of this side that cover the image."""
    if source == Source.PAPER:
        return height // side + 1, width // side + 1
    return -(-height // side), -(-width // side)


def seam_depth(d: Any, blend: int) -> Any:
    """Pixels on either side of a seam that are blended, where tiles are whole; d is a number or a tensor."""
    return d * blend >> 9


def mix_weight(u: int, depth: int) -> int:
    """256ths that the pixel across the seam gets, u pixels away from it, u < depth."""
    return 64 * (2 * (depth - u) - 1) // depth


def divisors(height: int, width: int, lo: int, hi: int) -> list[int]:
    """The sides from lo to hi that divide both sides of the image, ascending."""
    return [d for d in range(lo, hi + 1) if height % d == width % d == 0]


def permutations_needed(height: int, width: int, d: int, mirror: int = 1) -> tuple[int, int]:
    """Disjoint grids: number of source cells, and how many permutations of them fill the tiles (1 ... 4)."""
    rows, columns = tiling(height, width, d * mirror, Source.DISJOINT)
    cells = (height // d) * (width // d)
    return cells, -(-rows * columns // cells)


def plan(key: int, height: int, width: int, rule: Rule) -> Plan:
    """The plan of the negative with this key."""
    first = philox(key, 0)
    sides: Sequence[int] = range(rule.lo, rule.hi + 1)
    if rule.source == Source.PERMUTATION:
        sides = divisors(height, width, rule.lo, rule.hi)
    d = sides[_below(first[0], len(sides))]
    side = d * rule.mirror
    rows, columns = tiling(height, width, side, rule.source)
    tiles = rows * columns
    if rule.source in (Source.CROPS, Source.PAPER):
        words = _words(key, 1, 2 * tiles).reshape(tiles, 2)
        last = 0 if rule.source == Source.PAPER else 1
        tops = _below_each(words[:, 0], max(1, height - d + last))
        lefts = _below_each(words[:, 1], max(1, width - d + last))
    else:
        cells, rounds = permutations_needed(height, width, d, rule.mirror)
        words = _words(key, 1, rounds * cells).reshape(rounds, cells)
        order = np.argsort(words, axis=1, kind="stable").reshape(-1)[:tiles]
        tops = _below(first[1], height % d + 1) + order // (width // d) * d
        lefts = _below(first[2], width % d + 1) + order % (width // d) * d
    return Plan(d, columns, tops, lefts, _turns(key, tiles, rule))


def _turns(key: int, tiles: int, rule: Rule) -> I64:
    """Bit 31 of a tile's word mirrors its patch; bits 29 and 30 are the quarter turns."""
    words = _words(key, TURN_BLOCK, tiles).astype(np.int64)
    return (words >> 31) * rule.flip + 2 * (words >> 29 & 3) * rule.rotate


def _words(key: int, block: int, count: int) -> npt.NDArray[np.uint32]:
    return philox(key, block + np.arange(-(-count // 4))).reshape(-1)[:count]


def _below(word: np.uint32, bound: int) -> int:
    """Uniform integer in 0 ... bound - 1 by multiply and shift."""
    return int(word) * bound >> 32


def _below_each(words: npt.NDArray[np.uint32], bound: int) -> I64:
    return (words.astype(np.int64) * bound) >> 32
