"""Sources that corruptions draw from: random numbers, and pictures of frost.

Two sources of numbers have the same methods. `Draws` is the usual one: a Philox stream for each image,
corruption and severity, so that neither the order nor the number of workers changes a pixel. `LegacyDraws` is
the stream of the published files, number by number.
"""

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from texneg.datasets.corruptions.pictures import Pictures, own_pictures
from texneg.datasets.corruptions.severities import F64, Image
from texneg.jit import compiled
from texneg.philox.arrays import generator
from texneg.philox.streams import Stream

I8 = npt.NDArray[np.int8]


class Source(Protocol):
    """Random numbers, and pictures of frost."""

    pictures: Callable[[], Pictures]
    """the pictures of frost, read or made where they are needed"""

    def normal(self, shape: tuple[int, ...], *, mean: float = 0.0, scale: float) -> F64:
        """Draw from a normal distribution."""
        ...

    def uniform(self, *shape: int) -> F64:
        """Draw from 0 (included) to 1 (excluded)."""
        ...

    def below(self, high: int) -> int:
        """Draw a whole number from 0 to `high` (excluded)."""
        ...

    def offsets(self, reach: int, count: int) -> I8:
        """Draw (count, 2) whole numbers from -reach to reach (excluded)."""
        ...

    def photons(self, image: Image, rate: float) -> F64:
        """Draw a Poisson number of mean `rate` x value / 255 for each value of an image."""
        ...


class Draws:
    """Numbers of a NumPy generator."""

    def __init__(self, rng: np.random.Generator, pictures: Callable[[], Pictures] | None = None) -> None:
        self.rng = rng
        self.pictures = pictures or own_pictures

    def normal(self, shape: tuple[int, ...], *, mean: float = 0.0, scale: float) -> F64:
        """As in `Source`."""
        return self.rng.normal(mean, scale, shape)

    def uniform(self, *shape: int) -> F64:
        """As in `Source`."""
        return self.rng.random(shape)

    def below(self, high: int) -> int:
        """As in `Source`."""
        return int(self.rng.integers(high))

    def offsets(self, reach: int, count: int) -> I8:
        """As in `Source`."""
        return self.rng.integers(-reach, reach, (count, 2), np.int8)

    def photons(self, image: Image, rate: float) -> F64:
        """As in `Source`: the smallest number whose cumulative probability exceeds a uniform number."""
        found = np.empty(image.size)
        _invert(image.ravel(), self.rng.random(image.size), *_poisson_tables(rate), found)
        return found.reshape(image.shape)


class LegacyDraws:
    """Numbers of the legacy stream, drawn in the order of the official generator: for comparisons with it."""

    def __init__(self, rng: np.random.RandomState, pictures: Callable[[], Pictures] | None = None) -> None:
        self.rng = rng
        self.pictures = pictures or own_pictures

    def normal(self, shape: tuple[int, ...], *, mean: float = 0.0, scale: float) -> F64:
        """As in `Source`."""
        return self.rng.normal(mean, scale, shape)

    def uniform(self, *shape: int) -> F64:
        """As in `Source`."""
        return self.rng.random_sample(shape)

    def below(self, high: int) -> int:
        """As in `Source`."""
        return int(self.rng.randint(high))

    def offsets(self, reach: int, count: int) -> I8:
        """As in `Source`."""
        return self.rng.randint(-reach, reach, (count, 2)).astype(np.int8)

    def photons(self, image: Image, rate: float) -> F64:
        """As in `Source`."""
        return self.rng.poisson(image / 255.0 * rate).astype(np.float64)


def image_draws(
    seed: int, corruption: str, severity: int, key: str, pictures: Callable[[], Pictures] | None = None
) -> Draws:
    """The draws of one image: a function of the seed, the corruption, the severity and the image's key."""
    fields = (seed, Stream.CORRUPTION, hash_text(corruption), severity, hash_text(key))
    return Draws(generator(*fields), pictures)


def hash_text(text: str) -> int:
    """Return 64 bits of a text, to be a field of a stream."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "little")


GUIDES = 256  # entries of a guide table: numbers from which the search for a uniform number begins


@lru_cache(16)
def _poisson_tables(rate: float) -> tuple[F64, npt.NDArray[np.int32]]:
    """Cumulative probabilities (256, K) of the numbers at each level, and guides (256, GUIDES)."""
    counts = int(rate + 12 * np.sqrt(rate) + 24)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, counts)))])
    means = np.arange(256) / 255.0 * rate
    with np.errstate(divide="ignore"):
        logs = np.log(means)[:, None]
    exponent = np.arange(counts) * np.where(np.isinf(logs), -1e9, logs) - log_factorial
    cumulative = np.cumsum(np.exp(exponent - means[:, None]), axis=1)
    cumulative[:, -1] = 1.0
    begin = np.arange(GUIDES) / GUIDES
    guides = np.stack([np.searchsorted(row, begin, side="right") for row in cumulative])
    return cumulative, np.minimum(guides, counts - 1).astype(np.int32)


@compiled(error_model="numpy")
def _invert(image: Any, uniform: Any, cumulative: Any, guides: Any, found: Any) -> None:
    for i in range(image.size):
        level, u = image[i], uniform[i]
        count = guides[level, int(u * GUIDES)]
        while cumulative[level, count] <= u:
            count += 1
        found[i] = count
