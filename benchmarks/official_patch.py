"""The patch generator as the authors' code describes it, re-implemented as a rival for benchmarks.

Ge et al., NeurIPS 2021: one square crop after another is pasted from the finished float32 (3, S, S) view
into a canvas of n x n tiles, n = S // d + 1, of which the top-left S x S remain. Patch side d comes from
`random`, positions from NumPy's legacy generator, whose exclusive upper end leaves out the last position.
"""

import random

import numpy as np
import torch
from torch import Tensor


def official_patches(
    view: Tensor, size: tuple[int, int], sides: random.Random, places: np.random.RandomState
) -> Tensor:
    """One negative (3, S, S) of a view (3, S, S), S > size[1]."""
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
