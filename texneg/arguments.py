"""What every kind of negative accepts: image batches of two kinds, data-set indices, a result to fill.

Shapes: N images, C H W image.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from texneg.philox import U64

if TYPE_CHECKING:
    from torch import Tensor

Array = npt.NDArray[Any]
Index: TypeAlias = "Sequence[int] | Array | Tensor | None"
Images = TypeVar("Images", bound="Array | Tensor")

_DTYPES = ("uint8", "float16", "float32", "float64")
_ARRAY_DTYPES = frozenset(map(np.dtype, _DTYPES))  # NumPy takes 2 us to name a dtype
_TENSOR_DTYPES = frozenset(f"torch.{name}" for name in (*_DTYPES, "bfloat16"))


def is_tensor(value: Any) -> bool:
    """Whether it is a torch tensor, without importing torch: nobody has a tensor who has not."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def image_sides(images: Any) -> tuple[int, int]:
    """Height and width of a batch that can be used: NumPy (N, H, W, C) or torch (N, C, H, W).

    Raises:
        ValueError: another rank or dtype; TypeError for another kind.
    """
    tensor = is_tensor(images)
    if not tensor and not isinstance(images, np.ndarray):
        raise TypeError(f"images is a {type(images).__name__}; it must be a NumPy array or a torch tensor")
    if images.ndim != 4:
        layout = "(N, C, H, W)" if tensor else "(N, H, W, C)"
        raise ValueError(f"images have shape {tuple(images.shape)}; they must be {layout}")
    known = str(images.dtype) in _TENSOR_DTYPES if tensor else images.dtype in _ARRAY_DTYPES
    if not known:
        allowed = (*_DTYPES, "bfloat16") if tensor else _DTYPES
        name = str(images.dtype).removeprefix("torch.")
        raise ValueError(f"images have dtype {name}; it must be one of {', '.join(allowed)}")
    _, first, height, width = images.shape
    return (height, width) if tensor else (first, height)


def check_count(count: int) -> None:
    """Refuse fewer than one negative an image."""
    if count < 1:
        raise ValueError(f"count is {count}; it must be at least 1")


def index_array(index: Any, N: int) -> U64:
    """The N data-set indices as uint64; 0 ... N - 1 where none are given."""
    if index is None:
        return np.arange(N, dtype=np.uint64)
    values = index.detach().cpu().numpy() if is_tensor(index) else np.asarray(index)
    _check_index(values.shape, values.dtype.kind in "iu" or values.size == 0, N)
    return np.ascontiguousarray(values.astype(np.uint64))


def index_tensor(index: Any, N: int, device: Any) -> "Tensor":
    """The same as int64 bits on a device, without a wait for it."""
    import torch

    if index is None:
        return torch.arange(N, device=device)
    if is_tensor(index):
        _check_index(tuple(index.shape), not index.is_floating_point(), N)
        return index.to(device, torch.int64, non_blocking=True)
    return torch.from_numpy(index_array(index, N).view(np.int64)).to(device, non_blocking=True)


def _check_index(shape: tuple[int, ...], integers: bool, N: int) -> None:
    if shape != (N,) or not integers:
        raise ValueError(f"index has shape {shape}; it must hold {N} integers, one for each image")


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
