"""Bytes to floats by a table, in compiled code."""

import numpy as np
import torch
from torch import Tensor

from texneg.jit import compiled
from texneg.train.networks.bfloat16 import as_array


def on_cpu(pixels: Tensor, table: Tensor) -> Tensor:
    """Look up bytes (..., C) in a table (C, 256): floats of its type, of the same shape."""
    found = torch.empty(pixels.shape, dtype=table.dtype)
    _look_up(pixels.numpy().reshape(-1), as_array(table), as_array(found), pixels.shape[-1])
    return found


@compiled()
def _look_up(pixels, table, found, channels):  # type: ignore[no-untyped-def]
    step = np.uint64(channels)
    for c in range(step):  # unsigned indices spare a test for negative ones
        entries = table[256 * c : 256 * c + 256]
        for i in range(np.uint64(len(pixels)) // step):
            at = i * step + c
            found[at] = entries[np.uint64(pixels[at])]
