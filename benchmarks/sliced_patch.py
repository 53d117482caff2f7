"""The patch generator one would write in NumPy: a rival for benchmarks."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def sliced_patches(image: Array, size: tuple[int, int], draws: np.random.Generator) -> Array:
    """One negative (H, W, C) of an image (H, W, C): all places in one draw, then a slice a tile."""
    H, W, _ = image.shape
    d = int(draws.integers(size[0], size[1], endpoint=True))
    rows, columns = -(-H // d), -(-W // d)
    tops, lefts = draws.integers(0, [[[H - d + 1]], [[W - d + 1]]], (2, rows, columns))
    negative = np.empty_like(image)
    for r in range(rows):
        for c in range(columns):
            tile = negative[r * d : (r + 1) * d, c * d : (c + 1) * d]
            h, w, _ = tile.shape
            tile[...] = image[tops[r, c] : tops[r, c] + h, lefts[r, c] : lefts[r, c] + w]
    return negative
