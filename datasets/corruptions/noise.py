"""Noise: Gaussian, shot and impulse. An image is uint8 (H, W, 3), x = image / 255."""

from typing import Any

import numpy as np

from texneg.datasets.corruptions.draws import Source
from texneg.datasets.corruptions.filters import to_bytes
from texneg.datasets.corruptions.severities import Image, Severities
from texneg.jit import compiled

GAUSSIAN_SCALE = Severities(
    (0.08, 0.12, 0.18, 0.26, 0.38), (0.04, 0.08, 0.12, 0.15, 0.18), (0.04, 0.06, 0.08, 0.09, 0.10)
)
SHOT_RATE = Severities(
    (60.0, 25.0, 12.0, 5.0, 3.0), (250.0, 100.0, 50.0, 30.0, 15.0), (500.0, 250.0, 100.0, 75.0, 50.0)
)
IMPULSE_SHARE = Severities(
    (0.03, 0.06, 0.09, 0.17, 0.27), (0.01, 0.02, 0.05, 0.08, 0.14), (0.01, 0.02, 0.03, 0.05, 0.07)
)


def gaussian_noise(image: Image, scale: float, draws: Source) -> Image:
    """The same noise everywhere: x + N(0, scale)."""
    return to_bytes(_add(image.reshape(-1), draws.normal((image.size,), scale=scale)).reshape(image.shape))


@compiled(error_model="numpy")
def _add(image: Any, noise: Any) -> Any:
    for i in range(image.size):
        noise[i] += image[i] / 255.0
    return noise


def shot_noise(image: Image, rate: float, draws: Source) -> Image:
    """Noise of few photons: Poisson(rate x) / rate."""
    return to_bytes(draws.photons(image, rate) / rate)


def impulse_noise(image: Image, share: float, draws: Source) -> Image:
    """Each value is hit with probability `share` and becomes 0 or 1, one as likely as the other."""
    out = np.empty_like(image)
    _hit(image.reshape(-1), draws.uniform(image.size), draws.uniform(image.size), share, out.reshape(-1))
    return out


@compiled(error_model="numpy")
def _hit(image: Any, hits: Any, salt: Any, share: float, out: Any) -> None:
    for i in range(image.size):
        kept = np.uint8(image[i] / 255.0 * 255.0)  # one less at some values, as published
        out[i] = (255 if salt[i] < 0.5 else 0) if hits[i] < share else kept
