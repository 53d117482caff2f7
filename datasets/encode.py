"""RGB pixels to the bytes of a lossless file, the same bytes for the same encoder version."""

from io import BytesIO
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

Encoding = Literal["webp", "png"]

# Lossless WebP, method 0 and quality 75: the fastest setting is also the smallest on textures.
_OPTIONS: dict[str, dict[str, int | bool]] = {
    "webp": {"lossless": True, "method": 0, "quality": 75},
    "png": {"compress_level": 6},
}


def encode(pixels: npt.NDArray[np.uint8], encoding: Encoding = "webp") -> bytes:
    """Lossless file of uint8 (height, width, 3) RGB pixels, without metadata."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, encoding, **_OPTIONS[encoding])
    return buffer.getvalue()
