"""Checks of the arguments of every kind of negative: image batches, data-set indices, a result to fill.

Shapes: N images, C H W image.
"""

import sys
from collections.abc import Sequence
from functools import lru_cache
from operator import index as as_int
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from texneg.philox.arrays import U64, fold

if TYPE_CHECKING:
    from torch import Tensor

Array = npt.NDArray[Any]
Index: TypeAlias = "Sequence[int] | Array | Tensor | None"
Images = TypeVar("Images", bound="Array | Tensor")

FEWEST_PIXELS = 8  # of a side, for an axis to be taken for one

_DTYPES = ("uint8", "uint16", "float16", "float32", "float64")
_ARRAY_DTYPES = frozenset(map(np.dtype, _DTYPES))  # NumPy takes 2 µs to name a dtype
_TENSOR_DTYPES = frozenset(f"torch.{name}" for name in (*_DTYPES, "bfloat16"))


def is_tensor(value: Any) -> bool:
    """True for a torch tensor. Torch is not imported for this: a tensor exists only where it has been."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def image_sides(images: Any) -> tuple[int, int]:
    """Check a batch, NumPy (N, H, W, C) or torch (N, C, H, W), and return its height and width.

    Raises:
        ValueError: another rank, layout or dtype, or no pixels; TypeError for another kind.
    """
    tensor = is_tensor(images)
    if not tensor and not isinstance(images, np.ndarray):
        raise TypeError(f"images is a {type(images).__name__}; it must be a NumPy array or a torch tensor")
    if images.ndim != 4:
        layout = "(N, C, H, W)" if tensor else "(N, H, W, C)"
        raise ValueError(f"images have shape {tuple(images.shape)}; they must be {layout}")
    if tensor and (images.layout is not sys.modules["torch"].strided or images.is_neg()):
        raise ValueError(
            "images are sparse or lazily negated; give images.to_dense() or images.resolve_neg()"
        )
    _check_layout(images.shape, tensor)
    known = str(images.dtype) in _TENSOR_DTYPES if tensor else images.dtype in _ARRAY_DTYPES
    if not known:
        allowed = (*_DTYPES, "bfloat16") if tensor else _DTYPES
        name = str(images.dtype).removeprefix("torch.")
        raise ValueError(f"images have dtype {name}; it must be one of {', '.join(allowed)}")
    height, width = images.shape[2:] if tensor else images.shape[1:3]
    if not height or not width:
        raise ValueError(f"images of {height} x {width} pixels; both sides must be at least 1")
    return height, width


def _check_layout(shape: tuple[int, ...], tensor: bool) -> None:
    """Refuse a batch whose channels lie where the layout has the width or the height.

    Channels come in ones, threes and fours, and images with such a side and that many channels do not occur.
    """
    _, *sides = shape
    given = sides.pop(2 if tensor else 0)
    if given in (1, 3, 4) and min(sides) >= FEWEST_PIXELS:
        wrong, right = ("(N, H, W, C)", "(N, C, H, W)") if tensor else ("(N, C, H, W)", "(N, H, W, C)")
        remedy = "images.permute(0, 3, 1, 2)" if tensor else "images.transpose(0, 2, 3, 1)"
        raise ValueError(
            f"images of shape {tuple(shape)} look like {wrong}; {'tensors' if tensor else 'arrays'} must be"
            f" {right}: give {remedy}"
        )


def check_count(count: int) -> None:
    """Refuse fewer than one negative an image."""
    check_integer("count", count, 1)


def check_integer(name: str, value: Any, least: int, most: int = sys.maxsize) -> None:
    """Refuse a value that is no integer of Python or NumPy, or outside its range."""
    integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if integer and least <= value <= most:
        return
    allowed = f"at least {least}" if most == sys.maxsize else f"{least} to {most}"
    if not integer:
        raise TypeError(f"{name} is {value!r}; it must be an integer, {allowed}")
    raise ValueError(f"{name} is {value}; it must be {allowed}")


def shared_key(seed: int, epoch: int, purpose: int) -> int:
    """The part of a negative's key that a whole batch shares.

    Raises:
        TypeError: a seed or epoch that is not an integer, a NumPy integer or a tensor of one.
    """
    try:
        return _fold_cached(as_int(seed), as_int(epoch), purpose)
    except TypeError:
        raise TypeError(f"seed is {seed!r} and epoch {epoch!r}; both must be integers") from None


_fold_cached = lru_cache(maxsize=64)(fold)


def index_array(index: Any, N: int) -> U64:
    """The N data-set indices as uint64; 0 ... N - 1 where none are given."""
    if index is None:
        return np.arange(N, dtype=np.uint64)
    try:
        values = index.detach().cpu().numpy() if is_tensor(index) else np.asarray(index)
    except (ValueError, NotImplementedError):  # lists in a list of unequal lengths; no values on device meta
        raise ValueError(f"index is {index!r}; it must hold {N} integers, one for each image") from None
    _check_index(values.shape, values.dtype, values.dtype.kind in "iu" or values.size == 0, N)
    return np.ascontiguousarray(values.astype(np.uint64))


def index_tensor(index: Any, N: int, device: Any) -> "Tensor":
    """`index_array` as int64 bits on a device, without waiting for the device."""
    import torch

    if index is None:
        return torch.arange(N, device=device)
    if is_tensor(index):
        integers = not (index.is_floating_point() or index.is_complex() or index.dtype is torch.bool)
        _check_index(tuple(index.shape), index.dtype, integers, N)
        return index.to(device, torch.int64, non_blocking=True)
    return torch.from_numpy(index_array(index, N).view(np.int64)).to(device, non_blocking=True)


def _check_index(shape: tuple[int, ...], dtype: object, integers: bool, N: int) -> None:
    if shape != (N,) or not integers:
        raise ValueError(
            f"index has shape {shape} and dtype {dtype}; it must hold {N} integers, one for each image"
        )


def check_out(out: Any, images: Any, shape: tuple[int, ...]) -> None:
    """Refuse a result that does not fit or shares memory with the images."""
    if is_tensor(images):
        fits = is_tensor(out) and out.device == images.device and out.is_contiguous()
        storage = out.untyped_storage().data_ptr() if fits else 0  # 0 where there are no values
        apart = storage == 0 or storage != images.untyped_storage().data_ptr()
    else:
        fits = isinstance(out, np.ndarray) and out.flags.c_contiguous and out.flags.writeable
        apart = not fits or not np.may_share_memory(out, images)
    if not (fits and apart and tuple(out.shape) == shape and out.dtype == images.dtype):
        raise ValueError(
            f"out must be C-contiguous and writable, of shape {shape}, dtype {images.dtype} and the device of"
            " images, in memory of its own"
        )
