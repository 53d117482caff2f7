"""Texture negatives made in the training loop: each image's material synthesised anew, without its object.

The kind of negative that Ge et al., "Robust contrastive learning using negative samples with diminished
semantics", NeurIPS 2021, made once and offline, drawn afresh for every epoch. `plan` defines the method
"live". Shapes: N images, k textures each, C H W image.
"""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from texneg.arguments import (
    Array,
    Images,
    Index,
    check_count,
    check_integer,
    image_sides,
    index_array,
    index_tensor,
    is_tensor,
)
from texneg.cores import available_cores
from texneg.devices import runs_triton
from texneg.layout import array_bytes, tensor_bytes
from texneg.textures.channels import COMPARED, compared
from texneg.textures.live import cpu
from texneg.textures.live.plan import LIVE, LiveOptions, batch_key, default_exemplar
from texneg.textures.presets import (
    LARGEST_OUTPUT,
    METHODS,
    MOST_CHANNELS,
    MOST_LEVELS,
    SMALLEST_EXEMPLAR,
    SMALLEST_OUTPUT,
)

if TYPE_CHECKING:
    from torch import Tensor

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]


def texture_negatives(
    images: Images,
    *,
    exemplar: int | None = None,
    method: str = LIVE,
    levels: int | None = None,
    turn: bool = False,
    count: int = 1,
    seed: int = 0,
    epoch: int = 0,
    index: Index = None,
    threads: int | None = None,
) -> Images:
    """Synthesise textures from two squares of each image, one at its centre and one at a random place.

    Every pixel of a texture is a pixel of one of the squares, about half of them from either. The pixels
    depend only on the image and on (seed, epoch, index, k): not on batch split, order, worker, threads or,
    for method "live", device. Arrays and CPU tensors go through compiled code, tensors elsewhere through
    Triton kernels (CUDA) or torch operations on their device, without a wait for it. No gradient flows. Give
    it finished views, after crop, jitter and blur; images that are not square are synthesised as a square of
    the longer side, cut off at the bottom or right.

    Args:
        images: NumPy (N, H, W, C) of uint8, uint16, float16, float32 or float64, or torch (N, C, H, W) of
            those or bfloat16; any strides; C 1 to 16; sides of 16 to 1024 px. The search compares 8-bit
            versions, scaled by the least and largest value of each image; where C is neither 1 nor 3, three
            principal components (`channels.compared`), found on the CPU.
        exemplar: side of the squares in pixels, 8 to min(H, W); None for the paper's 96 at 224 px scaled to
            the shorter side.
        method: "live", or "fast", "default" or "quality", the methods of `texture`, on the CPU only.
        levels: pyramid levels at most, 1 to 4, as for `texture`.
        turn: mirror each square top to bottom, left to right, and along its diagonal, each with probability
            1/2: less of the object is left, and no more is told.
        count: textures of each image, >= 1.
        seed: any integer.
        epoch: any integer.
        index: the N data-set indices of the images; None for 0 ... N - 1.
        threads: workers on the CPU; None for torch's number of threads, which is 1 in a loader's worker.

    Returns:
        (N, count, H, W, C) or (N, count, C, H, W), of the kind, dtype and device of `images`.

    Raises:
        ValueError: a rank, dtype, number of channels, side, exemplar, method, count, index or threads that
            does not fit, or a method of the CPU for images elsewhere; TypeError for another kind.
    """
    check_count(count)
    side = _resolve_exemplar(images, exemplar)
    if method not in (LIVE, *METHODS):
        raise ValueError(f"method {method!r}; it must be one of {', '.join((LIVE, *METHODS))}")
    if threads is not None:
        check_integer("threads", threads, 1)
    if levels is not None:
        check_integer("levels", levels, 1, MOST_LEVELS)
    options = LiveOptions(side, count, batch_key(seed, epoch), levels, turn)
    make: Callable[..., Any] = _from_tensor if is_tensor(images) else _from_array
    return make(images, index, options, method, threads)


def _from_array(images: Array, index: Index, options: LiveOptions, method: str, threads: int | None) -> Array:
    result = np.empty((len(images), options.textures, *images.shape[1:]), images.dtype)
    maps = _cpu_maps(eight_bit_array(images), index, options, method, threads)
    cpu.gather(array_bytes(np.ascontiguousarray(images)), maps, array_bytes(result))
    return result


def _from_tensor(
    images: "Tensor", index: Index, options: LiveOptions, method: str, threads: int | None
) -> "Tensor":
    import torch

    images = images.detach()
    N, C, H, W = images.shape
    if images.device.type == "cpu":
        result = torch.empty((N, options.textures, C, H, W), dtype=images.dtype)
        maps = _cpu_maps(eight_bit_tensor(images).numpy(), index, options, method, threads)
        cpu.gather(tensor_bytes(images.contiguous()), maps, tensor_bytes(result))
        return result
    if method != LIVE:
        raise ValueError(
            f"method {method!r} for images on {images.device}: it runs on the CPU only; "
            f"use method {LIVE!r}, or images.cpu()"
        )
    found = _device_maps(eight_bit_tensor(images), index_tensor(index, N, images.device), options)
    pixels = found.reshape(N, options.textures, 1, H * W).expand(-1, -1, C, -1)
    values = images.view(torch.int16) if images.dtype == torch.uint16 else images  # which torch gathers
    source = values.reshape(N, 1, C, H * W).expand(-1, options.textures, -1, -1)
    return source.gather(3, pixels).reshape(N, options.textures, C, H, W).view(images.dtype)


def _device_maps(pixels: "Tensor", rows: "Tensor", options: LiveOptions) -> "Tensor":
    if runs_triton(pixels.device):
        from texneg.textures.live import cuda

        return cuda.maps(pixels, rows, options)
    from texneg.textures.live import device

    return device.maps(pixels, rows, options)


def _cpu_maps(pixels: U8, index: Index, options: LiveOptions, method: str, threads: int | None) -> I32:
    return cpu.maps(pixels, index_array(index, len(pixels)), options, threads or _default_threads(), method)


def _default_threads() -> int:
    torch = sys.modules.get("torch")
    return int(torch.get_num_threads()) if torch else available_cores()


def _resolve_exemplar(images: Any, exemplar: int | None) -> int:
    height, width = image_sides(images)
    channels = images.shape[1] if is_tensor(images) else images.shape[3]
    if not 1 <= channels <= MOST_CHANNELS:
        raise ValueError(f"images of {channels} channels; textures are made of 1 to {MOST_CHANNELS}")
    shorter, longer = min(height, width), max(height, width)
    if shorter < SMALLEST_OUTPUT or longer > LARGEST_OUTPUT:
        raise ValueError(
            f"images of {height} x {width} pixels;"
            f" textures need sides of {SMALLEST_OUTPUT} to {LARGEST_OUTPUT}"
        )
    side = default_exemplar(height, width) if exemplar is None else exemplar
    check_integer("exemplar", side, SMALLEST_EXEMPLAR, shorter)
    return int(side)


def eight_bit_array(images: Array) -> U8:
    """(N, H, W, C) to (N, H, W, 3) uint8, a view where nothing changes."""
    if images.shape[3] not in (1, COMPARED):
        pictures = [compared([image])[0] for image in images]
        return np.stack(pictures) if pictures else np.empty((*images.shape[:3], COMPARED), np.uint8)
    if images.dtype != np.uint8 and images.size:
        with np.errstate(all="ignore"):
            values = images.astype(np.float32)
            least = values.min(axis=(1, 2, 3), keepdims=True)
            span = values.max(axis=(1, 2, 3), keepdims=True) - least
            values = np.nan_to_num((values - least) / span * np.float32(255), posinf=255, neginf=0)
            images = np.rint(values).astype(np.uint8)
    return np.broadcast_to(images.astype(np.uint8, copy=False), (*images.shape[:3], 3))


def eight_bit_tensor(images: "Tensor") -> "Tensor":
    """(N, C, H, W) on any device to (N, H, W, 3) uint8, a view where nothing changes."""
    import torch

    if images.shape[1] not in (1, COMPARED):
        numbers = images.float() if images.dtype == torch.bfloat16 else images
        pictures = eight_bit_array(numbers.permute(0, 2, 3, 1).cpu().numpy())
        return torch.from_numpy(pictures).to(images.device)
    if images.dtype != torch.uint8:
        values = images.to(torch.float32)
        least = values.amin(dim=(1, 2, 3), keepdim=True)
        span = values.amax(dim=(1, 2, 3), keepdim=True) - least
        images = ((values - least) / span * 255).nan_to_num(0, 255, 0).round().to(torch.uint8)
    return images.permute(0, 2, 3, 1).expand(-1, -1, -1, 3)
