"""Texture negatives made in the training step, fresh in every epoch."""

from dataclasses import dataclass
from typing import Any, Literal

from texneg.errors import InputError
from texneg.textures.live.negatives import texture_negatives
from texneg.textures.presets import LARGEST_OUTPUT, MOST_LEVELS, SMALLEST_EXEMPLAR, SMALLEST_OUTPUT
from texneg.train.negatives.base import Negative, TextureViews
from texneg.train.options import later


@dataclass(frozen=True)
class TextureLive(Negative):
    """Texture synthesised from two squares of the query view."""

    name = "texture_live"

    method: Literal["live", "fast", "default", "quality"] = "live"
    """Synthesiser: live runs on any device; the others, those of texneg synth, on the CPU."""
    exemplar: int | None = None
    """Side of the two squares, pixels; None: the paper's 96 of 224, scaled."""
    levels: int | None = later(None)
    """Scale of structure, 1 to 4; None: 3, and fewer for small squares."""
    turn: bool = later(False)
    """Mirror and turn the squares at random, which leaves less of the object."""

    @property
    def on_device(self) -> bool:
        """True for the method that runs everywhere."""
        return self.method == "live"

    def check(self, size: int) -> None:
        """Refuse views and squares outside the synthesiser's limits."""
        if not SMALLEST_OUTPUT <= size <= LARGEST_OUTPUT:
            raise InputError(
                f"--image-size {size}: {SMALLEST_OUTPUT} to {LARGEST_OUTPUT} pixels for texture_live"
            )
        if self.exemplar is not None and not SMALLEST_EXEMPLAR <= self.exemplar <= size:
            raise InputError(
                f"--texture-live-exemplar {self.exemplar}: {SMALLEST_EXEMPLAR} to the {size} pixels of"
                " --image-size"
            )

        if self.levels is not None and not 1 <= self.levels <= MOST_LEVELS:
            raise InputError(f"--texture-live-levels {self.levels}: 1 to {MOST_LEVELS}")

    def make(self, images: Any, textures: TextureViews | None = None, **stream: Any) -> Any:
        """Make `texture_negatives` of the views."""
        return texture_negatives(images, **vars(self), **stream)
