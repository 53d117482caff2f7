"""Which texture belongs to which image."""

import numpy as np
import numpy.typing as npt

from texneg.datasets.images import ImageSet
from texneg.errors import InputError

NONE = -1


def pair(images: ImageSet, textures: ImageSet, *, allow_missing: bool = False) -> npt.NDArray[np.int64]:
    """Index of each image's texture, by key.

    Args:
        images: N images.
        textures: what `texneg synth` made of them, in either output format; may hold more.
        allow_missing: give -1 for an image without texture instead of raising.

    Returns:
        (N,) indices into `textures`.

    Raises:
        InputError: an image has no texture, or none has.
    """
    index = {key: i for i, key in enumerate(textures.keys)}
    found = np.array([index.get(key, NONE) for key in images.keys], np.int64)
    missing = np.flatnonzero(found == NONE)
    if len(missing) == len(images) or (len(missing) and not allow_missing):
        raise InputError(
            f"{len(missing)} of {len(images)} images of {images.root} have no texture in {textures.root}"
            f" (first: {images.keys[missing[0]]}): run texneg synth on the same data, or leave them out"
        )
    return found
