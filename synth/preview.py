"""Textures outside a run: that of one image, made as a run would make it, or read from what a run wrote."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from texneg.datasets.images import ImageSet
from texneg.datasets.pairs import NONE, pair
from texneg.datasets.storage.places import parse_place
from texneg.datasets.stored import Array
from texneg.synth.config import ledger_path
from texneg.synth.ledger.ledger import Ledger
from texneg.synth.ledger.record import load_record
from texneg.synth.plan.plan import Exemplars, Settings, Small
from texneg.synth.task.images import image_seed, prepare_process
from texneg.synth.task.squares import choose_levels, choose_squares
from texneg.textures.exemplars import cut_square
from texneg.textures.texture import texture

Box = tuple[int, int, int]
"""Row and column of the corner, and side, pixels."""


@dataclass(frozen=True)
class Preview:
    """The textures of a set of images."""

    images: ImageSet
    textures: ImageSet | None
    """Those of a run; None to make them here."""
    partners: npt.NDArray[np.int64] | None
    """(N,): the index of each image's texture, or `NONE`."""
    seed: int
    exemplar_size: int | None
    small: Small
    upright: bool
    """True if images are turned as EXIF says before exemplars are cut."""
    exemplars: Exemplars = "paper"
    method: str = "default"
    levels: int | None = None

    def has(self, i: int) -> bool:
        """Return True if image i has a texture, or will have one."""
        return self.partners is None or bool(self.partners[i] != NONE)

    def show(self, i: int, pixels: Array, side: int) -> tuple[Array, list[Box], Array]:
        """Return image i as its exemplars see it, their boxes, and its texture.

        Args:
            i: place of the image.
            pixels: the image, turned if `upright`.
            side: of a texture that is made here, pixels.

        Raises:
            DecodeError: the image is too small, or its texture cannot be read.
        """
        own = image_seed(self.seed, self._key(i))
        pixels, squares = choose_squares(pixels, own, self)
        if self.textures is None or self.partners is None:
            patches = [cut_square(pixels, square) for square in squares]
            made = texture(patches, size=side, seed=own, levels=choose_levels(self))
            made = made[..., : pixels.shape[2]]  # grey of 8 bits comes back as three equal channels
        else:
            made = self.textures[int(self.partners[i])][0]
        return pixels, [square[:3] for square in squares], made

    def _key(self, i: int) -> str:
        """Return the key that seeds the texture: the whole name where the run's names have it."""
        key, name = self.images.keys[i], self.images.name(i)
        if self.textures is None or self.partners is None:
            return key
        return name if self.textures.keys[self.partners[i]] == name else key


def preview_textures(
    images: ImageSet, textures: ImageSet | None, path: str, *, seed: int = 0, exemplar_size: int | None = None
) -> Preview:
    """Prepare to show the textures of images.

    Args:
        images: to show.
        textures: those of a run, or None to make them here.
        path: where the textures lie; the settings of the run that made them are used if its ledger is there.
        seed: of textures without a ledger.
        exemplar_size: side of the exemplars of textures without a ledger, pixels; None for the default.
    """
    prepare_process()
    partners = None if textures is None else pair(images, textures, allow_missing=True)
    made = None if textures is None else run_settings(path)
    if made is None:
        style: Exemplars = "paper" if exemplar_size or textures is not None else "turned"
        return Preview(images, textures, partners, seed, exemplar_size, "shrink-patch", False, style)
    upright = made.exif == "apply"
    size, small, style = made.exemplar_size, made.small, made.exemplars
    return Preview(
        images, textures, partners, made.seed, size, small, upright, style, made.method, made.levels
    )


def run_settings(textures: str) -> Settings | None:
    """Read the settings of the run that made these textures, if its ledger lies beside them."""
    ledger = ledger_path(textures)
    return load_record(Ledger(ledger, parse_place(textures))).settings if ledger.is_dir() else None
