"""One texture in which every exemplar is represented: multiresolution PatchMatch on a map of coordinates.

The unknown is a coordinate map: each output pixel names one exemplar pixel and has exactly its colour, so
nothing is blurred or invented. It starts as verbatim tiles at the coarsest of a few pyramid levels and is
refined by scans at each level; a penalty on the use of each place keeps the exemplars in balance. All
arithmetic is on integers and every random number has an address, so the same seed gives the same bytes on any
machine.
"""

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from texneg.philox.arrays import fold
from texneg.philox.streams import Stream
from texneg.textures.atlas import BIN, MARGIN, Shapes, Tables, colours, ground, halve, level_count, tables
from texneg.textures.channels import compared
from texneg.textures.nearest import HEAVIEST, NAME_BITS
from texneg.textures.presets import (
    DTYPES,
    LARGEST_OUTPUT,
    METHODS,
    MOST_CHANNELS,
    MOST_LEVELS,
    PRESETS,
    SMALLEST_EXEMPLAR,
    SMALLEST_OUTPUT,
)
from texneg.textures.search import FRACTION, Search, refine, upsample
from texneg.textures.start import start
from texneg.textures.window import RADIUS, SPARE

Array = npt.NDArray[Any]
U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]

MOST_EXEMPLARS = 8
LEVELS = 3
_DTYPES = frozenset(map(np.dtype, DTYPES))  # NumPy takes 2 µs to name a dtype
_COMPARED = {(np.dtype(np.uint8),), (np.dtype(np.uint8), 1), (np.dtype(np.uint8), 3)}
PARTS = 1 << 16  # weights are rounded to this share of the texture
NARROWEST, NARROWEST_GIVEN = 16, 8  # px at the coarsest level: by default, and when `levels` is given


def texture(
    exemplars: Sequence[Array],
    *,
    size: int = 224,
    seed: int = 0,
    method: str = "default",
    levels: int | None = None,
    weights: Sequence[float] | None = None,
    tile: bool = False,
) -> Array:
    """Synthesise a (size, size, C) texture in which every exemplar is represented about equally.

    Args:
        exemplars: 1 to 8 arrays (h, w, C), or (h, w), each side at least 8 px; sizes may differ. C is 1 to 16
            and the same for all, and so is the dtype: uint8, uint16, float16, float32 or float64. A uint8
            exemplar of one channel counts as three equal ones, and may stand beside those of three. Other
            exemplars are compared as `channels.compared` says, and every pixel is a pixel of theirs.
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
    exemplars: Sequence[Array],
    *,
    size: int = 224,
    seed: int = 0,
    method: str = "default",
    levels: int | None = None,
    weights: Sequence[float] | None = None,
    tile: bool = False,
) -> tuple[Array, I32]:
    """Synthesise a `texture` and its map (size, size, 3) int32: exemplar, row and column of each pixel."""
    image, source, table = _synthesise(exemplars, size, seed, method, levels, weights, tile)
    row, column = np.divmod(source, table.pitch)
    owner = np.searchsorted(table.tops, row, side="right") - 1
    return image, np.stack([owner, row - table.tops[owner], column], axis=-1).astype(np.int32)


def _synthesise(
    given: Sequence[Array],
    size: int,
    seed: int,
    method: str,
    levels: int | None,
    weights: Sequence[float] | None,
    tile: bool,
) -> tuple[Array, I32, Tables]:
    """Image, atlas index of each pixel, and the tables that explain the index."""
    own = _own_channels(given)
    exemplars = compared(own) if own else [_to_colour(exemplar) for exemplar in given]
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
    places = source[inner] - np.int32(MARGIN * table.pitch)
    if own:
        return _gather(own, places, table), places, table
    painted = image[:-SPARE].reshape(*source.shape, 3)[inner].astype(np.uint8)
    return painted, places, table


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


def _own_channels(given: Sequence[Array]) -> list[Array]:
    """Check exemplars; those of other channels or depth than a search compares, as (h, w, C), or none."""
    for index, exemplar in enumerate(given):
        channels = exemplar.shape[2] if exemplar.ndim == 3 else 1
        known = exemplar.ndim in (2, 3) and 1 <= channels <= MOST_CHANNELS
        if not known or exemplar.dtype not in _DTYPES:
            raise ValueError(
                f"exemplar {index} of shape {exemplar.shape}, {exemplar.dtype}: allowed are arrays of (h, w)"
                f" or (h, w, C) with C from 1 to {MOST_CHANNELS}, of {', '.join(DTYPES)}"
            )
        if min(exemplar.shape[:2]) < SMALLEST_EXEMPLAR:
            raise ValueError(
                f"exemplar {index} of {exemplar.shape[0]} x {exemplar.shape[1]} px: "
                f"allowed are sides from {SMALLEST_EXEMPLAR} px"
            )
    kinds = {(exemplar.dtype, *exemplar.shape[2:]) for exemplar in given}
    if kinds <= _COMPARED:
        return []
    if len(kinds) > 1:
        named = " and ".join(sorted(f"{kind[0].name} of {kind[1] if kind[1:] else 1}" for kind in kinds))
        raise ValueError(
            f"exemplars differ: {named} channels; allowed are one dtype and one number of channels"
        )
    return [exemplar.reshape(*exemplar.shape[:2], -1) for exemplar in given]


def _to_colour(exemplar: U8) -> U8:
    """A uint8 exemplar of one or three channels as (h, w, 3)."""
    grey = exemplar.ndim == 2 or exemplar.shape[2] == 1
    return np.repeat(exemplar.reshape(*exemplar.shape[:2], 1), 3, axis=2) if grey else exemplar


def _gather(exemplars: list[Array], places: I32, table: Tables) -> Array:
    """The pixels (h, w, C) that an atlas of these exemplars has at places (h, w)."""
    channels = exemplars[0].shape[2]
    atlas = np.zeros((len(table.valid) // table.pitch, table.pitch, channels), exemplars[0].dtype)
    for top, exemplar in zip(table.tops, exemplars, strict=True):
        atlas[top : top + exemplar.shape[0], : exemplar.shape[1]] = exemplar
    pixels = atlas.view(f"V{atlas.itemsize * channels}").ravel()
    return pixels[places].view(atlas.dtype).reshape(*places.shape, channels)


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
        raise ValueError(f"{len(exemplars)} exemplars: allowed are 1 to {MOST_EXEMPLARS} arrays of (h, w, C)")
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
