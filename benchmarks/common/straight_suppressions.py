"""Suppressions as one would write them with NumPy and OpenCV, for `texneg bench suppressions`."""

import cv2
import numpy as np

from texneg.datasets.corruptions.severities import F64, Image
from texneg.datasets.suppressions.frequency import OCTAVES
from texneg.datasets.suppressions.smoothing import SEARCH, TEMPLATE, scale
from texneg.datasets.suppressions.watermark import letters


def shuffle(image: Image, grid: float, rng: np.random.Generator) -> Image:
    """Cut into squares, and paste them in random order."""
    n, out = int(grid), image.copy()
    side = len(image) // n
    margin = (len(image) - n * side) // 2
    for to, source in enumerate(rng.permutation(n * n).tolist()):
        (y, x), (y2, x2) = ((margin + place // n * side, margin + place % n * side) for place in (to, source))
        out[y : y + side, x : x + side] = image[y2 : y2 + side, x2 : x2 + side]
    return out


def rotate(image: Image, grid: float, rng: np.random.Generator) -> Image:
    """Turn each square by `numpy.rot90`."""
    n, out = int(grid), image.copy()
    side = len(image) // n
    margin = (len(image) - n * side) // 2
    for place, turns in enumerate(rng.integers(0, 4, n * n).tolist()):
        y, x = margin + place // n * side, margin + place % n * side
        out[y : y + side, x : x + side] = np.rot90(image[y : y + side, x : x + side], turns)
    return out


def bilateral(image: Image, diameter: float, rng: np.random.Generator) -> Image:
    """OpenCV's filter; of images of 224 px."""
    spread = 15 * diameter - 10
    return np.asarray(cv2.bilateralFilter(image, 2 * scale(diameter // 2, len(image), 1) + 1, spread, spread))


def blur(image: Image, kernel: float, rng: np.random.Generator) -> Image:
    """OpenCV's filter; of images of 224 px."""
    return np.asarray(cv2.GaussianBlur(image, (int(kernel), int(kernel)), 0))


def average_alike(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """OpenCV's colour variant, which takes blue, green, red."""
    window = 2 * scale(SEARCH, len(image), 2) + 1
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    found = cv2.fastNlMeansDenoisingColored(bgr, None, strength, strength, 2 * TEMPLATE + 1, window)
    return np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB))


def grey(image: Image, weight: float, rng: np.random.Generator) -> Image:
    """NumPy in float64."""
    mean = image @ np.array([0.299, 0.587, 0.114])
    return to_bytes((1 - weight) * image + weight * mean[..., None])


def shuffle_channels(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """NumPy's indexing."""
    orders = [(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    return np.ascontiguousarray(image[..., orders[rng.integers(5)]])


def remove_octave(image: Image, octave: float, rng: np.random.Generator) -> Image:
    """NumPy's transform in float64."""
    low, high = OCTAVES[int(octave) - 1]
    along = np.fft.fftfreq(len(image)) * len(image)
    length = np.hypot(along, along[:, None])
    spectrum = np.fft.fft2(image.astype(np.float64), axes=(0, 1))
    spectrum[(length > low) & (length <= high)] = 0
    return to_bytes(np.fft.ifft2(spectrum, axes=(0, 1)).real)


def watermark(image: Image, opacity: float, rng: np.random.Generator) -> Image:
    """NumPy in float64."""
    share = opacity * letters(len(image)).astype(np.float64)[..., None]
    return to_bytes((1 - share) * image + 255 * share)


def to_bytes(x: F64) -> Image:
    """Round and clip."""
    return (x + 0.5).clip(0, 255).astype(np.uint8)


STRAIGHT = {
    "patch_shuffle": shuffle,
    "patch_rotation": rotate,
    "bilateral": bilateral,
    "blur": blur,
    "non_local_means": average_alike,
    "grey": grey,
    "channel_shuffle": shuffle_channels,
    "octave": remove_octave,
    "watermark": watermark,
}
