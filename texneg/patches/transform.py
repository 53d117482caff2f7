"""Patch negatives of one image at a time, in the places where torchvision's transforms stand."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np

from texneg.arguments import Array, is_tensor
from texneg.patches.patches import Size, patch_negatives

Image = TypeVar("Image")


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
        self,
        size: Size = None,
        count: int = 1,
        overlap: bool = True,
        seed: int = 0,
        *,
        paper: bool = False,
        flip: bool = False,
        rotate: bool = False,
        mirror: int = 1,
        blend: float = 0.0,
    ) -> None:
        self.options: dict[str, Any] = {
            "size": size,
            "count": count,
            "overlap": overlap,
            "seed": seed,
            "paper": paper,
            "flip": flip,
            "rotate": rotate,
            "mirror": mirror,
            "blend": blend,
        }

    def __call__(self, image: Image, *, index: int, epoch: int = 0) -> Image | tuple[Image, ...]:
        """The negatives number 0 ... count - 1 of data-set image `index` in `epoch`."""
        images, restore = _batch_of_one(image)
        made = patch_negatives(images, epoch=epoch, index=[index], **self.options)
        negatives = tuple(restore(negative) for negative in made[0])
        return negatives[0] if len(negatives) == 1 else negatives

    def at(self, *, index: int, epoch: int = 0) -> Callable[[Any], Any]:
        """A transform of one argument for this place in the run, to stand last in a `Compose`."""
        return partial(self, index=index, epoch=epoch)

    def __repr__(self) -> str:
        return f"PatchNegatives({', '.join(f'{name}={value}' for name, value in self.options.items())})"


def _batch_of_one(image: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The image as a batch of one, and how one negative becomes the kind of the image again."""
    if (is_tensor(image) or isinstance(image, np.ndarray)) and image.ndim != 3:
        layout = "(C, H, W)" if is_tensor(image) else "(H, W, C)"
        raise ValueError(f"image has shape {tuple(image.shape)}; it must be {layout}")
    if is_tensor(image):
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
