"""The table of corruptions, and one call for all of them.

Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations",
ICLR 2019. Given the legacy random stream, outputs equal those of the official generator: exactly, or within
one level on few values (tests/datasets/corruptions/test_oracle.py).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from texneg.datasets.corruptions import blur, digital, extra, noise, weather
from texneg.datasets.corruptions.draws import Source
from texneg.datasets.corruptions.severities import SEVERITIES, Constants, Image, Severities, nearest_constants
from texneg.errors import InputError

Corruption = tuple[Callable[[Image, Any, Source], Image], Severities[Any]]

CORRUPTIONS: dict[str, Corruption] = {  # the fifteen of mCE, in the published order
    "gaussian_noise": (noise.gaussian_noise, noise.GAUSSIAN_SCALE),
    "shot_noise": (noise.shot_noise, noise.SHOT_RATE),
    "impulse_noise": (noise.impulse_noise, noise.IMPULSE_SHARE),
    "defocus_blur": (blur.defocus_blur, blur.DISC),
    "glass_blur": (blur.glass_blur, blur.GLASS),
    "motion_blur": (blur.motion_blur, blur.MOTION),
    "zoom_blur": (blur.zoom_blur, blur.ZOOM),
    "snow": (weather.snow, weather.SNOW),
    "frost": (weather.frost, weather.FROST),
    "fog": (weather.fog, weather.FOG),
    "brightness": (weather.brightness, weather.BRIGHTNESS),
    "contrast": (digital.contrast, digital.CONTRAST),
    "elastic_transform": (digital.elastic_transform, digital.ELASTIC),
    "pixelate": (digital.pixelate, digital.PIXELATE),
    "jpeg_compression": (digital.jpeg_compression, digital.JPEG),
}
EXTRA: dict[str, Corruption] = {
    "speckle_noise": (extra.speckle_noise, extra.SPECKLE_SCALE),
    "gaussian_blur": (extra.gaussian_blur, extra.BLUR_SIGMA),
    "spatter": (extra.spatter, extra.SPATTER),
    "saturate": (extra.saturate, extra.SATURATE),
}
ALL = CORRUPTIONS | EXTRA
GROUPS = {"all": tuple(CORRUPTIONS), "extra": tuple(EXTRA)}
VERSION = 1  # of the pixels


def choose_corruptions(given: Sequence[str]) -> tuple[str, ...]:
    """The corruptions that words name, each once: all (the fifteen), extra (the four others), or a name.

    Raises:
        InputError: an unknown word.
    """
    names = dict.fromkeys(name for word in given for name in GROUPS.get(word, (word,)))
    for name in names:
        if name not in ALL:
            raise InputError(f"--corruptions {name}: allowed are all, extra, {', '.join(ALL)}")
    if not names:
        raise InputError("--corruptions names none; give all, extra, or names such as fog")
    return tuple(names)


def choose_severities(given: Sequence[int]) -> tuple[int, ...]:
    """Severities, each once.

    Raises:
        InputError: one outside of 1 to 5, or none.
    """
    for severity in given:
        if severity not in SEVERITIES:
            raise InputError(f"--severities {severity}: allowed are 1 to 5")
    if not given:
        raise InputError("--severities names none; give some of 1 2 3 4 5")
    return tuple(dict.fromkeys(given))


def require_quality(quality: int) -> None:
    """Refuse a quality that JPEG does not have; 0 is for no JPEG."""
    if not 0 <= quality <= 100:
        raise InputError(f"--jpeg-quality {quality}: allowed is 1 to 100, or 0 for no JPEG")


def corrupt(
    image: Image, name: str, *, severity: int, draws: Source, constants: Constants | None = None
) -> Image:
    """Corrupt one uint8 (H, H, 3) image at a severity from 1 (weak) to 5.

    Args:
        image: left as it is.
        name: a key of `ALL`.
        severity: 1 to 5.
        draws: random numbers; `image_draws` for an image with a key.
        constants: the data set whose constants to take; None for the one of the nearest image size.

    Raises:
        ValueError: an unknown corruption, a severity outside 1 ... 5, or an image that is not square.
    """
    if name not in ALL:
        raise ValueError(f"unknown corruption {name!r}; choose from {', '.join(ALL)}")
    if severity not in SEVERITIES:
        raise ValueError(f"severity {severity} is not among 1, 2, 3, 4, 5")
    if image.ndim != 3 or image.shape[0] != image.shape[1] or image.shape[2] != 3:
        raise ValueError(f"an image of shape {image.shape}: corruptions take (H, H, 3), so crop a square")
    function, severities = ALL[name]
    chosen = severities.of(constants or nearest_constants(image.shape[0]))
    return function(np.ascontiguousarray(image), chosen[severity - 1], draws)
