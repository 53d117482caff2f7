"""`texneg cache`: training images decoded and shrunk once, for loading without decoding large files."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from texneg.cli import console
from texneg.cli.fields import Positional
from texneg.cli.progress import Progress
from texneg.datasets.cache import IMAGES, QUALITY, Recipe, write_cache
from texneg.datasets.fingerprint import sample_fingerprint
from texneg.datasets.storage.places import require_folder
from texneg.errors import InputError
from texneg.train.data.splits import open_train


@dataclass(frozen=True)
class CacheConfig:
    """Cache of a data set's training images, for `texneg pretrain --cache`."""

    data: Positional[str]
    """training images: class folders, a flat folder or tar shards; their `train` split if there is one"""
    out: Positional[str]
    """folder of the cache, on a local disk"""
    side: int = 256
    """shorter side of the cached images in pixels; smaller ones stay as they are"""
    format: Literal["raw", "jpeg"] = "raw"
    """raw: pixels, fastest, about 270 kB an image at side 256; jpeg: quality 90, about 40 kB, decoded each
    time"""
    skip_unreadable: bool = False
    """leave out images that cannot be read, and name them in cache.json; the run needs the flag, too"""
    allow_truncated: bool = False
    """use truncated files as far as they go; the run needs the flag, too"""


def cache(config: CacheConfig) -> int:
    """Write a cache, or go on writing it."""
    if config.side < 8:
        raise InputError(f"--side {config.side}: at least 8 pixels")
    require_folder(config.out, "OUT")
    images = replace(open_train(config.data), allow_truncated=config.allow_truncated)
    recipe = Recipe(
        side=config.side,
        encoding=config.format,
        quality=QUALITY if config.format == "jpeg" else 0,
        allow_truncated=config.allow_truncated,
        fingerprint=sample_fingerprint(images),
        n=len(images),
    )
    out = Path(config.out)
    with Progress(len(images)) as progress:
        made = write_cache(
            out, images, recipe, skip_unreadable=config.skip_unreadable, advance=progress.advance
        )
    size = console.format_bytes((out / IMAGES).stat().st_size)
    left = f", {console.plural(len(made.unreadable), 'image')} left out" if made.unreadable else ""
    console.out(f"{out}: {console.plural(len(images), 'image')}, {size}{left}; texneg pretrain --cache {out}")
    return 0
