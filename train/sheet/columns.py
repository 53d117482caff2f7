"""The columns that a contact sheet can show: one for each kind of negative."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from texneg.datasets.decode import Pixels
from texneg.datasets.images import ImageSet
from texneg.datasets.pairs import NONE, pair
from texneg.mixture import mixed_negatives
from texneg.patches.patches import patch_negatives, patch_permutation
from texneg.synth.plan.plan import Small
from texneg.synth.task.images import enlarged, image_seed, patch_size
from texneg.textures.exemplars import exemplar_places, exemplars
from texneg.textures.live.negatives import texture_negatives
from texneg.textures.texture import texture
from texneg.train.sheet.page import square, whole

Kind = Literal["patch", "paper", "disjoint", "permutation", "turned", "texture", "texture_live", "mixture"]

TITLES: dict[str, tuple[str, ...]] = {
    "image": ("image",),
    "patch": ("patch negative", "patch"),
    "paper": ("patch, the paper's tiles", "paper's patch", "paper"),
    "disjoint": ("patch, disjoint squares", "disjoint patch", "disjoint"),
    "permutation": ("patch permutation", "permutation"),
    "turned": ("patch, flipped and rotated", "turned patch", "turned"),
    "texture": ("texture negative", "texture"),
    "texture_live": ("live texture", "live"),
    "mixture": ("mixture: half patch, half live texture", "mixture: patch or live", "mixture"),
}
"""Longest wording first."""


def functions(size: tuple[int, int] | None) -> dict[str, Callable[..., Any]]:
    """Each kind but `texture`, which needs the whole image; `size` is the patches' range, px."""
    patch = partial(patch_negatives, size=size)
    return {
        "patch": patch,
        "paper": partial(patch, paper=True),
        "disjoint": partial(patch, overlap=False),
        "permutation": partial(patch_permutation, size=size),
        "turned": partial(patch, flip=True, rotate=True),
        "texture_live": texture_negatives,
        "mixture": partial(mixed_negatives, kinds=((patch, 0.5), (texture_negatives, 0.5))),
    }


@dataclass(frozen=True)
class Textures:
    """The column `texture`: the textures of a run of `texneg synth`, or made here as such a run would."""

    images: ImageSet
    made: tuple[ImageSet, npt.NDArray[np.int64]] | None
    """Those of a run, and the index of each image's; None to make them here."""
    seed: int
    exemplar_size: int
    small: Small

    @classmethod
    def of(
        cls, images: ImageSet, textures: ImageSet | None, seed: int, exemplar_size: int, small: Small
    ) -> "Textures":
        """Pair the images with the textures of a run, if one is given."""
        made = None if textures is None else (textures, pair(images, textures, allow_missing=True))
        return cls(images, made, seed, exemplar_size, small)

    def has(self, i: int) -> bool:
        """Whether image i has a texture, or will have one."""
        return self.made is None or self.made[1][i] != NONE

    def pictures(self, i: int, pixels: Pixels, side: int) -> dict[str, Pixels]:
        """Image i with its two exemplars boxed, and its texture.

        Raises:
            DecodeError: the image is too small, or its texture cannot be read.
        """
        patch, zoom = patch_size(*pixels.shape[:2], size=self.exemplar_size, small=self.small)
        pixels = enlarged(pixels, zoom)
        own = image_seed(self.seed, self._key(i))
        places = exemplar_places(*pixels.shape[:2], size=patch, seed=own)
        if self.made is None:
            picture = texture(exemplars(pixels, size=patch, seed=own), size=side, seed=own)
        else:
            textures, partner = self.made
            picture = square(textures[int(partner[i])][0], side)
        return {"image": whole(pixels, side, [(*place, patch) for place in places]), "texture": picture}

    def _key(self, i: int) -> str:
        """What the texture's seed was made of: the whole name where the run's names have it."""
        key, name = self.images.keys[i], self.images.name(i)
        if self.made is None:
            return key
        textures, partner = self.made
        return name if textures.keys[partner[i]] == name else key
