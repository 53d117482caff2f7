"""The table of suppressions, and one call for all of them.

After Burgert, Stoll, Rota, Demir (NeurIPS 2025, arXiv 2509.20234): what an encoder relies on shows in the
accuracy that is left while one feature after another is taken away by degrees.
Octaves of frequencies and a watermark are further ways; patches alone keep one cue and take away all others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from texneg.datasets.corruptions.draws import hash_text
from texneg.datasets.corruptions.severities import Image
from texneg.datasets.suppressions import colour, frequency, patches, smoothing, watermark
from texneg.philox.arrays import generator
from texneg.philox.streams import Stream


@dataclass(frozen=True)
class Suppression:
    """A way to take one feature away."""

    axis: str
    """the feature"""
    change: Callable[[Image, float, np.random.Generator], Image]
    """from a uint8 (S, S, 3) image, a strength and random numbers to such an image; 0 changes nothing"""
    strengths: tuple[float, ...]
    """from weak to strong"""
    title: str
    """in words, and the unit of its strengths"""


SUPPRESSIONS = {
    "patch_shuffle": Suppression("shape", patches.shuffle, (2, 4, 8, 16), "patch shuffle, squares a side"),
    "patch_rotation": Suppression("shape", patches.rotate, (2, 4, 8, 16), "patch rotation, squares a side"),
    "bilateral": Suppression("texture", smoothing.bilateral, (4, 7, 10, 14), "bilateral filter, diameter"),
    "blur": Suppression("texture", smoothing.blur, (3, 7, 11, 15), "Gaussian blur, kernel"),
    "non_local_means": Suppression("texture", smoothing.average_alike, (5, 10, 15, 25), "non-local means, h"),
    "grey": Suppression("colour", colour.grey, (0.2, 0.5, 0.8, 1.0), "grey, weight"),
    "channel_shuffle": Suppression("colour", colour.shuffle_channels, (1,), "colour channels exchanged"),
    "octave": Suppression("frequency", frequency.remove_octave, (1, 2, 3, 4, 5), "octave removed"),
    "watermark": Suppression("watermark", watermark.watermark, (0.25, 0.5, 0.75), "watermark, opacity"),
    "patches": Suppression("patches", patches.patches_alone, (72, 32, 16), "patches alone, side"),
}
VERSION = 1  # of the pixels

Steps = Sequence[tuple[str, float]]
"""Names of suppressions with a strength each, in the order in which they are applied."""


def suppress(image: Image, steps: Steps, *, seed: int, key: str) -> Image:
    """Apply suppressions one after another to one uint8 (S, S, 3) image, which is left as it is.

    What is drawn is a function of the seed, the suppression and the image's key: neither the order nor the
    number of workers changes a pixel.

    Raises:
        ValueError: an unknown suppression, or an image that is not square.
        InputError: a grid of more squares a side than the image has pixels.
    """
    if image.ndim != 3 or image.shape[0] != image.shape[1] or image.shape[2] != 3:
        raise ValueError(f"an image of shape {image.shape}: suppressions take (S, S, 3), so crop a square")
    for name, strength in steps:
        if name not in SUPPRESSIONS:
            raise ValueError(f"unknown suppression {name!r}; choose from {', '.join(SUPPRESSIONS)}")
        rng = generator(seed, Stream.SUPPRESSION, hash_text(name), hash_text(key))
        image = SUPPRESSIONS[name].change(image, strength, rng)
    return image
