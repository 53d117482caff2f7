"""Patch negatives of raw bytes as a network takes them: shuffled, normalised and cast in one pass.

A byte has 256 values, so what normalising makes of them is a table of 256 numbers a channel, computed once on
the CPU in float32 and then looked up: the bits are the same on every device. Shapes: N images, k negatives
each, C H W image.
"""

from collections.abc import Sequence
from functools import cache
from math import inf, isfinite
from typing import Any

import torch
from torch import Tensor

from texneg.arguments import Index, check_count, image_sides, index_tensor
from texneg.devices import runs_triton
from texneg.patches.patches import Size, patch_negatives, patch_rule

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, of channels in 0 ... 1
_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@torch.no_grad()
def patch_inputs(
    pixels: Tensor,
    *,
    mean: Sequence[float] = MEAN,
    std: Sequence[float] = STD,
    dtype: torch.dtype = torch.float32,
    size: Size = None,
    count: int = 1,
    overlap: bool = True,
    paper: bool = False,
    flip: bool = False,
    rotate: bool = False,
    mirror: int = 1,
    blend: float = 0.0,
    seed: int = 0,
    epoch: int = 0,
    index: Index = None,
) -> Tensor:
    """`patch_negatives` of uint8 images, normalised and cast: (pixel - 255 mean) / (255 std) in float32.

    Moving pixels and normalising them commute, so this equals normalising the negatives, to the bit on every
    device, and reads a quarter of the bytes of float images. On a CUDA device it is one kernel.

    Args:
        pixels: uint8 (N, C, H, W) in 0 ... 255, any strides: a permuted (N, H, W, C) batch is read as it is.
        mean: C values in 0 ... 1, as in torchvision's `Normalize`.
        std: C values > 0, likewise.
        dtype: of the result: float32, bfloat16 or float16; rounded once, to nearest.
        size: smallest and largest patch side in pixels; this and what follows as in `patch_negatives`.
        count: negatives of each image, >= 1.
        overlap: whether patches are drawn independently.
        paper: draw as the authors' code does.
        flip: mirror patches at random.
        rotate: turn patches by quarters at random.
        mirror: squares along a side of a tile.
        blend: width of a blended seam, as a share of the patch side; bytes are blended, then normalised.
        seed: any integer.
        epoch: any integer.
        index: the N data-set indices of the images; None for 0 ... N - 1.

    Returns:
        (N, count, C, H, W) on the device of `pixels`, each image channels_last in memory: `.flatten(0, 1)`
        is a channels_last batch of all negatives.

    Raises:
        ValueError: a shape, dtype, mean, std, size, count or index that does not fit; TypeError for another
            kind than a tensor.

    Source: Ge et al., "Robust contrastive learning using negative samples with diminished semantics",
    NeurIPS 2021; He et al., CVPR 2020 for the statistics.
    """
    sides = _check_pixels(pixels)
    lookup = _make_table(_parse_floats("mean", mean), _parse_floats("std", std), dtype, pixels.device)
    if len(lookup) != pixels.shape[1]:
        raise ValueError(
            f"mean and std have {len(lookup)} values, pixels {pixels.shape[1]} channels; give one for each"
        )
    if runs_triton(pixels.device):
        from texneg.patches import cuda

        check_count(count)
        rule = patch_rule(sides, size, overlap, paper, flip, rotate, seed, epoch, mirror, blend)
        rows = index_tensor(index, len(pixels), pixels.device)
        return cuda.shuffle(pixels, count, rows, rule, lookup=lookup, channels_last=True)
    on_cpu = pixels.device.type == "cpu"
    made: Any = patch_negatives(
        pixels.permute(0, 2, 3, 1).numpy() if on_cpu else pixels,  # bytes of a pixel together copy faster
        size=size,
        count=count,
        overlap=overlap,
        paper=paper,
        flip=flip,
        rotate=rotate,
        mirror=mirror,
        blend=blend,
        seed=seed,
        epoch=epoch,
        index=index,
    )
    return _apply_table(torch.from_numpy(made) if on_cpu else made.permute(0, 1, 3, 4, 2), lookup)


def _check_pixels(pixels: Tensor) -> tuple[int, int]:
    if not isinstance(pixels, Tensor):
        raise TypeError(f"pixels is a {type(pixels).__name__}; it must be a torch tensor")
    if pixels.dtype != torch.uint8:
        raise ValueError(f"pixels have dtype {str(pixels.dtype).removeprefix('torch.')}; it must be uint8")
    return image_sides(pixels)


def _parse_floats(name: str, values: Any) -> tuple[float, ...]:
    try:
        return tuple(map(float, values))
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {values!r}; it must be a number for each channel") from None


@cache
def _make_table(
    mean: tuple[float, ...], std: tuple[float, ...], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """(C, 256): what each byte of each channel becomes."""
    if len(mean) != len(std) or not all(map(isfinite, mean)) or not all(0 < s < inf for s in std):
        raise ValueError(f"mean {mean} and std {std}; they must be as many finite numbers, and std above 0")
    if dtype not in _DTYPES:
        allowed = ", ".join(str(allowed).removeprefix("torch.") for allowed in _DTYPES)
        raise ValueError(f"dtype is {dtype!r}; it must be one of torch's {allowed}")
    centre, scale = (255 * torch.tensor(values, dtype=torch.float32).unsqueeze(1) for values in (mean, std))
    return ((torch.arange(256) - centre) / scale).to(dtype).to(device)


def _apply_table(negatives: Tensor, lookup: Tensor) -> Tensor:
    """(N, k, C, H, W) of the table's dtype for bytes (N, k, H, W, C)."""
    channels = torch.arange(len(lookup), dtype=torch.int32, device=lookup.device)
    entries = negatives + 256 * channels
    return lookup.flatten().index_select(0, entries.flatten()).view(entries.shape).permute(0, 1, 4, 2, 3)
