"""Embeddings in the contrastive space: of views as in training, or of any pixels made from an image.

Shapes: N images, D embedding, S view side.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from texneg.datasets.images import ImageSet
from texneg.errors import InputError
from texneg.train.data.augmentations import KEY, QUERY, Augmentation, read_augmentation
from texneg.train.data.views import make_views
from texneg.train.evaluate.encoders import Encoder, evaluation_mode, find_device
from texneg.train.evaluate.features import U8, pass_in_pieces, read_crops, require_finite, to_network_input
from texneg.train.evaluate.figures import SOFT, Look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EPOCH = 1 << 40  # views that no training has seen


def embed(
    encoder: Encoder,
    images: ImageSet,
    index: npt.NDArray[np.int64],
    make: Callable[[U8, int], Mapping[str, U8]],
    *,
    batch: int,
) -> dict[str, Tensor]:
    """Embed what `make` returns of the pixels and the place of each of N images: (N, D) by its names.

    Raises:
        InputError: embeddings that are not finite.
    """
    device, parts = find_device(encoder), dict[str, list[Tensor]]()
    with evaluation_mode(encoder):
        for block in read_crops(images, make, block=batch, index=index):
            for kind in block[0]:
                pixels = torch.from_numpy(np.stack([made[kind] for made in block]))
                embedded = pass_in_pieces(encoder.embed, to_network_input(pixels.to(device), encoder))
                parts.setdefault(kind, []).append(embedded.float().cpu())
    vectors = {kind: torch.cat(blocks) for kind, blocks in parts.items()}
    for found in vectors.values():
        require_finite(found, images.root)
    return vectors


def embed_pairs(
    encoder: Encoder, images: ImageSet, index: npt.NDArray[np.int64], *, seed: int, batch: int
) -> tuple[Tensor, Tensor]:
    """Embed two views of each of N images, as in its training: query and key, (N, D) each.

    Raises:
        InputError: fewer than two images.
    """
    if len(index) < 2:
        raise InputError(f"{len(index)} image: cosines with other images need at least two")
    augmentation = settle_augmentation(encoder)

    def make(pixels: U8, i: int) -> dict[str, U8]:
        return {
            name: make_view(pixels, i, view, augmentation, seed=seed)
            for name, view in (("query", QUERY), ("key", KEY))
        }

    found = embed(encoder, images, index, make, batch=batch)
    return found["query"], found["key"]


def has_head(encoder: Encoder) -> bool:
    """Return True if the embeddings are of a contrastive head, False if they are the features."""
    return getattr(getattr(encoder, "network", None), "head_name", "") != "none"


FEATURES = "of the features: this encoder has no contrastive head"


def note_features(figure: "Figure", arms: Sequence[tuple[Look, Sequence[Mapping[str, Any]]]]) -> None:
    """Write above a figure which arms were compared in the space of their features."""
    labels = [look.label for look, runs in arms if not all(one.get("head", True) for one in runs)]
    if labels:
        text = f"{', '.join(labels)}: features, for there is no contrastive head"
        figure.suptitle(text, fontsize=13, color=SOFT, x=0.01, ha="left")


def settle_augmentation(encoder: Encoder) -> Augmentation:
    """Read the augmentation that the encoder was trained with; MoCo-v2's where it does not say."""
    return read_augmentation({**read_settings(encoder, "views"), "image_size": encoder.image_size})


def make_view(pixels: U8, i: int, view: int, augmentation: Augmentation, *, seed: int) -> U8:
    """Augment one image as QUERY or KEY, in an epoch that no training reaches."""
    return make_views([pixels], augmentation, seed=seed, epoch=EPOCH, index=np.array([i]), view=view)[0]


def read_settings(encoder: Encoder, part: str) -> Mapping[str, Any]:
    """Read a part of the settings that the encoder was trained with; empty where it does not say."""
    found: Mapping[str, Any] = encoder.info.get("settings", {}).get(part, {})
    return found
