"""Corruptions at 64 px against a straight implementation, constants of Tiny-ImageNet-C typed anew."""

from typing import Any

import numpy as np
import pytest

from texneg.bench.common.straight_corruptions import STRAIGHT, frost
from texneg.datasets.corruptions.corrupt import ALL, corrupt
from texneg.datasets.corruptions.draws import LegacyDraws
from texneg.datasets.corruptions.pictures import own_pictures
from texneg.philox.arrays import generator

TINY: dict[str, tuple[Any, ...]] = {
    "gaussian_noise": (0.04, 0.08, 0.12, 0.15, 0.18),
    "shot_noise": (250, 100, 50, 30, 15),
    "impulse_noise": (0.01, 0.02, 0.05, 0.08, 0.14),
    "defocus_blur": ((0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1)),
    "glass_blur": ((0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2)),
    "motion_blur": ((10, 1), (10, 1.5), (10, 2), (10, 2.5), (12, 3)),
    "zoom_blur": ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
    "snow": (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.8),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.8),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.7),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.65),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.6),
    ),
    "frost": ((1, 0.3, 0.3), (0.9, 0.4, 0.3), (0.8, 0.45, 0.3), (0.75, 0.5, 0.3), (0.7, 0.55, 0.3)),
    "fog": ((0.4, 3), (0.7, 3), (1, 2.5), (1.5, 2), (2, 1.75)),
    "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
    "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
    "elastic_transform": (
        (0, 0, 5.12), (3.2, 19.2, 3.84), (6.4, 5.12, 3.84), (6.4, 1.92, 1.92), (10.24, 1.92, 1.28),
    ),
    "pixelate": (0.9, 0.8, 0.7, 0.6, 0.5),
    "jpeg_compression": (65, 58, 50, 40, 25),
    "speckle_noise": (0.15, 0.2, 0.25, 0.3, 0.35),
    "gaussian_blur": (0.5, 0.75, 1, 1.25, 1.5),
    "spatter": (
        (0.62, 0.1, 0.7, 0.7, 0.6, 0),
        (0.65, 0.1, 0.8, 0.7, 0.6, 0),
        (0.65, 0.3, 1, 0.69, 0.6, 0),
        (0.65, 0.1, 0.7, 0.68, 0.6, 1),
        (0.65, 0.1, 0.5, 0.67, 0.6, 1),
    ),
    "saturate": ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (30, 0.2)),
}  # fmt: skip
ALMOST = {  # sums in another order: the largest share of values that may be off by one
    "spatter": 0.001,
    "elastic_transform": 0.06,  # OpenCV before 5 places its samples on a grid of 1/32 pixel
}


def photograph() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A smooth picture of all colours with a patch of noise."""
    y, x = np.mgrid[:64, :64] / 63
    smooth = np.stack([x, y, 0.5 + 0.5 * np.sin(9 * x * y)], axis=2)
    smooth[20:40, 20:40] = generator(5).random((20, 20, 3))
    return (smooth * 255).astype(np.uint8)


@pytest.mark.parametrize("name", sorted(ALL))
def test_64_px_have_constants_of_their_own(name: str) -> None:
    image = photograph()
    pictures = [own_pictures().shrunk(number, 1) for number in range(5)]
    for severity, constant in enumerate(TINY[name], start=1):
        ours = corrupt(image, name, severity=severity, draws=LegacyDraws(np.random.RandomState(severity)))
        rng = np.random.RandomState(severity)
        if name == "frost":
            straight = frost(image, constant, rng, pictures)
        else:
            straight = STRAIGHT[name](image, constant, rng)
        apart = np.abs(ours.astype(int) - straight)
        assert apart.max() <= (1 if name in ALMOST and name != "elastic_transform" else 255)
        assert (apart > 0).mean() <= ALMOST.get(name, 0)
