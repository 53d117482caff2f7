"""The squares of an image that its texture is made of: how many, how large, where, and how turned."""

from collections.abc import Sequence
from typing import Protocol

from texneg.datasets.decode import MAX_PIXELS, DecodeError
from texneg.datasets.stored import Array, resize
from texneg.synth.ledger.manifest import Row
from texneg.synth.plan.plan import Exemplars, Small
from texneg.textures.exemplars import Square, exemplar_places, turned_squares
from texneg.textures.live.plan import default_exemplar
from texneg.textures.presets import PAPER_EXEMPLAR, PRESETS, SMALLEST_EXEMPLAR
from texneg.textures.texture import LEVELS

SMALLEST_SHARE = 3  # a patch smaller than a third of the nominal size shows no texture: 32 px of 96
LARGEST_ZOOM = 8
PAPER_SQUARES = 2


class Squares(Protocol):
    """The settings that decide which squares of an image its texture is made of, and on how many levels."""

    @property
    def exemplar_size(self) -> int | None:
        """As in `Settings`, like the others."""
        ...

    @property
    def exemplars(self) -> Exemplars:
        """Their style."""
        ...

    @property
    def method(self) -> str:
        """Of synthesis."""
        ...

    @property
    def small(self) -> Small:
        """Treatment of images smaller than them."""
        ...

    @property
    def levels(self) -> int | None:
        """Of the texture's pyramid."""
        ...


def patch_size(height: int, width: int, *, size: int | None, small: Small) -> tuple[int, float]:
    """Side of the exemplars of an image, px, and the factor by which the image is enlarged first.

    Without a size it is 96 px, and of smaller images than the paper's the same share of the short side.
    Images with a short side under `size` take half of it, then their short side down to a third of it, as
    far as the result is an exemplar at all.

    Raises:
        DecodeError: too_small, or too_large once enlarged.
    """
    short = min(height, width)
    if size is None:
        size = PAPER_EXEMPLAR
        if small == "shrink-patch" and short * SMALLEST_SHARE >= size:
            return min(default_exemplar(height, width), size), 1.0
    if short >= size:
        return size, 1.0
    if small == "upscale" and short * LARGEST_ZOOM >= size:
        zoom = size / short
        if height * zoom * width * zoom > MAX_PIXELS:
            raise DecodeError("too_large", f"{width} x {height} px enlarged {zoom:.1f} times")
        return size, zoom
    if small == "shrink-patch" and short >= size // 2 >= SMALLEST_EXEMPLAR:
        return size // 2, 1.0
    if small == "shrink-patch" and short >= max(size / SMALLEST_SHARE, SMALLEST_EXEMPLAR):
        return short, 1.0
    raise DecodeError("too_small", f"{width} x {height} px for patches of {size} px")


def choose_squares(pixels: Array, seed: int, settings: Squares) -> tuple[Array, tuple[Square, ...]]:
    """Choose the squares that the texture of an image is made of; returns the image as they see it, and them.

    Raises:
        DecodeError: the image is too small.
    """
    side, zoom = patch_size(*pixels.shape[:2], size=settings.exemplar_size, small=settings.small)
    pixels = enlarge(pixels, zoom)
    height, width = pixels.shape[:2]
    if settings.exemplars == "turned":
        share = min(PRESETS[settings.method].turned, side // 2)
        own = side if settings.exemplar_size else max(share, SMALLEST_EXEMPLAR)
        return pixels, turned_squares(height, width, size=own, seed=seed)
    places = exemplar_places(height, width, size=side, seed=seed)
    return pixels, tuple(Square(*place, side, 0) for place in places)


def choose_levels(settings: Squares) -> int | None:
    """Choose the levels of a texture: small turned squares keep all of them."""
    return LEVELS if settings.levels is None and settings.exemplars == "turned" else settings.levels


def enlarge(pixels: Array, zoom: float) -> Array:
    """Enlarge an image bicubically; a zoom of 1 returns it unchanged."""
    if zoom == 1.0:
        return pixels
    height, width = (max(1, round(side * zoom)) for side in pixels.shape[:2])
    return resize(pixels, height, width)


def note_squares(row: Row, squares: Sequence[Square]) -> None:
    """Fill in a row's fields about the squares."""
    row.patch_size = squares[0].side
    for name, square in zip("abcd", squares, strict=False):
        setattr(row, f"patch_{name}_x", square.column)
        setattr(row, f"patch_{name}_y", square.row)
    if len(squares) > PAPER_SQUARES:
        row.patch_turns = "".join(str(square.turn) for square in squares)
