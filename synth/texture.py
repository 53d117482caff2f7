"""One texture in which every exemplar is represented: multiresolution PatchMatch on a map of coordinates.

The unknown is a coordinate map: each output pixel names one exemplar pixel and has exactly its colour, so
nothing is blurred or invented. It starts as verbatim tiles at the coarsest of a few pyramid levels and is
refined by scans at each level; a penalty on the use of each place keeps the exemplars in balance. All
arithmetic is on integers and every random number has an address, so the same seed gives the same bytes on any
machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from texneg.philox import fold
from texneg.synth.kernel.atlas import Tables, colours, halve, level_count, tables
from texneg.synth.kernel.patchmatch import FRACTION, Canvas, Search, count_use, paint, scan, upsample
from texneg.synth.kernel.purposes import Purpose
from texneg.synth.kernel.start import start
from texneg.synth.kernel.window import RADIUS, SPARE

METHOD_VERSION = 1
"""Raised whenever the bytes of any texture change."""

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]

SMALLEST_EXEMPLAR, MOST_EXEMPLARS = 8, 8
SMALLEST_OUTPUT, LARGEST_OUTPUT = 16, 1024
LEVELS, MOST_LEVELS = 3, 4
NARROWEST, NARROWEST_GIVEN = 16, 8  # px at the coarsest level: by default, and when `levels` is given


@dataclass(frozen=True)
class Preset:
    """How long the search is. Triples are for the coarsest, the middle and the finest levels."""

    passes: tuple[int, int, int]
    """Scans a level, forwards and backwards in turn."""
    random: tuple[int, int, int]
    """Candidates a pixel drawn from all exemplars."""
    local: int
    """Candidates a pixel drawn near its best so far."""
    balance: int
    """Usage penalty p: a place used at its fair share costs like an RMS difference of sqrt(25 p)."""
    seam_reach: int
    """Below the coarsest level, pixels whose neighbours at this distance continue their copy are skipped."""


PRESETS = {
    "fast": Preset(passes=(2, 2, 1), random=(2, 1, 1), local=2, balance=3, seam_reach=1),
    "default": Preset(passes=(3, 2, 2), random=(2, 1, 1), local=1, balance=3, seam_reach=1),
    "quality": Preset(passes=(6, 4, 4), random=(4, 2, 2), local=2, balance=6, seam_reach=2),
}
METHODS = tuple(PRESETS)


def texture(
    exemplars: Sequence[U8],
    *,
    size: int = 224,
    seed: int = 0,
    method: str = "default",
    levels: int | None = None,
) -> U8:
    """A (size, size, 3) uint8 texture in which every exemplar is represented about equally.

    Args:
        exemplars: 1 to 8 arrays (h, w, 3) uint8, each side at least 8 px; sizes may differ.
        size: side of the output in pixels, 16 to 1024.
        seed: 0 to 2^64 - 1; the same seed gives the same bytes on any machine and in any thread.
        method: "fast", "default" or "quality": about 1, 1.3 and 3 times the work.
        levels: pyramid levels, 1 to 4, the scale of structure: 2 breaks motifs up, 4 keeps motifs of 40 px.
            Default 3; fewer where an exemplar or the output is under 16 px at the coarsest (8 px if given).

    Raises:
        ValueError: anything outside these ranges.
    """
    return _synthesise(exemplars, size, seed, _check(exemplars, size, seed, method, levels), levels)[0]


def texture_map(
    exemplars: Sequence[U8],
    *,
    size: int = 224,
    seed: int = 0,
    method: str = "default",
    levels: int | None = None,
) -> tuple[U8, I32]:
    """`texture`, and where each pixel comes from: (size, size, 3) int32 of exemplar, row, column."""
    preset = _check(exemplars, size, seed, method, levels)
    image, source, table = _synthesise(exemplars, size, seed, preset, levels)
    row, column = np.divmod(source, table.pitch)
    owner = np.searchsorted(table.tops, row, side="right") - 1
    return image, np.stack([owner, row - table.tops[owner], column], axis=-1).astype(np.int32)


def _synthesise(
    exemplars: Sequence[U8], size: int, seed: int, preset: Preset, levels: int | None
) -> tuple[U8, I32, Tables]:
    """Image, atlas index of each pixel, and the tables that explain the index."""
    shapes = tuple((exemplar.shape[0], exemplar.shape[1]) for exemplar in exemplars)
    narrowest = NARROWEST if levels is None else NARROWEST_GIVEN
    coarsest = level_count(shapes, size, levels or LEVELS, narrowest) - 1
    pyramid = [[np.array(exemplar, np.int16, order="C") for exemplar in exemplars]]
    for _ in range(coarsest):
        pyramid.append([halve(image) for image in pyramid[-1]])

    source = start(tables(shapes, coarsest), -(-size >> coarsest), seed)
    for level in range(coarsest, -1, -1):
        table, side = tables(shapes, level), -(-size >> level)
        if level < coarsest:
            source = upsample(source, side, tables(shapes, level + 1).pitch, table.pitch)
        atlas = colours(pyramid[level], table)
        step = (table.fair * (preset.balance * 75 * 25 << FRACTION)) // (side * side)
        canvas = Canvas(source, paint(source, atlas), count_use(source, table.bins, step))
        stage = 0 if level == coarsest else 1 if level else 2
        for number in range(preset.passes[stage]):
            search = Search(
                key=np.uint64(fold(seed, Purpose.CANDIDATE, level, number)),
                random=preset.random[stage],
                local=preset.local,
                seam_reach=preset.seam_reach if level < coarsest else 0,
                backwards=number % 2 == 1,
            )
            scan(canvas, table, atlas, step, search)

    inner = (slice(RADIUS, -RADIUS), slice(RADIUS, -RADIUS))
    image = canvas.image[:-SPARE].reshape(*source.shape, 3)
    return image[inner].astype(np.uint8), source[inner], table


@cache
def warm_up() -> None:
    """Compile everything, or load it from numba's cache: 4 s the first time on a machine, then 0.4 s."""
    texture_map([np.zeros((32, 32, 3), np.uint8)] * 2, size=32)


def _check(exemplars: Sequence[U8], size: int, seed: int, method: str, levels: int | None) -> Preset:
    if not 1 <= len(exemplars) <= MOST_EXEMPLARS:
        raise ValueError(
            f"{len(exemplars)} exemplars: allowed are 1 to {MOST_EXEMPLARS} arrays of (h, w, 3) uint8"
        )
    for index, exemplar in enumerate(exemplars):
        if exemplar.ndim != 3 or exemplar.shape[2] != 3 or exemplar.dtype != np.uint8:
            raise ValueError(
                f"exemplar {index} of shape {exemplar.shape}, {exemplar.dtype}: allowed is (h, w, 3) uint8; "
                "repeat a gray image over three channels"
            )
        if min(exemplar.shape[:2]) < SMALLEST_EXEMPLAR:
            raise ValueError(
                f"exemplar {index} of {exemplar.shape[0]} x {exemplar.shape[1]} px: "
                f"allowed are sides from {SMALLEST_EXEMPLAR} px"
            )
    if not SMALLEST_OUTPUT <= size <= LARGEST_OUTPUT:
        raise ValueError(f"size {size} px: allowed is {SMALLEST_OUTPUT} to {LARGEST_OUTPUT}")
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"seed {seed}: allowed is 0 to 2^64 - 1")
    if method not in PRESETS:
        raise ValueError(f"method {method!r}: allowed are {', '.join(METHODS)}")
    if levels is not None and not 1 <= levels <= MOST_LEVELS:
        raise ValueError(f"levels {levels}: allowed is 1 to {MOST_LEVELS}")
    return PRESETS[method]
