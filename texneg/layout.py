"""Image batches of any layout as bytes: P planes of H x W pixels of B bytes each.

Interleaved (H, W, C) images are one plane of C * itemsize bytes a pixel; (C, H, W) images are C planes of
itemsize bytes a pixel. Shapes: N images, k negatives each.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

Bytes = npt.NDArray[np.uint8]


def array_bytes(images: npt.NDArray[Any]) -> Bytes:
    """View a C-contiguous (..., H, W, C) array as (..., 1, H, W, C * itemsize) bytes."""
    *lead, H, W, C = images.shape
    return np.ndarray((*lead, 1, H, W, C * images.itemsize), np.uint8, images)


def tensor_bytes(images: "Tensor") -> Bytes:
    """View a contiguous CPU (..., C, H, W) tensor as (..., C, H, W, itemsize) bytes."""
    import torch

    flat: Bytes = images.detach().reshape(-1).view(torch.uint8).numpy()
    return flat.reshape(*images.shape, images.itemsize)


def is_channels_last(images: "Tensor") -> bool:
    """Tell (N, C, ...) tensors whose channels are innermost in memory, without gaps, from others."""
    import torch

    if images.ndim == 4:
        return images.is_contiguous(memory_format=torch.channels_last)
    return images.movedim(1, -1).is_contiguous()
