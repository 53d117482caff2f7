"""One texture in which every exemplar is represented: multiresolution PatchMatch on a map of coordinates.

The unknown is a coordinate map: each output pixel names one exemplar pixel and has exactly its colour, so
nothing is blurred or invented. It starts as verbatim tiles at the coarsest of a few pyramid levels and is
refined by scans at each level; a penalty on the use of each place keeps the exemplars in balance. All
arithmetic is on integers and every random number has an address, so the same seed gives the same bytes on any
machine.
"""

from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

from texneg.philox.arrays import fold
from texneg.philox.streams import Stream
from texneg.textures.atlas import BIN, MARGIN, Shapes, Tables, colours, ground, halve, level_count, tables
from texneg.textures.nearest import HEAVIEST, NAME_BITS
from texneg.textures.presets import LARGEST_OUTPUT, METHODS, PRESETS, SMALLEST_EXEMPLAR, SMALLEST_OUTPUT
from texneg.textures.search import FRACTION, Search, refine, upsample
from texneg.textures.start import start
from texneg.textures.window import RADIUS, SPARE

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]

MOST_EXEMPLARS = 8
LEVELS, MOST_LEVELS = 3, 4
PARTS = 1 << 16  # weights are rounded to this share of the texture
NARROWEST, NARROWEST_GIVEN = 16, 8  # px at the coarsest level: by default, and when `levels` is given


def texture(
    exemplars: Sequence[U8],
    *,
    size: int = 224,
    seed: int = 0,
    method: str = "default",
    levels: int | None = None,
    weights: Sequence[float] | None = None,
    tile: bool = False,
) -> U8:
    """Synthesise a (size, size, 3) uint8 texture in which every exemplar is represented about equally.

    Args:
        exemplars: 1 to 8 arrays (h, w, 3), or grey (h, w) or (h, w, 1), uint8, each side at least 8 px; sizes
            may differ. A grey exemplar counts as three equal channels.
        size: side of the output in pixels, 16 to 1024.
        seed: 0 to 2^64 - 1; the same seed gives the same bytes on any machine and in any thread.
        method: "fast", "default" or "quality": about 1, 1.5 and 4.5 times the work.
        levels: pyramid levels, 1 to 4, the scale of structure: 2 breaks motifs up, 4 keeps motifs of 40 px.
            Default 3; fewer where an exemplar or the output is under 16 px at the coarsest (8 px if given).
        weights: how much of the texture each exemplar should feed, as positive numbers; default equal.
        tile: opposite sides continue each other, so that copies can be laid side by side.

    Raises:
        ValueError: anything outside these ranges.
    """
    return _synthesise(exemplars, size, seed, method, levels, weights, tile)[0]


def texture_map(
    exemplars: Sequence[U8],
    *,
    size: int = 224,
    seed: int = 0,
    method: str = "default",
    levels: int | None = None,
    weights: Sequence[float] | None = None,
    tile: bool = False,
) -> tuple[U8, I32]:
    """Synthesise a `texture` and its map: for each pixel its exemplar, row, column, (size, size, 3) int32."""
    image, source, table = _synthesise(exemplars, size, seed, method, levels, weights, tile)
    row, column = np.divmod(source, table.pitch)
    owner = np.searchsorted(table.tops, row, side="right") - 1
    return image, np.stack([owner, row - table.tops[owner], column], axis=-1).astype(np.int32)


def _synthesise(
    given: Sequence[U8],
    size: int,
    seed: int,
    method: str,
    levels: int | None,
    weights: Sequence[float] | None,
    tile: bool,
) -> tuple[U8, I32, Tables]:
    """Image, atlas index of each pixel, and the tables that explain the index."""
    exemplars = [_to_colour(index, exemplar) for index, exemplar in enumerate(given)]
    _check(exemplars, size, seed, method, levels)
    parts, preset = _round_weights(weights, len(exemplars)), PRESETS[method]
    shapes = tuple((exemplar.shape[0], exemplar.shape[1]) for exemplar in exemplars)
    narrowest = NARROWEST if levels is None else NARROWEST_GIVEN
    coarsest = level_count(shapes, size, levels or LEVELS, narrowest) - 1
    pyramid = [[np.array(exemplar, np.int16, order="C") for exemplar in exemplars]]
    for _ in range(coarsest):
        pyramid.append([halve(image) for image in pyramid[-1]])

    table = tables(shapes, coarsest)
    source = start(table, -(-size >> coarsest), seed, parts) + np.int32((MARGIN >> coarsest) * table.pitch)
    for level in range(coarsest, -1, -1):
        coarser, table, side = table, tables(shapes, level), -(-size >> level)
        if level < coarsest:
            source = upsample(source, side, coarser.pitch, table.pitch)
        stage = 0 if level == coarsest else 1 if level else 2
        search = Search(
            key=np.uint64(fold(seed, Stream.CANDIDATE, level)),
            passes=preset.passes[stage],
            far=level > 0 or level == coarsest,
            seams_only=level < coarsest,
            tile=tile,
        )
        step = _steps(shapes, level, parts, preset.balance[stage], side)
        image = refine(source, ground(shapes, level), colours(pyramid[level], table, level), step, search)

    inner = (slice(RADIUS, -RADIUS), slice(RADIUS, -RADIUS))
    painted = image[:-SPARE].reshape(*source.shape, 3)[inner].astype(np.uint8)
    return painted, source[inner] - np.int32(MARGIN * table.pitch), table


@lru_cache(maxsize=64)
def _steps(
    shapes: Shapes, level: int, parts: tuple[int, ...], balance: int, side: int
) -> npt.NDArray[np.int64]:
    """Cost of one use of each bin, (bins + 1,); 0 for the bin of pixels that are never used."""
    table = tables(shapes, level)
    fair = table.fair * sum(parts) // (len(parts) * np.array(parts)[table.owners])
    heaviest = np.minimum(fair * (balance * 75 * 25 << FRACTION), HEAVIEST)
    return np.append(heaviest // (side * side), 0)


@cache
def warm_up() -> None:
    """Compile everything, or load it from numba's cache: 4 s the first time on a machine, then 0.4 s."""
    texture_map([np.zeros((32, 32, 3), np.uint8)] * 2, size=32)


def _to_colour(index: int, exemplar: U8) -> U8:
    """Check an exemplar and give it three channels: (h, w, 3)."""
    grey = exemplar.ndim == 2 or (exemplar.ndim == 3 and exemplar.shape[2] == 1)
    coloured = np.repeat(exemplar.reshape(*exemplar.shape[:2], 1), 3, axis=2) if grey else exemplar
    if coloured.ndim != 3 or coloured.shape[2] != 3 or coloured.dtype != np.uint8:
        raise ValueError(
            f"exemplar {index} of shape {exemplar.shape}, {exemplar.dtype}: "
            "allowed are uint8 arrays of (h, w, 3), or grey ones of (h, w) or (h, w, 1)"
        )
    if min(coloured.shape[:2]) < SMALLEST_EXEMPLAR:
        raise ValueError(
            f"exemplar {index} of {coloured.shape[0]} x {coloured.shape[1]} px: "
            f"allowed are sides from {SMALLEST_EXEMPLAR} px"
        )
    return coloured


def _round_weights(weights: Sequence[float] | None, count: int) -> tuple[int, ...]:
    """Whole numbers in the ratio of the weights, to a 65 536th."""
    if weights is None:
        return (1,) * count
    if len(weights) != count or not all(0 < weight < float("inf") for weight in weights):
        raise ValueError(f"weights {tuple(weights)}: allowed are {count} positive numbers, one an exemplar")
    total = sum(weights)
    return tuple(max(round(PARTS * weight / total), 1) for weight in weights)


def _check(exemplars: Sequence[U8], size: int, seed: int, method: str, levels: int | None) -> None:
    if not 1 <= len(exemplars) <= MOST_EXEMPLARS:
        raise ValueError(
            f"{len(exemplars)} exemplars: allowed are 1 to {MOST_EXEMPLARS} arrays of (h, w, 3) uint8"
        )
    height = sum(exemplar.shape[0] + BIN for exemplar in exemplars) + 2 * MARGIN
    if height * max(exemplar.shape[1] + BIN for exemplar in exemplars) > 1 << NAME_BITS:
        raise ValueError(
            f"exemplars of {', '.join(f'{e.shape[0]} x {e.shape[1]}' for e in exemplars)} px: allowed are "
            f"{1 << NAME_BITS} px, the sum of their heights times the largest width; make them smaller"
        )
    if not SMALLEST_OUTPUT <= size <= LARGEST_OUTPUT:
        raise ValueError(f"size {size} px: allowed is {SMALLEST_OUTPUT} to {LARGEST_OUTPUT}")
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"seed {seed}: allowed is 0 to 2^64 - 1")
    if method not in PRESETS:
        raise ValueError(f"method {method!r}: allowed are {', '.join(METHODS)}")
    if levels is not None and not 1 <= levels <= MOST_LEVELS:
        raise ValueError(f"levels {levels}: allowed is 1 to {MOST_LEVELS}")
