"""Rivals of the patch generators: a copy of the bytes, the authors' own code re-implemented, NumPy slices."""

import random
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

COPY, OF_COPY = "copy of the bytes", "of copy speed"


def official_patches(
    view: Tensor, size: tuple[int, int], sides: random.Random, places: np.random.RandomState
) -> Tensor:
    """Make one negative (3, S, S) of a view (3, S, S), S > size[1], as the authors' code describes it.

    Ge et al., NeurIPS 2021: one square crop after another is pasted from the finished float32 view into a
    canvas of n x n tiles, n = S // d + 1, of which the top-left S x S remain. Patch side d comes from
    `random`, positions from NumPy's legacy generator, whose exclusive upper end leaves out the last position.
    """
    S = view.shape[-1]
    d = sides.randint(*size)
    n = S // d + 1
    canvas = torch.zeros(3, n * d, n * d)
    for row in range(n):
        for column in range(n):
            x, y = places.randint(0, S - d), places.randint(0, S - d)
            target = canvas[:, row * d : (row + 1) * d, column * d : (column + 1) * d]
            target.copy_(view[:, y : y + d, x : x + d])
    return canvas[:, :S, :S].clone()


def sliced_patches(
    image: npt.NDArray[Any], size: tuple[int, int], draws: np.random.Generator
) -> npt.NDArray[Any]:
    """Make one negative (H, W, C) of an image (H, W, C): all places in one draw, then a slice a tile."""
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
