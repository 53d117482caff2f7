"""The 8-bit RGB version of an image that the search compares; what is shown is the image itself.

Integers stay. Floating-point values are scaled by the least and the largest of their image in float32, one
operation after the other, so that every device finds the same bytes; a constant image is all 0. One channel
becomes three equal ones.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from texneg.arguments import Array

if TYPE_CHECKING:
    from torch import Tensor

U8 = npt.NDArray[np.uint8]


def eight_bit_array(images: Array) -> U8:
    """(N, H, W, 1 or 3) to (N, H, W, 3) uint8, a view where nothing changes."""
    if images.dtype != np.uint8 and images.size:
        with np.errstate(all="ignore"):
            values = images.astype(np.float32)
            least = values.min(axis=(1, 2, 3), keepdims=True)
            span = values.max(axis=(1, 2, 3), keepdims=True) - least
            values = np.nan_to_num((values - least) / span * np.float32(255), posinf=255, neginf=0)
            images = np.rint(values).astype(np.uint8)
    return np.broadcast_to(images.astype(np.uint8, copy=False), (*images.shape[:3], 3))


def eight_bit_tensor(images: "Tensor") -> "Tensor":
    """(N, 1 or 3, H, W) on any device to (N, H, W, 3) uint8, a view where nothing changes."""
    import torch

    if images.dtype != torch.uint8:
        values = images.to(torch.float32)
        least = values.amin(dim=(1, 2, 3), keepdim=True)
        span = values.amax(dim=(1, 2, 3), keepdim=True) - least
        images = ((values - least) / span * 255).nan_to_num(0, 255, 0).round().to(torch.uint8)
    return images.permute(0, 2, 3, 1).expand(-1, -1, -1, 3)
