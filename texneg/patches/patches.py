"""Patch negatives: an image rebuilt from its own squares, which keeps the texture and destroys the object.

Ge et al., "Robust contrastive learning using negative samples with diminished semantics", NeurIPS 2021.
`plan` defines which pixels go where. Shapes: N images, k negatives each, C H W image.
"""

from collections.abc import Callable
from operator import index as as_int
from typing import TYPE_CHECKING, Any

import numpy as np

from texneg.arguments import (
    Array,
    Images,
    Index,
    check_count,
    check_out,
    image_sides,
    index_array,
    index_tensor,
    is_tensor,
)
from texneg.devices import runs_triton
from texneg.layout import array_bytes, tensor_bytes
from texneg.patches import cpu
from texneg.patches.plan import MAX_PIXELS, Rule, Source, batch_key, default_size, divisors

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def patch_negatives(
    images: Images,
    *,
    size: tuple[int, int] | None = None,
    count: int = 1,
    overlap: bool = True,
    paper: bool = False,
    flip: bool = False,
    rotate: bool = False,
    seed: int = 0,
    epoch: int = 0,
    index: Index = None,
    out: Images | None = None,
) -> Images:
    """Tile each image with randomly placed square patches of itself.

    One patch side d is drawn for each negative; ceil(H/d) x ceil(W/d) patches cover the image, cut at the
    bottom and right border. The pixels depend only on the image and on (seed, epoch, index, k): not on batch
    split, order, worker or device. Arrays and CPU tensors are copied by compiled code, CUDA tensors by a
    Triton kernel, tensors elsewhere by a gather on their device; no gradient flows. Give it finished views,
    after crop, jitter and blur.

    Args:
        images: NumPy (N, H, W, C) of uint8, float16, float32 or float64, or torch (N, C, H, W) of those or
            bfloat16; any strides.
        size: smallest and largest d in pixels, 1 <= lo <= hi <= min(H, W); None for `default_size`, the
            paper's 16 and 72 at 224 pixels scaled to the shorter side.
        count: negatives of each image, >= 1.
        overlap: True draws patches independently; False cuts the image into disjoint squares and permutes
            them.
        paper: draw as the authors' code does: H // d + 1 tiles a side, and never the last row and column of
            places where a patch fits. Needs overlap.
        flip: mirror each patch left to right with probability 1/2.
        rotate: turn each patch by 0 to 3 quarters, equally likely.
        seed: any integer.
        epoch: any integer.
        index: the N data-set indices of the images; None for 0 ... N - 1.
        out: C-contiguous result to fill, of the result's shape, dtype and device, apart from images.

    Returns:
        (N, count, H, W, C) or (N, count, C, H, W), of the kind, dtype and device of `images`.

    Raises:
        ValueError: a rank, dtype, size, count, index or out that does not fit, or paper without overlap;
            TypeError for another kind.
    """
    rule = patch_rule(image_sides(images), size, overlap, paper, flip, rotate, seed, epoch)
    return _shuffle(images, rule, count, index, out)


def patch_permutation(
    images: Images,
    *,
    size: tuple[int, int] | None = None,
    count: int = 1,
    flip: bool = False,
    rotate: bool = False,
    seed: int = 0,
    epoch: int = 0,
    index: Index = None,
    out: Images | None = None,
) -> Images:
    """Cut each image into a grid of squares and permute them: every pixel stays, once, in another place.

    The first version of Ge et al., which they dropped for `patch_negatives`; for ablations. The side d of the
    squares is drawn from the common divisors of H and W. Arguments, result and errors as in
    `patch_negatives`; `size` must hold a common divisor of H and W.
    """
    lo, hi = _resolve_size(size, *image_sides(images))
    _check_divisors(*image_sides(images), lo, hi)
    rule = Rule(batch_key(seed, epoch), lo, hi, Source.PERMUTATION, flip, rotate)
    return _shuffle(images, rule, count, index, out)


def patch_rule(
    sides: tuple[int, int],
    size: tuple[int, int] | None,
    overlap: bool,
    paper: bool,
    flip: bool,
    rotate: bool,
    seed: int,
    epoch: int,
) -> Rule:
    """The rule of `patch_negatives` with these options, for images of sides H, W."""
    if paper and not overlap:
        raise ValueError("paper=True with overlap=False; the authors' code draws patches that may overlap")
    source = Source.PAPER if paper else Source.CROPS if overlap else Source.DISJOINT
    return Rule(batch_key(seed, epoch), *_resolve_size(size, *sides), source, flip, rotate)


def _shuffle(images: Images, rule: Rule, count: int, index: Index, out: Images | None) -> Images:
    check_count(count)
    shape = (images.shape[0], count, *images.shape[1:])
    if out is not None:
        check_out(out, images, shape)
    fill: Callable[..., Any] = _from_tensor if is_tensor(images) else _from_array
    return fill(images, shape, rule, index, out)


def _from_array(images: Array, shape: tuple[int, ...], rule: Rule, index: Any, out: Array | None) -> Array:
    result = np.empty(shape, images.dtype) if out is None else out
    source = array_bytes(np.ascontiguousarray(images))
    cpu.shuffle(source, array_bytes(result), index_array(index, shape[0]), rule)
    return result


def _from_tensor(
    images: "Tensor", shape: tuple[int, ...], rule: Rule, index: Any, out: "Tensor | None"
) -> "Tensor":
    import torch

    if images.device.type == "cpu":
        result = torch.empty(shape, dtype=images.dtype) if out is None else out
        source = tensor_bytes(images.contiguous())
        cpu.shuffle(source, tensor_bytes(result), index_array(index, shape[0]), rule)
        return result
    rows = index_tensor(index, shape[0], images.device)
    result = _pick_executor(images.device)(images, shape[1], rows, rule)
    return result if out is None else out.copy_(result)


def _pick_executor(device: "torch.device") -> "Callable[[Tensor, int, Tensor, Rule], Tensor]":
    if runs_triton(device):
        from texneg.patches import cuda

        return cuda.shuffle
    from texneg.patches import device as any_device

    return any_device.shuffle


def _resolve_size(size: tuple[int, int] | None, height: int, width: int) -> tuple[int, int]:
    largest = min(height, width)
    lo, hi = _parse_range(size) if size is not None else default_size(height, width)
    if not 1 <= lo <= hi <= largest:
        raise ValueError(
            f"patch size {(lo, hi) if size is None else size} for images of {height} x {width} pixels;"
            f" it must be integers (lo, hi) with 1 <= lo <= hi <= {largest}"
        )
    if height * width > MAX_PIXELS:
        raise ValueError(f"images of {height} x {width} pixels; at most {MAX_PIXELS} pixels are allowed")
    return lo, hi


def _parse_range(size: Any) -> tuple[int, int]:
    """Both sides of a range; (0, 0), which is none, for anything else."""
    try:
        lo, hi = map(as_int, size)
    except (TypeError, ValueError):
        return 0, 0
    return lo, hi


def _check_divisors(height: int, width: int, lo: int, hi: int) -> None:
    if not divisors(height, width, lo, hi):
        allowed = ", ".join(map(str, divisors(height, width, 1, min(height, width))))
        raise ValueError(
            f"no patch side from {lo} to {hi} divides images of {height} x {width} pixels;"
            f" a permutation needs one: {allowed}"
        )
