"""Patch permutations: the query view cut into a grid of squares, which change places."""

from dataclasses import dataclass
from typing import Any

from texneg.errors import InputError
from texneg.patches.patches import patch_permutation
from texneg.patches.plan import default_size, divisors
from texneg.train.negatives.base import Negative, TextureViews
from texneg.train.negatives.patch import check_squares


@dataclass(frozen=True)
class PatchPermutation(Negative):
    """Grid of squares of the query view, permuted: every pixel is kept once."""

    name = "patch_permutation"

    size: tuple[int, int] | None = None
    """Smallest and largest side of a square, pixels; must divide the view. None: 16 and 72 of 224, scaled."""
    flip: bool = False
    """Mirror each square left to right with probability 1/2."""
    rotate: bool = False
    """Turn each square by 0 to 3 quarter turns."""

    def check(self, size: int) -> None:
        """Refuse squares that do not fit the view, or none of which divides it."""
        check_squares(self.size, size, "--patch-permutation-size")
        lo, hi = self.size or default_size(size, size)
        if not divisors(size, size, lo, min(hi, size)):
            raise InputError(
                f"--patch-permutation-size {lo} {hi}: none of these sides divides --image-size {size}"
            )

    def make(self, images: Any, textures: TextureViews | None = None, **stream: Any) -> Any:
        """Make a `patch_permutation` of the views."""
        return patch_permutation(images, **vars(self), **stream)
