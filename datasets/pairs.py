"""Pairing of images with their textures."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from texneg.datasets.images import ImageSet, open_images
from texneg.datasets.storage.places import Place
from texneg.errors import InputError

NONE = -1
_TWICE = -2


def open_pairs(
    path: str | Place, textures: str | Place | None = None, split: str | None = None
) -> tuple[ImageSet, ImageSet, npt.NDArray[np.int64]]:
    """Open images and textures, and find the index of each image's texture.

    Args:
        path: images, or tars that `texneg synth --layout paired` wrote.
        textures: where the textures are; None for those beside the images.
        split: of both.

    Raises:
        InputError: see `open_images` and `pair`; or there are no textures beside the images.
    """
    images = open_images(path, split)
    if textures is None:
        found = open_textures_beside(images, path, split)
    else:
        found = open_images(textures, split, textures=True)
    if found is None:
        raise InputError(
            f"{path} holds no textures beside its images: say where they are,"
            " or make such tars with texneg synth --layout paired"
        )
    return images, found, pair(images, found)


def open_textures_beside(images: ImageSet, path: str | Place, split: str | None = None) -> ImageSet | None:
    """Open the textures that lie in the tars of their images; None if an image has none there.

    Args:
        images: those of `path`.
        path: where they were opened.
        split: of the images.
    """
    if not images.in_tars:
        return None
    found = open_images(path, split, textures=True, stored=images.stored)
    images_there = set(map(images.place_of, range(len(images))))
    return found if images_there.isdisjoint(map(found.place_of, range(len(found)))) else None


def pair(images: ImageSet, textures: ImageSet, *, allow_missing: bool = False) -> npt.NDArray[np.int64]:
    """Find the index of each image's texture by key.

    Args:
        images: N images.
        textures: what `texneg synth` made of them, in either output format; may hold more.
        allow_missing: give -1 for an image without texture instead of raising.

    Returns:
        (N,) indices into `textures`.

    Raises:
        InputError: an image has no texture, none has, more than one texture has its key, or the textures are
            the images.
    """
    index: dict[str, int] = {}
    for i, key in enumerate(textures.keys):
        index[key] = _TWICE if key in index else i
    found = _find_best(index, images)
    if (found == _TWICE).any():
        key = images.keys[int(np.argmax(found == _TWICE))]
        raise InputError(
            f"more than one texture in {textures.root} has the key {key}: give every image a key of its own"
        )
    if len(images) and found[0] != NONE and textures.place_of(int(found[0])) == images.place_of(0):
        raise InputError(f"the textures of {textures.root} are the images: name what texneg synth wrote")
    missing = np.flatnonzero(found == NONE)
    if len(missing) == len(images) or (len(missing) and not allow_missing):
        raise InputError(
            f"{len(missing)} of {len(images)} images of {images.root} have no texture in {textures.root}"
            f" (first: {images.keys[missing[0]]}): run texneg synth on the same data, or leave them out"
        )
    return found


def _find_best(index: dict[str, int], images: ImageSet) -> npt.NDArray[np.int64]:
    """Find indices by the first naming that matches all images, else by the one that matches most."""
    best = np.full(len(images), NONE, np.int64)
    for names in _namings(images):
        found = np.array([index.get(name, NONE) for name in names], np.int64)
        if (found != NONE).sum() > (best != NONE).sum():
            best = found
        if NONE not in best:
            break
    return best


def _namings(images: ImageSet) -> Iterator[Sequence[str]]:
    """Keys that `texneg synth` may have given the textures."""
    yield images.keys
    yield [images.name(i) for i in range(len(images))]  # --naming append
    labels = images.labels.tolist()  # tar shards made into class folders
    yield [
        f"{images.classes[n]}/{key}" if n >= 0 else key for n, key in zip(labels, images.keys, strict=True)
    ]
