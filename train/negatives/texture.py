"""Texture negatives (Ge et al., NeurIPS 2021) made before, one of each image, by `texneg synth`."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from texneg.train.negatives.base import Negative, TextureViews


@dataclass(frozen=True)
class Texture(Negative):
    """Texture of each image from a file, with exactly the augmentation of its query view."""

    name = "texture"
    needs_textures = True

    @property
    def on_device(self) -> bool:
        """False: files are read in the loader."""
        return False

    def make(self, images: Any, textures: TextureViews | None = None, **stream: Any) -> Any:
        """Read the texture of each image; only their places in the data set matter."""
        if textures is None:
            raise ValueError("negatives of kind texture need texture files")
        return np.repeat(textures(index=stream["index"])[:, None], stream["count"], axis=1)
