"""Patch negatives (Ge et al., NeurIPS 2021): the query view tiled with squares of itself."""

from dataclasses import dataclass
from typing import Any

from texneg.errors import InputError
from texneg.patches.patches import MOST_MIRRORED, Size, patch_negatives
from texneg.train.negatives.base import Negative, TextureViews
from texneg.train.options import later


@dataclass(frozen=True)
class Patch(Negative):
    """Tiling of squares cut from random places of the query view."""

    name = "patch"

    size: Size = None
    """Smallest and largest side of a square, pixels; None: the paper's 16 and 72 of 224, scaled; small: 16
    and 48 of 224, scaled, which keep less of an object."""
    overlap: bool = True
    """Squares from independent places, which may overlap; else disjoint squares, permuted."""
    paper: bool = False
    """Tiles and places exactly as in the authors' code; needs overlap."""
    flip: bool = False
    """Mirror each square left to right with probability 1/2."""
    rotate: bool = False
    """Turn each square by 0 to 3 quarter turns."""
    mirror: int = later(1)
    """Squares along a side of a tile, 1 to 8: each is mirrored at its borders until it fills the tile, so
    that there are fewer seams. 1: none is."""
    blend: float = later(0.0)
    """Width of a seam in which both sides are mixed, as a share of the square's side, 0 to 1; 0: none."""

    def check(self, size: int) -> None:
        """Refuse squares larger than the view, the paper's tiles without overlap, and seams out of range."""
        check_squares(None if isinstance(self.size, str) else self.size, size, "--patch-size")
        if not 1 <= self.mirror <= MOST_MIRRORED:
            raise InputError(f"--patch-mirror {self.mirror}: 1 to {MOST_MIRRORED}")
        if not 0 <= self.blend <= 1:
            raise InputError(f"--patch-blend {self.blend}: a share of the square's side, 0 to 1")
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
