"""The methods of `textures.texture` for a batch of images: the serial scans, with live keys and places.

Shapes: N images, k textures each, H W image.
"""

from functools import partial

import numpy as np
import numpy.typing as npt

from texneg.philox.arrays import U64
from texneg.textures.live.cpu_draws import texture_keys
from texneg.textures.live.cpu_start import places
from texneg.textures.live.plan import Job
from texneg.textures.live.share import share
from texneg.textures.texture import texture_map

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]


def maps(images: U8, index: U64, job: Job, method: str, threads: int) -> I32:
    """As `numba_maps.maps`, by a method of `texneg.textures.texture`; (N, k, H, W) pixels y * W + x."""
    N, H, W, _ = images.shape
    keys = texture_keys(np.uint64(job.base), index, job.textures)
    corners = places(keys, H, W, job.exemplar)
    found = np.empty((len(keys), H, W), np.int32)
    share(partial(_fill, found, images, keys, corners, job, method), len(keys), 1, threads)
    return found.reshape(N, job.textures, H, W)


def _fill(found: I32, images: U8, keys: U64, corners: I32, job: Job, method: str, part: slice) -> None:
    H, W = found.shape[1:]
    side = job.exemplar
    for t in range(part.start, part.stop):
        image = images[t // job.textures]
        pair = [image[y : y + side, x : x + side] for y, x in corners[t]]
        _, where = texture_map(pair, size=max(H, W), seed=int(keys[t]), method=method)
        owner, row, column = np.moveaxis(where[:H, :W], 2, 0)
        top, left = corners[t].T[:, owner]
        found[t] = (top + row) * W + left + column
