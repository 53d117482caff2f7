"""Live textures on the CPU: maps of a batch, its textures shared out over threads, and images through maps.

Shapes: N images, k textures each, T textures, P planes, H W image, e exemplar, B bytes a pixel.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt

from texneg.jit import compiled
from texneg.layout import Bytes
from texneg.philox.arrays import U64
from texneg.textures.atlas import halve, tables
from texneg.textures.exemplars import turn_square
from texneg.textures.live.cpu_search import (
    draw_turns,
    places,
    refine_all,
    starts,
    texture_keys,
    to_image,
)
from texneg.textures.live.plan import LIVE, Level, LiveOptions, levels, passes
from texneg.textures.search import upsample
from texneg.textures.texture import texture_map

U8 = npt.NDArray[np.uint8]
I16 = npt.NDArray[np.int16]
I32 = npt.NDArray[np.int32]

AT_ONCE = 16  # textures that one call of compiled code makes: few, so that they stay in the cache


def maps(images: U8, index: U64, options: LiveOptions, threads: int, method: str = LIVE) -> I32:
    """Find for every pixel of every texture the pixel y * W + x of its image that it shows: (N, k, H, W).

    Args:
        images: (N, H, W, 3) uint8, any strides.
        index: (N,) data-set indices.
        options: exemplars, count and key.
        threads: workers, which hold no GIL; the maps do not depend on it.
        method: that of `plan`, or one of `textures.texture`, with the same keys and places.
    """
    N, H, W, _ = images.shape
    keys = texture_keys(np.uint64(options.base), index, options.textures)
    corners = places(keys, H, W, options.exemplar)
    turns = draw_turns(keys) if options.turn else np.zeros((len(keys), 2), np.int32)
    found = np.empty((len(keys), H, W), np.int32)
    fill, at_most = (_fill, AT_ONCE) if method == LIVE else (partial(_fill_by_scan, method), 1)
    _share(partial(fill, found, images, keys, corners, turns, options), len(keys), at_most, threads)
    return found.reshape(N, options.textures, H, W)


def _fill(
    found: I32, images: U8, keys: U64, corners: I32, turns: I32, options: LiveOptions, part: slice
) -> None:
    """Find the maps of a part of the textures."""
    side = options.exemplar
    crops = np.empty((part.stop - part.start, 2, side, side, 3), np.int16)
    for crop, t in zip(crops, range(part.start, part.stop), strict=True):
        for owner, (y, x) in enumerate(corners[t]):
            square = images[t // options.textures, y : y + side, x : x + side]
            crop[owner] = turn_square(square, turns[t, owner])
    scales = levels(max(found.shape[1:]), side, options.levels)
    sources = atlas_maps(crops, keys[part], scales)
    to_image(found[part], sources, corners[part], turns[part], side, scales[0].pitch)


def atlas_maps(crops: I16, keys: U64, scales: tuple[Level, ...]) -> I32:
    """Search the atlas: (T, side + 4, side + 4) indices at full size."""
    shapes = (crops.shape[2:4],) * 2
    pyramid = [crops]
    for _ in scales[1:]:
        pyramid.append(np.stack([[halve(one) for one in pair] for pair in pyramid[-1]]))
    for level in reversed(scales):
        if level is scales[-1]:
            source = starts(keys, level)
        else:
            coarse = scales[level.number + 1].pitch
            source = np.stack([upsample(one, level.side, coarse, level.pitch) for one in source])
        rules = passes(level.number, len(scales))
        steps = np.array([(*rule, level.step(rule.balance)) for rule in rules], np.int64)
        refine_all(source, pyramid[level.number], keys, tables(shapes, level.number), level.number, steps)
    return source


def _fill_by_scan(
    method: str,
    found: I32,
    images: U8,
    keys: U64,
    corners: I32,
    turns: I32,
    options: LiveOptions,
    part: slice,
) -> None:
    """Find the maps of a part of the textures by serial scans."""
    H, W = found.shape[1:]
    side = options.exemplar
    for t in range(part.start, part.stop):
        image = images[t // options.textures]
        # turned in the same way, the numbers of the image's pixels say where those of the texture come from
        numbers = np.arange(H * W, dtype=np.int32).reshape(H, W)
        pair, origins = (
            [
                turn_square(pixels[y : y + side, x : x + side], turn)
                for (y, x), turn in zip(corners[t], turns[t], strict=True)
            ]
            for pixels in (image, numbers)
        )
        seed, most = int(keys[t]), options.levels
        _, where = texture_map(pair, size=max(H, W), seed=seed, method=method, levels=most)
        owner, row, column = np.moveaxis(where[:H, :W], 2, 0)
        found[t] = np.stack(origins)[owner, row, column]


def _share(make: Callable[[slice], None], count: int, at_most: int, threads: int) -> None:
    """Call `make` for slices of range(count) of up to `at_most`, enough of them for `threads` workers."""
    size = max(1, min(at_most, -(-count // threads)))
    parts = [slice(first, min(first + size, count)) for first in range(0, count, size)]
    if len(parts) <= 1 or threads == 1:
        for part in parts:
            make(part)
        return
    with ThreadPoolExecutor(min(threads, len(parts))) as pool:
        for _ in pool.map(make, parts):
            pass


@compiled()
def gather(images: Bytes, maps: I32, out: Bytes) -> None:
    """Fill out (N, k, P, H, W, B) from images (N, P, H, W, B) by maps (N, k, H, W) of pixels y * W + x."""
    N, planes, H, W, size = images.shape
    for n in range(N):
        for k in range(maps.shape[1]):
            for p in range(planes):
                source = images[n, p].reshape(-1)
                for y in range(H):
                    for x in range(W):
                        first = np.intp(maps[n, k, y, x]) * size
                        for b in range(size):
                            out[n, k, p, y, x, b] = source[first + b]
