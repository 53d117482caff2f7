"""Live textures on the CPU: maps of a batch, its textures shared out over threads.

Shapes: N images, k textures each, T textures, H W image, e exemplar.
"""

from functools import partial

import numpy as np
import numpy.typing as npt

from texneg.philox.arrays import U64
from texneg.textures.atlas import halve, tables
from texneg.textures.live.cpu_draws import texture_keys
from texneg.textures.live.cpu_start import places, starts
from texneg.textures.live.cpu_sweep import refine_all, to_image
from texneg.textures.live.plan import Job, Level, levels, passes
from texneg.textures.live.share import share
from texneg.textures.search import upsample

U8 = npt.NDArray[np.uint8]
I16 = npt.NDArray[np.int16]
I32 = npt.NDArray[np.int32]

AT_ONCE = 16  # textures that one call of compiled code makes: few, so that they stay in the cache


def maps(images: U8, index: U64, job: Job, threads: int) -> I32:
    """For every pixel of every texture the pixel y * W + x of its image that it shows: (N, k, H, W).

    Args:
        images: (N, H, W, 3) uint8, any strides.
        index: (N,) data-set indices.
        job: exemplars, count and key.
        threads: workers; the maps do not depend on it.
    """
    N, H, W, _ = images.shape
    keys = texture_keys(np.uint64(job.base), index, job.textures)
    corners = places(keys, H, W, job.exemplar)
    found = np.empty((len(keys), H, W), np.int32)
    share(partial(_fill, found, images, keys, corners, job), len(keys), AT_ONCE, threads)
    return found.reshape(N, job.textures, H, W)


def _fill(found: I32, images: U8, keys: U64, corners: I32, job: Job, part: slice) -> None:
    """The maps of some of the textures."""
    side = job.exemplar
    crops = np.empty((part.stop - part.start, 2, side, side, 3), np.int16)
    for crop, t in zip(crops, range(part.start, part.stop), strict=True):
        for owner, (y, x) in enumerate(corners[t]):
            crop[owner] = images[t // job.textures, y : y + side, x : x + side]
    scales = levels(max(found.shape[1:]), side)
    to_image(found[part], atlas_maps(crops, keys[part], scales), corners[part], scales[0].pitch)


def atlas_maps(crops: I16, keys: U64, scales: tuple[Level, ...]) -> I32:
    """(T, side + 4, side + 4) atlas indices at full size."""
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
