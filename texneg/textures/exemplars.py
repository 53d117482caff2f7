"""The two patches a texture is made of: the object and its surroundings (Ge et al., NeurIPS 2021)."""

from typing import Any

import numpy.typing as npt

from texneg.philox.arrays import fold, philox
from texneg.philox.streams import Stream
from texneg.textures.presets import DTYPES, MOST_CHANNELS

Corner = tuple[int, int]


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
    if not 1 <= size <= min(height, width):
        raise ValueError(
            f"exemplar size {size} px in an image of {height} x {width} px: "
            f"allowed is 1 to the short side, {min(height, width)}; use a smaller size or a larger image"
        )
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"seed {seed}: allowed is 0 to 2^64 - 1")
    words = philox(fold(seed, Stream.EXEMPLAR_PLACE), 0)
    top = int(words[0]) * (height - size + 1) >> 32
    left = int(words[1]) * (width - size + 1) >> 32
    return (height // 2 - size // 2, width // 2 - size // 2), (top, left)


def turn_square(square: npt.NDArray[Any], turn: int) -> npt.NDArray[Any]:
    """Mirror a square top to bottom (1) and left to right (2), then exchange rows and columns (4): a view.

    Args:
        square: (e, e, ...).
        turn: 0 to 7, a sum of these; all ways to lay a square on itself.
    """
    square = square[:: -1 if turn & 1 else 1, :: -1 if turn & 2 else 1]
    return square.swapaxes(0, 1) if turn & 4 else square


def exemplars(image: npt.NDArray[Any], *, size: int = 96, seed: int = 0) -> list[npt.NDArray[Any]]:
    """Cut the centre patch and one random patch of an image: two new (size, size, C) arrays of its dtype.

    Args:
        image: (H, W, C) of 1 to 16 channels, uint8, uint16 or float, both sides at least `size`.
        size: side of the patches in pixels; the paper's is 96.
        seed: 0 to 2^64 - 1, see `exemplar_places`.

    Raises:
        ValueError: wrong rank, channels or dtype, an image smaller than `size`, or a seed out of range.
    """
    if image.ndim != 3 or not 1 <= image.shape[2] <= MOST_CHANNELS or image.dtype.name not in DTYPES:
        raise ValueError(
            f"image of shape {image.shape}, {image.dtype}: allowed is (H, W, C) with C from 1 to "
            f"{MOST_CHANNELS}, of {', '.join(DTYPES)}; give a grey image as image[..., None]"
        )
    height, width = image.shape[:2]
    places = exemplar_places(height, width, size=size, seed=seed)
    return [image[y : y + size, x : x + size].copy() for y, x in places]
