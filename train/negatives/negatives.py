"""The non-semantic negatives of a batch of query views, of the kinds that a configuration names.

Shapes: N images of a process, M negatives a query, S view side.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from texneg.mixture import mixed_negatives
from texneg.patches.patches import patch_negatives, patch_permutation
from texneg.textures.live.negatives import texture_negatives
from texneg.train.config import Kind, PretrainConfig
from texneg.train.data.views import QUERY, U8, Augmentation, make_views

Kinds = tuple[tuple[Callable[..., Any], float], ...]
"""Functions of the call shape of `patch_negatives` and their probabilities; empty for no negatives."""

Pixels = TypeVar("Pixels", U8, Tensor)


def make_negatives(
    query: Pixels, kinds: Kinds, *, count: int, seed: int, epoch: int, index: npt.NDArray[np.int64] | Tensor
) -> Pixels:
    """Negatives (N, M, S, S, 3) of query views (N, S, S, 3), uint8, on their device.

    Arrays and tensors, on any device, give the same bytes.
    """
    stream: dict[str, Any] = {"count": count, "seed": seed, "epoch": epoch, "index": index}
    images: Any = query.permute(0, 3, 1, 2) if isinstance(query, Tensor) else query
    (first, _), *others = kinds
    made: Any = mixed_negatives(images, kinds, **stream) if others else first(images, **stream)
    negatives: Pixels = made.permute(0, 1, 3, 4, 2).contiguous() if isinstance(query, Tensor) else made
    return negatives


def kinds_of(config: PretrainConfig, textures: Callable[..., Any] | None = None) -> Kinds:
    """The kinds of a configuration as functions; `textures` is that of kind texture: `paired_textures`."""
    return tuple((function_of(kind, config, textures), share) for kind, share in config.kinds)


def function_of(
    kind: Kind, config: PretrainConfig, textures: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    """One kind with the options of the configuration."""
    c = config
    if kind == "patch":
        overlap = c.patch_overlap
        return partial(
            patch_negatives, size=c.patch, overlap=overlap, flip=c.patch_flip, rotate=c.patch_rotate
        )
    if kind == "patch_permutation":
        return partial(patch_permutation, size=c.patch, flip=c.patch_flip, rotate=c.patch_rotate)
    if kind == "texture_live":
        return partial(texture_negatives, exemplar=c.texture_exemplar, method=c.texture_method)
    assert textures is not None
    return textures


def on_device(config: PretrainConfig) -> bool:
    """Whether every kind can be made on the device of the batch: not textures from files or of the scan."""
    live = config.texture_method == "live"
    return all(kind != "texture" and (kind != "texture_live" or live) for kind, _ in config.kinds)


def paired_textures(
    images: U8,
    *,
    texture: Callable[[int], U8],
    augmentation: Augmentation,
    count: int = 1,
    seed: int = 0,
    epoch: int = 0,
    index: npt.NDArray[np.int64],
) -> U8:
    """The texture of each image, with exactly the augmentation of its query view; `count` times the same.

    A kind of negative like `patch_negatives`, which looks at the indices of the images alone.
    """
    textures = [texture(int(i)) for i in index]
    views = make_views(textures, augmentation, seed=seed, epoch=epoch, index=index, view=QUERY)
    return np.repeat(views[:, None], count, axis=1)
