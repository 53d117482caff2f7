"""Patch negatives: an image rebuilt from its own squares, which keeps the texture and destroys the object.

Ge et al., "Robust contrastive learning using negative samples with diminished semantics", NeurIPS 2021.
`plan` defines which pixels go where. Shapes: N images, k negatives each, C H W image.
"""

from collections.abc import Callable
from operator import index as as_int
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from texneg.arguments import (
    Array,
    Images,
    Index,
    check_count,
    check_integer,
    check_out,
    image_sides,
    index_array,
    index_tensor,
    is_tensor,
)
from texneg.devices import runs_triton
from texneg.layout import Bytes, array_bytes, tensor_bytes
from texneg.patches import cpu, seams
from texneg.patches.plan import (
    MAX_PIXELS,
    Rule,
    Source,
    batch_key,
    default_size,
    divisors,
    small_size,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Size: TypeAlias = tuple[int, int] | Literal["small"] | None
"""Smallest and largest side of a patch in pixels, or a range by its name; None for the paper's."""
SMALL = "small"
MOST_MIRRORED = 8  # squares along a side of a tile, which the Triton kernel's division allows


def patch_negatives(
    images: Images,
    *,
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
            paper's 16 and 72 at 224 pixels scaled to the shorter side; "small" for `small_size`, 16 and 48.
        count: negatives of each image, >= 1.
        overlap: True draws patches independently; False cuts the image into disjoint squares and permutes
            them.
        paper: draw as the authors' code does: H // d + 1 tiles a side, and never the last row and column of
            places where a patch fits. Needs overlap.
        flip: mirror each patch left to right with probability 1/2.
        rotate: turn each patch by 0 to 3 quarters, equally likely.
        mirror: squares along a side of a tile, 1 ... 8: each patch is mirrored at its borders until it fills
            mirror x mirror squares, so that fewer seams meet as small a piece of the object.
        blend: width of a seam in which both sides are mixed, as a share of d, 0 ... 1; rounded to 1 / 256.
            Each pixel is mixed with its mirror image across the seam: no value leaves the range of the two.
        seed: any integer.
        epoch: any integer.
        index: the N data-set indices of the images; None for 0 ... N - 1.
        out: C-contiguous result to fill, of the result's shape, dtype and device, apart from images.

    Returns:
        (N, count, H, W, C) or (N, count, C, H, W), of the kind, dtype and device of `images`.

    Raises:
        ValueError: a rank, dtype, size, count, mirror, blend, index or out that does not fit, or paper
            without overlap; TypeError for another kind.
    """
    rule = patch_rule(image_sides(images), size, overlap, paper, flip, rotate, seed, epoch, mirror, blend)
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
    size: Size,
    overlap: bool,
    paper: bool,
    flip: bool,
    rotate: bool,
    seed: int,
    epoch: int,
    mirror: int = 1,
    blend: float = 0.0,
) -> Rule:
    """The rule of `patch_negatives` with these options, for images of sides H, W."""
    if paper and not overlap:
        raise ValueError("paper=True with overlap=False; the authors' code draws patches that may overlap")
    source = Source.PAPER if paper else Source.CROPS if overlap else Source.DISJOINT
    base, (lo, hi) = batch_key(seed, epoch), _resolve_size(size, *sides)
    if mirror == 1 and blend == 0:
        return Rule(base, lo, hi, source, flip, rotate)
    check_integer("mirror", mirror, 1, MOST_MIRRORED)
    return Rule(base, lo, hi, source, flip, rotate, int(mirror), _parse_share(blend))


def _parse_share(blend: Any) -> int:
    """A share from 0 to 1 in 256ths."""
    if isinstance(blend, bool) or not isinstance(blend, int | float | np.floating) or not 0 <= blend <= 1:
        raise ValueError(f"blend is {blend!r}; it must be a share of the patch side from 0 to 1")
    return round(256 * float(blend))


def _shuffle(images: Images, rule: Rule, count: int, index: Index, out: Images | None) -> Images:
    check_count(count)
    shape = (images.shape[0], count, *images.shape[1:])
    if out is not None:
        check_out(out, images, shape)
    fill: Callable[..., Any] = _from_tensor if is_tensor(images) else _from_array
    return fill(images, shape, rule, index, out)


def _from_array(images: Array, shape: tuple[int, ...], rule: Rule, index: Any, out: Array | None) -> Array:
    result = np.empty(shape, images.dtype) if out is None else out
    rows = index_array(index, shape[0])
    _fill(array_bytes(np.ascontiguousarray(images)), array_bytes(result), rows, rule)
    if rule.blend:
        values: Any = result.astype(np.float32) if result.dtype == np.float16 else result
        seams.blend(values[:, :, None], rows, rule)
        if values is not result:
            result[...] = values
    return result


def _from_tensor(
    images: "Tensor", shape: tuple[int, ...], rule: Rule, index: Any, out: "Tensor | None"
) -> "Tensor":
    import torch

    if images.device.type == "cpu":
        result = torch.empty(shape, dtype=images.dtype) if out is None else out
        numbers = index_array(index, shape[0])
        _fill(tensor_bytes(images.contiguous()), tensor_bytes(result), numbers, rule)
        if rule.blend:
            values = widen_halves(result)
            seams.blend(values.detach().numpy()[..., None], numbers, rule)
            if values is not result:
                result.copy_(values)
        return result
    rows = index_tensor(index, shape[0], images.device)
    result = shuffle_on_device(images, shape[1], rows, rule)
    return result if out is None else out.copy_(result)


def _fill(images: Bytes, out: Bytes, index: Any, rule: Rule) -> None:
    """Fill a result by compiled code, its seams as they are."""
    shuffle = cpu.shuffle if rule.mirror == 1 else seams.shuffle
    shuffle(images, out, index, rule)


def shuffle_on_device(images: "Tensor", count: int, index: "Tensor", rule: Rule) -> "Tensor":
    """Negatives (N, k, C, H, W) by the device's executor; blended halves are rounded once."""
    source = widen_halves(images) if rule.blend else images
    return _pick_executor(images.device)(source, count, index, rule).to(images.dtype)


def widen_halves(images: "Tensor") -> "Tensor":
    """Convert floats of 16 bits to float32; others stay."""
    return images.float() if images.is_floating_point() and images.itemsize == 2 else images


def _pick_executor(device: "torch.device") -> "Callable[[Tensor, int, Tensor, Rule], Tensor]":
    if runs_triton(device):
        from texneg.patches import cuda

        return cuda.shuffle
    from texneg.patches import device as any_device

    return any_device.shuffle


def _resolve_size(size: Size, height: int, width: int) -> tuple[int, int]:
    largest = min(height, width)
    if size == SMALL:
        lo, hi = small_size(height, width)
    else:
        lo, hi = _parse_range(size) if size is not None else default_size(height, width)
    if not 1 <= lo <= hi <= largest:
        raise ValueError(
            f"patch size {(lo, hi) if size is None else size} for images of {height} x {width} pixels;"
            f' it must be integers (lo, hi) with 1 <= lo <= hi <= {largest}, or "small"'
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
