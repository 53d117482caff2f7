"""Live textures on the CPU: maps of a batch, its textures shared out over threads.

Shapes: N images, k textures each, T textures, H W image, e exemplar.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt

from texneg.philox import U64
from texneg.synth.kernel.atlas import tables
from texneg.synth.live.numba_draws import texture_keys
from texneg.synth.live.numba_start import places, starts
from texneg.synth.live.numba_sweep import halve_all, refine_all, to_image, upsample_all
from texneg.synth.live.plan import Level, levels, passes

U8 = npt.NDArray[np.uint8]
I16 = npt.NDArray[np.int16]
I32 = npt.NDArray[np.int32]

AT_ONCE = 16  # textures one call of compiled code makes: its scratch stays in the cache


def maps(images: U8, index: U64, count: int, *, exemplar: int, base: int, threads: int = 1) -> I32:
    """For every pixel of every texture the pixel y * W + x of its image that it shows: (N, k, H, W).

    Args:
        images: (N, H, W, 3) uint8, any strides.
        index: (N,) data-set indices.
        count: k, textures of each image.
        exemplar: e, side of both exemplars in pixels.
        base: `plan.base_key` of seed and epoch.
        threads: workers; the maps do not depend on it.
    """
    N, H, W, _ = images.shape
    keys = texture_keys(np.uint64(base), index, count)
    corners = places(keys, H, W, exemplar)
    found = np.empty((N * count, H, W), np.int32)
    make = partial(_fill, found, images, keys, corners, count, exemplar)
    size = min(AT_ONCE, -(-len(keys) // threads) or 1)
    parts = [slice(first, min(first + size, len(keys))) for first in range(0, len(keys), size)]
    if threads == 1 or len(parts) == 1:
        list(map(make, parts))
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(make, parts))
    return found.reshape(N, count, H, W)


def _fill(found: I32, images: U8, keys: U64, corners: I32, count: int, exemplar: int, part: slice) -> None:
    """The maps of some of the textures."""
    H, W = found.shape[1:]
    crops = np.empty((part.stop - part.start, 2, exemplar, exemplar, 3), np.int16)
    for crop, t in zip(crops, range(part.start, part.stop), strict=True):
        for owner, (y, x) in enumerate(corners[t]):
            crop[owner] = images[t // count, y : y + exemplar, x : x + exemplar]
    scales = levels(max(H, W), exemplar)
    to_image(found[part], atlas_maps(crops, keys[part], scales), corners[part], scales[0].pitch)


def atlas_maps(crops: I16, keys: U64, scales: tuple[Level, ...]) -> I32:
    """(T, side + 4, side + 4) atlas indices at full size."""
    shapes = (crops.shape[2:4],) * 2
    pyramid = [crops]
    for _ in scales[1:]:
        pyramid.append(halve_all(pyramid[-1]))
    for level in reversed(scales):
        if level is scales[-1]:
            source = starts(keys, level.side, level.tile, level.room, level.pitch)
        else:
            source = upsample_all(source, level.side, scales[level.number + 1].pitch, level.pitch)
        rules = passes(level.number, len(scales))
        steps = np.array([(*rule, level.step(rule.balance)) for rule in rules], np.int64)
        refine_all(source, pyramid[level.number], keys, tables(shapes, level.number), level.number, steps)
    return source
