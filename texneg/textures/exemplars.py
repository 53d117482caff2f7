"""The squares of an image that a texture is made of.

The paper's are two, the object and its surroundings (Ge et al., NeurIPS 2021). Turned ones are four smaller
ones, mirrored and turned at random: a texture of these keeps less of the object and more of the variety.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from texneg.philox.arrays import fold, philox
from texneg.philox.streams import Stream
from texneg.textures.presets import DTYPES, MOST_CHANNELS, PAPER_EXEMPLAR, TURNED_EXEMPLAR

Corner = tuple[int, int]


class Square(NamedTuple):
    """A square of an image, and the way in which it is laid."""

    row: int
    """Of its upper left pixel in the image."""
    column: int
    side: int
    turn: int
    """As `turn_square` takes it; 0 leaves it as it is."""


def exemplar_places(height: int, width: int, *, size: int = 96, seed: int = 0) -> tuple[Corner, Corner]:
    """Top-left corners (row, column) of the centre patch and of the random patch of an image.

    The centre patch starts at (height // 2 - size // 2, width // 2 - size // 2); the random one is uniform
    over every place where it fits, so the two may overlap.

    Args:
        height: the image's rows.
        width: the image's columns.
        size: side of both patches in pixels, 1 to the image's short side.
        seed: 0 to 2^64 - 1; the random place is a function of it and of the image's sides alone.

    Raises:
        ValueError: the patch does not fit, or the seed is out of range.
    """
    _check_fit(height, width, size, seed)
    words = philox(fold(seed, Stream.EXEMPLAR_PLACE), 0)
    top = int(words[0]) * (height - size + 1) >> 32
    left = int(words[1]) * (width - size + 1) >> 32
    return (height // 2 - size // 2, width // 2 - size // 2), (top, left)


def turned_squares(
    height: int, width: int, *, size: int = TURNED_EXEMPLAR, seed: int = 0
) -> tuple[Square, ...]:
    """Four squares: two at uniform places in the centre patch of twice the side, two anywhere in the image.

    Each is turned in one of eight ways. Number k takes words 3 k to 3 k + 2 of its stream: row, column, turn.

    Args:
        height: the image's rows.
        width: the image's columns.
        size: side of the squares in pixels, 1 to the image's short side.
        seed: 0 to 2^64 - 1; everything is a function of it, `size` and the image's sides.

    Raises:
        ValueError: the squares do not fit, or the seed is out of range.
    """
    _check_fit(height, width, size, seed)
    patch = min(2 * size, height, width)
    centre = (height // 2 - patch // 2, width // 2 - patch // 2, patch, patch)
    words = [int(word) for word in philox(fold(seed, Stream.TURNED_SQUARES), np.arange(3)).ravel()]
    squares = []
    for k, (top, left, rows, columns) in enumerate(
        (centre, centre, (0, 0, height, width), (0, 0, height, width))
    ):
        down, right, turn = words[3 * k : 3 * k + 3]
        row, column = top + (down * (rows - size + 1) >> 32), left + (right * (columns - size + 1) >> 32)
        squares.append(Square(row, column, size, turn >> 29))
    return tuple(squares)


def _check_fit(height: int, width: int, size: int, seed: int) -> None:
    if not 1 <= size <= min(height, width):
        raise ValueError(
            f"exemplar size {size} px in an image of {height} x {width} px: "
            f"allowed is 1 to the short side, {min(height, width)}; use a smaller size or a larger image"
        )
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"seed {seed}: allowed is 0 to 2^64 - 1")


def turn_square(square: npt.NDArray[Any], turn: int) -> npt.NDArray[Any]:
    """Mirror a square top to bottom (1) and left to right (2), then exchange rows and columns (4): a view.

    Args:
        square: (e, e, ...).
        turn: 0 to 7, a sum of these; all ways to lay a square on itself.
    """
    square = square[:: -1 if turn & 1 else 1, :: -1 if turn & 2 else 1]
    return square.swapaxes(0, 1) if turn & 4 else square


def cut_square(image: npt.NDArray[Any], square: Square) -> npt.NDArray[Any]:
    """Cut a square out of an image (H, W, ...), turned: a new array."""
    row, column, side, turn = square
    return turn_square(image[row : row + side, column : column + side], turn).copy()


def exemplars(
    image: npt.NDArray[Any], *, size: int | None = None, seed: int = 0, turned: bool = False
) -> list[npt.NDArray[Any]]:
    """Cut the squares that a texture is made of: new (size, size, C) arrays of the image's dtype.

    Args:
        image: (H, W, C) of 1 to 16 channels, uint8, uint16 or float, both sides at least `size`.
        size: side of the squares in pixels; None for the paper's 96, or 40 of turned ones.
        seed: 0 to 2^64 - 1, see `exemplar_places` and `turned_squares`.
        turned: the four of `turned_squares`; else the two of `exemplar_places`, the centre and a random one.

    Raises:
        ValueError: wrong rank, channels or dtype, an image smaller than `size`, or a seed out of range.
    """
    if image.ndim != 3 or not 1 <= image.shape[2] <= MOST_CHANNELS or image.dtype.name not in DTYPES:
        raise ValueError(
            f"image of shape {image.shape}, {image.dtype}: allowed is (H, W, C) with C from 1 to "
            f"{MOST_CHANNELS}, of {', '.join(DTYPES)}; give a grey image as image[..., None]"
        )
    height, width = image.shape[:2]
    if turned:
        squares = turned_squares(height, width, size=TURNED_EXEMPLAR if size is None else size, seed=seed)
    else:
        side = PAPER_EXEMPLAR if size is None else size
        squares = tuple(
            Square(*place, side, 0) for place in exemplar_places(height, width, size=side, seed=seed)
        )
    return [cut_square(image, square) for square in squares]
