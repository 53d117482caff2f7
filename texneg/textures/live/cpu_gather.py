"""Compiled: show an image through coordinate maps, whatever its layout and dtype."""

import numpy as np
import numpy.typing as npt
from numba import njit

from texneg.layout import Bytes

I32 = npt.NDArray[np.int32]


@njit(nogil=True, cache=True)
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
