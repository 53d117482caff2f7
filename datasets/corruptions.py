"""Common corruptions of the ImageNet-C and CIFAR-C families (Hendrycks and Dietterich, ICLR 2019).

Each function takes a uint8 (H, W, 3) image and one severity's constant, and computes in float64 what the
official generator does. Images up to 64 pixels a side use CIFAR-C's constants, larger ones ImageNet-C's.
"""

import io
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

Image = npt.NDArray[np.uint8]
Pixels = npt.NDArray[np.float64]

SMALL_SIDE = 64


class Normal(Protocol):
    """The source of noise: a NumPy Generator, or the legacy RandomState of the published files."""

    def normal(self, *, size: tuple[int, ...], scale: float) -> Pixels: ...


def gaussian_noise(image: Image, scale: float, rng: Normal) -> Image:
    return _to_bytes(image / 255.0 + rng.normal(size=image.shape, scale=scale))


def gaussian_blur(image: Image, sigma: float, rng: Normal) -> Image:
    side = 2 * int(4 * sigma + 0.5) + 1
    blurred = cv2.GaussianBlur(image / 255.0, (side, side), sigma, borderType=cv2.BORDER_REPLICATE)
    return _to_bytes(np.asarray(blurred))


def contrast(image: Image, factor: float, rng: Normal) -> Image:
    x = image / 255.0
    mean = x.mean(axis=(0, 1), keepdims=True)
    return _to_bytes((x - mean) * factor + mean)


def pixelate(image: Image, factor: float, rng: Normal) -> Image:
    height, width = image.shape[:2]
    box = PillowImage.Resampling.BOX
    small = PillowImage.fromarray(image).resize((int(width * factor), int(height * factor)), box)
    return np.array(small.resize((width, height), box))


def jpeg_compression(image: Image, quality: float, rng: Normal) -> Image:
    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(buffer, "JPEG", quality=int(quality))
    return np.array(PillowImage.open(buffer))


# corruption -> (function, ImageNet-C constants, CIFAR-C constants), severities 1 to 5
CORRUPTIONS = {
    "gaussian_noise": (gaussian_noise, (0.08, 0.12, 0.18, 0.26, 0.38), (0.04, 0.06, 0.08, 0.09, 0.10)),
    "gaussian_blur": (gaussian_blur, (1.0, 2.0, 3.0, 4.0, 6.0), (0.4, 0.6, 0.7, 0.8, 1.0)),
    "contrast": (contrast, (0.4, 0.3, 0.2, 0.1, 0.05), (0.75, 0.5, 0.4, 0.3, 0.15)),
    "pixelate": (pixelate, (0.6, 0.5, 0.4, 0.3, 0.25), (0.95, 0.9, 0.85, 0.75, 0.65)),
    "jpeg_compression": (jpeg_compression, (25.0, 18.0, 15.0, 10.0, 7.0), (80.0, 65.0, 58.0, 50.0, 40.0)),
}


def corrupt(image: Image, name: str, *, severity: int, rng: Normal) -> Image:
    """Corrupt one uint8 (H, W, 3) image at a severity from 1 (weak) to 5.

    Raises:
        ValueError: an unknown corruption, or a severity outside 1 ... 5.
    """
    if name not in CORRUPTIONS:
        raise ValueError(f"unknown corruption {name!r}; choose from {', '.join(CORRUPTIONS)}")
    if severity not in range(1, 6):
        raise ValueError(f"severity {severity} is not among 1, 2, 3, 4, 5")
    function, large, small = CORRUPTIONS[name]
    constants = small if max(image.shape[:2]) <= SMALL_SIDE else large
    return function(image, constants[severity - 1], rng)


def _to_bytes(x: Pixels) -> Image:
    """Scale 0 ... 1 to 0 ... 255, truncating as the official generator does."""
    return (np.clip(x, 0, 1) * 255).astype(np.uint8)
