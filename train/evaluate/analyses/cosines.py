"""Cosines between a view and its positive, other images, and negatives with diminished semantics.

The first thing to look at: in an ordinary contrastive space the texture and the patches of an image lie much
nearer to it than other images do (Ge et al., NeurIPS 2021), and training against them moves them away.

Shapes: N images, D embedding, S view side.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from texneg.datasets.images import ImageSet
from texneg.errors import InputError
from texneg.patches.patches import patch_negatives
from texneg.textures.live.negatives import texture_negatives
from texneg.textures.presets import LARGEST_OUTPUT, SMALLEST_OUTPUT
from texneg.train.data.views import KEY, QUERY, Augmentation, make_views
from texneg.train.evaluate.features import U8, Encoder, device_of, evaluation_mode, normalise, read_crops

OTHERS = 16  # other images compared with each query
BINS = 200  # of equal width over -1 ... 1
EPOCH = 1 << 40  # views that no training has seen

Cosines = dict[str, npt.NDArray[np.float32]]


def collect(
    encoder: Encoder,
    images: ImageSet,
    index: npt.NDArray[np.int64],
    *,
    augmentation: Augmentation,
    patch: tuple[int, int] | None = None,
    texture: Callable[[int], U8] | None = None,
    seed: int = 0,
    batch: int = 256,
) -> Cosines:
    """Cosines in the contrastive space by kind: "positive", "ordinary", "patch" and a texture.

    Each is (N,), but "ordinary" (N * others,): the query against the positives of up to `OTHERS` other
    images. Query and positive are two views as in training; patches are cut from the query view. "texture",
    where textures are given, gets exactly the query's augmentation; else "texture_live" is synthesised from
    the query view, if that has 16 to 1024 px. All go through the query encoder, with BN in evaluation mode.

    Args:
        encoder: with `embed`, (N, 3, S, S) to (N, D). Left in the mode it came in.
        images: what `index` points into.
        index: places of N images, at least 2.
        augmentation: of the views; its size is the encoder's.
        patch: smallest and largest side of a patch, pixels; None for the paper's.
        texture: uint8 texture of the image at a place.
        seed: of views and patches.
        batch: images a forward pass.
    """
    if len(index) < 2:
        raise InputError(f"{len(index)} image: cosines with other images need at least two")
    device, parts = device_of(encoder), dict[str, list[Tensor]]()

    def views(pixels: U8, i: int, view: int) -> U8:
        return make_views([pixels], augmentation, seed=seed, epoch=EPOCH, index=np.array([i]), view=view)[0]

    def one(pixels: U8, i: int) -> dict[str, U8]:
        made = {"query": views(pixels, i, QUERY), "key": views(pixels, i, KEY)}
        query: U8 = made["query"][None]
        stream: dict[str, Any] = {"seed": seed, "epoch": EPOCH, "index": [i]}
        made["patch"] = patch_negatives(query, size=patch, **stream)[0, 0]
        if texture is not None:
            made["texture"] = views(texture(i), i, QUERY)
        elif SMALLEST_OUTPUT <= augmentation.image_size <= LARGEST_OUTPUT:
            made["texture_live"] = texture_negatives(query, threads=1, **stream)[0, 0]
        return made

    with evaluation_mode(encoder):
        for block in read_crops(images, one, block=batch, index=index):
            for kind in block[0]:
                pixels = torch.from_numpy(np.stack([made[kind] for made in block]))
                embedded = encoder.embed(normalise(pixels.to(device), encoder))
                parts.setdefault(kind, []).append(embedded.float().cpu())
    vectors = {kind: torch.cat(blocks) for kind, blocks in parts.items()}
    query, key = vectors.pop("query"), vectors.pop("key")
    cosines = {"positive": (query * key).sum(1)}
    offsets = np.unique(np.linspace(1, len(index) - 1, OTHERS).round().astype(int))
    cosines["ordinary"] = torch.cat([(query * key.roll(int(o), 0)).sum(1) for o in offsets])
    cosines |= {kind: (query * other).sum(1) for kind, other in vectors.items()}
    return {kind: values.numpy() for kind, values in cosines.items()}


def separation(positive: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """AUC: the probability that a positive cosine exceeds another one, ties counted half."""
    ordered = np.sort(other)
    below, up_to = (np.searchsorted(ordered, positive, side=side) for side in ("left", "right"))
    return float((below + up_to).mean() / 2 / len(other))


def histograms(cosines: Cosines) -> dict[str, Any]:
    """Counts over `BINS` bins, mean, deviation, quartiles and separation from the positives, by kind."""
    edges = np.linspace(-1, 1, BINS + 1)
    return {
        "edges": edges.tolist(),
        "kinds": {
            kind: {
                "n": len(values),
                "mean": float(values.mean(dtype=np.float64)),
                "sd": float(values.std(dtype=np.float64)),
                "quartiles": np.quantile(values, [0.25, 0.5, 0.75]).tolist(),
                # A cosine may round to just beyond 1.
                "counts": np.histogram(values.clip(-1, 1), edges)[0].tolist(),
                "auc": None if kind == "positive" else separation(cosines["positive"], values),
            }
            for kind, values in cosines.items()
        },
    }
