"""Sources of a run's images: files, memory, a cache, the training device; one interface, image by index."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from texneg.cli.console import format_bytes
from texneg.datasets.cache import Cache, shrink
from texneg.datasets.decode import DecodeError
from texneg.datasets.images import ImageSet
from texneg.errors import InputError

Loader = Literal["auto", "files", "memory", "cache", "device"]
U8 = npt.NDArray[np.uint8]
Read = Callable[[int], U8]
"""Image i as uint8 (H, W, 3)."""

THREADS = 4
SAMPLE = 64  # images that the need of memory is estimated from


def make_image_error(error: Exception) -> InputError:
    """Return the error of an image that cannot be trained on."""
    return InputError(
        f"{error}: replace this image, or train in a new run folder: without what cannot be read"
        " (--skip-unreadable), or with what there is of files that are cut short (--allow-truncated)"
    )


class Files:
    """Images decoded at every access.

    Args:
        images: to decode.
        order: places of the images; None for 0, 1, ...
        side: pixels that the shorter side is reduced to; None leaves it.
    """

    def __init__(
        self, images: ImageSet, order: npt.NDArray[np.int64] | None = None, side: int | None = None
    ) -> None:
        self.images, self.order, self.side = images, order, side

    def __call__(self, i: int) -> U8:
        """Decode image i, or the image at place order[i]."""
        pixels = self.images[i if self.order is None else int(self.order[i])][0]
        return pixels if self.side is None else shrink(pixels, self.side)


class Memory:
    """Images read once and kept.

    Raises:
        InputError: one cannot be read, or there is not as much memory, going by the first ones.
    """

    def __init__(self, read: Read, n: int) -> None:
        def keep(i: int) -> U8:
            return np.require(read(i), requirements=["C", "W"])  # of a mapped file a copy

        try:
            with ThreadPoolExecutor(THREADS) as pool:
                self.pixels = list(pool.map(keep, range(min(n, SAMPLE))))
                require_memory(sum(pixels.nbytes for pixels in self.pixels) * n // len(self.pixels), n)
                self.pixels += pool.map(keep, range(SAMPLE, n))
        except (DecodeError, OSError) as error:
            raise make_image_error(error) from error

    def __call__(self, i: int) -> U8:
        """Return image i."""
        return self.pixels[i]


def require_memory(needed: int, n: int) -> None:
    """Refuse to keep n images that need so many bytes where this machine does not have them."""
    free = available_memory()
    if free is not None and needed > free:
        raise InputError(
            f"--loader memory: {n} images need about {format_bytes(needed)}, and {format_bytes(free)} are"
            " free: give a smaller --resident, or --loader cache"
        )


def available_memory() -> int | None:
    """Return the bytes that new processes can have, as Linux estimates them; None elsewhere."""
    try:
        found = re.search(r"^MemAvailable: *(\d+) kB", Path("/proc/meminfo").read_text("ascii"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


class Cached:
    """Images of a cache, at these places of it."""

    def __init__(self, cache: Cache, places: npt.NDArray[np.int64]) -> None:
        self.cache, self.places = cache, places

    def __call__(self, i: int) -> U8:
        """Return image i."""
        return self.cache(int(self.places[i]))


@dataclass(frozen=True)
class Choice:
    """A loader with the reason for it."""

    loader: Literal["files", "memory", "cache", "device"]
    why: str


def choose_loader(loader: Loader, *, cache: str, resident: int | None) -> Choice:
    """Choose a loader for `auto`, and refuse one that lacks what it needs.

    Args:
        loader: value of --loader.
        cache: value of --cache, empty for none.
        resident: value of --resident.

    Raises:
        InputError: naming the flag that is missing or one too many.
    """
    if loader == "auto":
        if cache:
            return Choice("cache", "since there is --cache")
        if resident:
            return Choice("memory", f"kept as --resident {resident} has them")
        return Choice("files", "decoded at each access, as there is neither --resident nor --cache")
    if loader == "cache" and not cache:
        raise InputError("--loader cache: name the cache by --cache; texneg cache makes it")
    if loader == "files" and cache:
        raise InputError("--loader files with --cache: give one of them, or --loader memory, cache or device")
    if loader in ("memory", "device") and not (resident or cache):
        raise InputError(
            f"--loader {loader}: say by --resident to which side images are reduced, or name a --cache"
        )
    return Choice(loader, "as --loader says")
