"""Patch negatives: the image cut into squares of its own, so that its texture stays and its object goes.

Ge et al., "Robust contrastive learning using negative samples with diminished semantics", NeurIPS 2021.
`patch_plan` defines which pixels go where. Shapes: N images, k negatives each, C H W image.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from texneg.patch_layout import array_bytes, tensor_bytes
from texneg.patch_numba import shuffle as shuffle_bytes
from texneg.patch_plan import MAX_PIXELS, Rule, base_key, default_size
from texneg.philox import U64

if TYPE_CHECKING:
    from torch import Tensor

Array = npt.NDArray[Any]
Index: TypeAlias = "Sequence[int] | Array | Tensor | None"
Images = TypeVar("Images", bound="Array | Tensor")
Image = TypeVar("Image")

_DTYPES = ("uint8", "float16", "float32", "float64")
_TORCH_DTYPES = (*_DTYPES, "bfloat16")


def patch_negatives(
    images: Images,
    *,
    size: tuple[int, int] | None = None,
    count: int = 1,
    overlap: bool = True,
    seed: int = 0,
    epoch: int = 0,
    index: Index = None,
    out: Images | None = None,
) -> Images:
    """Tile each image with randomly placed square patches of itself.

    One patch side d is drawn for each negative; ceil(H/d) x ceil(W/d) patches cover the image, cut at the
    bottom and right border. The pixels depend only on the image and on (seed, epoch, index, k): not on batch
    split, order, worker or device. Arrays and CPU tensors are copied by compiled code, tensors elsewhere
    gathered on their device; no gradient flows. Give it finished views, after crop, jitter and blur.

    Args:
        images: NumPy (N, H, W, C) of uint8, float16, float32 or float64, or torch (N, C, H, W) of those or
            bfloat16; any strides.
        size: smallest and largest d in pixels, 1 <= lo <= hi <= min(H, W); None for `default_size`, the
            paper's 16 and 72 at 224 pixels scaled to the shorter side.
        count: negatives of each image, >= 1.
        overlap: True draws patches independently (the official code); False cuts the image into disjoint
            squares and permutes them.
        seed: any integer.
        epoch: any integer.
        index: the N data-set indices of the images; None for 0 ... N - 1.
        out: C-contiguous result to fill, of the result's shape, dtype and device, apart from images.

    Returns:
        (N, count, H, W, C) or (N, count, C, H, W), of the kind, dtype and device of `images`.

    Raises:
        ValueError: a rank, dtype, size, count, index or out that does not fit; TypeError for another kind.
    """
    tensor = _is_tensor(images)
    if not tensor and not isinstance(images, np.ndarray):
        raise TypeError(f"images is a {type(images).__name__}; it must be a NumPy array or a torch tensor")
    _check_images(images, _TORCH_DTYPES if tensor else _DTYPES)
    height, width = images.shape[2:] if tensor else images.shape[1:3]
    lo, hi = _checked_size(size, height, width)
    if count < 1:
        raise ValueError(f"count is {count}; it must be at least 1")
    shape = (images.shape[0], count, *images.shape[1:])
    if out is not None:
        _check_out(out, images, shape)
    fill: Callable[..., Any] = _from_tensor if tensor else _from_array
    return fill(images, shape, Rule(base_key(seed, epoch), lo, hi, overlap), index, out)


class PatchNegatives:
    """`patch_negatives` for one image at a time, for a data set's `__getitem__` or a torchvision pipeline.

    Takes what torchvision v2 takes: a PIL image, a torch (C, H, W) tensor or tv_tensor, or a NumPy (H, W, C)
    array; returns one of the same kind (a tuple of them when count > 1). It keeps no state between calls, so
    loader workers need no seeding: the caller says which image of which epoch this is.

        negatives = PatchNegatives(seed=0)
        negatives(view, index=i, epoch=epoch)
        v2.Compose([..., negatives.at(index=i, epoch=epoch)])(image)

    Arguments and errors as in `patch_negatives`.
    """

    def __init__(
        self, size: tuple[int, int] | None = None, count: int = 1, overlap: bool = True, seed: int = 0
    ) -> None:
        self.size, self.count, self.overlap, self.seed = size, count, overlap, seed

    def __call__(self, image: Image, *, index: int, epoch: int = 0) -> Image | tuple[Image, ...]:
        """The negatives number 0 ... count - 1 of data-set image `index` in `epoch`."""
        images, restore = _batch_of_one(image)
        made = patch_negatives(
            images,
            size=self.size,
            count=self.count,
            overlap=self.overlap,
            seed=self.seed,
            epoch=epoch,
            index=[index],
        )
        negatives = tuple(restore(negative) for negative in made[0])
        return negatives[0] if self.count == 1 else negatives

    def at(self, *, index: int, epoch: int = 0) -> Callable[[Any], Any]:
        """A transform of one argument for this place in the run, to stand last in a `Compose`."""
        return partial(self, index=index, epoch=epoch)

    def __repr__(self) -> str:
        return (
            f"PatchNegatives(size={self.size}, count={self.count}, overlap={self.overlap}, seed={self.seed})"
        )


def _from_array(images: Array, shape: tuple[int, ...], rule: Rule, index: Any, out: Array | None) -> Array:
    result = np.empty(shape, images.dtype) if out is None else out
    source = array_bytes(np.ascontiguousarray(images))
    shuffle_bytes(source, array_bytes(result), _index_array(index, shape[0]), rule)
    return result


def _from_tensor(
    images: "Tensor", shape: tuple[int, ...], rule: Rule, index: Any, out: "Tensor | None"
) -> "Tensor":
    import torch

    if images.device.type == "cpu":
        result = torch.empty(shape, dtype=images.dtype) if out is None else out
        source = tensor_bytes(images.contiguous())
        shuffle_bytes(source, tensor_bytes(result), _index_array(index, shape[0]), rule)
        return result
    from texneg.patch_torch import shuffle as gather

    rows = _index_tensor(index, shape[0], images.device)
    result = gather(images, shape[1], rows, rule)
    return result if out is None else out.copy_(result)


def _index_array(index: Any, N: int) -> U64:
    if index is None:
        return np.arange(N, dtype=np.uint64)
    values = index.detach().cpu().numpy() if _is_tensor(index) else np.asarray(index)
    _check_index(values.shape, values.dtype.kind in "iu" or values.size == 0, N)
    return np.ascontiguousarray(values.astype(np.uint64))


def _index_tensor(index: Any, N: int, device: Any) -> "Tensor":
    import torch

    if index is None:
        return torch.arange(N, device=device)
    if _is_tensor(index):
        _check_index(tuple(index.shape), not index.is_floating_point(), N)
        return index.to(device, torch.int64, non_blocking=True)
    return torch.from_numpy(_index_array(index, N).view(np.int64)).to(device, non_blocking=True)


def _check_index(shape: tuple[int, ...], integers: bool, N: int) -> None:
    if shape != (N,) or not integers:
        raise ValueError(f"index has shape {shape}; it must hold {N} integers, one for each image")


def _check_images(images: Any, dtypes: tuple[str, ...]) -> None:
    layout = "(N, C, H, W)" if _is_tensor(images) else "(N, H, W, C)"
    if images.ndim != 4:
        raise ValueError(f"images have shape {tuple(images.shape)}; they must be {layout}")
    name = str(images.dtype).removeprefix("torch.")
    if name not in dtypes:
        raise ValueError(f"images have dtype {name}; it must be one of {', '.join(dtypes)}")


def _checked_size(size: tuple[int, int] | None, height: int, width: int) -> tuple[int, int]:
    lo, hi = default_size(height, width) if size is None else size
    if not 1 <= lo <= hi <= min(height, width):
        raise ValueError(
            f"patch size {(lo, hi)} for images of {height} x {width} pixels;"
            f" it must be (lo, hi) with 1 <= lo <= hi <= {min(height, width)}"
        )
    if height * width > MAX_PIXELS:
        raise ValueError(f"images of {height} x {width} pixels; at most {MAX_PIXELS} pixels are allowed")
    return int(lo), int(hi)


def _check_out(out: Any, images: Any, shape: tuple[int, ...]) -> None:
    if _is_tensor(images):
        fits = _is_tensor(out) and out.device == images.device and out.is_contiguous()
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


def _batch_of_one(image: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The image as a batch of one, and how one negative becomes the kind of the image again."""
    if _is_tensor(image):
        import torch

        plain = image.as_subclass(torch.Tensor)
        return plain.unsqueeze(0), lambda negative: negative.as_subclass(type(image))
    if isinstance(image, np.ndarray):
        return image[None], lambda negative: negative
    if hasattr(image, "frombytes") and hasattr(image, "__array_interface__"):  # PIL, not imported here
        pixels = np.asarray(image)
        return (pixels if pixels.ndim == 3 else pixels[:, :, None])[None], partial(_to_pil, image)
    raise TypeError(f"image is a {type(image).__name__}; give a PIL image, a torch tensor or a NumPy array")


def _to_pil(like: Any, negative: Array) -> Any:
    image = like.copy()  # keeps mode and palette
    image.frombytes(negative.tobytes())
    return image


def _is_tensor(value: Any) -> bool:
    """Whether it is a torch tensor, without importing torch: nobody has a tensor who has not."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)
