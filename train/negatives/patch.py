"""Patch negatives (Ge et al., NeurIPS 2021): the query view tiled with squares of itself."""

from dataclasses import dataclass
from typing import Any

from texneg.errors import InputError
from texneg.patches.patches import patch_negatives
from texneg.train.negatives.base import Negative, TextureViews


@dataclass(frozen=True)
class Patch(Negative):
    """Tiling of squares cut from random places of the query view."""

    name = "patch"

    size: tuple[int, int] | None = None
    """Smallest and largest side of a square, pixels; None: the paper's 16 and 72 of 224, scaled."""
    overlap: bool = True
    """Squares from independent places, which may overlap; else disjoint squares, permuted."""
    paper: bool = False
    """Tiles and places exactly as in the authors' code; needs overlap."""
    flip: bool = False
    """Mirror each square left to right with probability 1/2."""
    rotate: bool = False
    """Turn each square by 0 to 3 quarter turns."""

    def check(self, size: int) -> None:
        """Refuse squares larger than the view, and the paper's tiles without overlap."""
        check_squares(self.size, size, "--patch-size")
        if self.paper and not self.overlap:
            raise InputError("--patch-paper with --no-patch-overlap: the authors' squares overlap; use one")

    def make(self, images: Any, textures: TextureViews | None = None, **stream: Any) -> Any:
        """Make `patch_negatives` of the views."""
        return patch_negatives(images, **vars(self), **stream)


def check_squares(sides: tuple[int, int] | None, size: int, flag: str) -> None:
    """Refuse a range of sides, pixels, that does not fit a view.

    Raises:
        InputError: naming the flag.
    """
    if sides is not None and not 1 <= sides[0] <= sides[1] <= size:
        raise InputError(
            f"{flag} {sides[0]} {sides[1]}: smallest and largest side, between 1 and --image-size {size}"
        )
