"""Views of the images of an audit.

Shapes: N images, S side of a view.
"""

from collections.abc import Sequence
from statistics import median
from typing import Literal, NamedTuple

import numpy as np

from texneg.cli import console
from texneg.cli.console import plural
from texneg.datasets.decode import DecodeError
from texneg.datasets.images import ImageSet
from texneg.datasets.stored import Array, describe_pixels
from texneg.errors import InputError
from texneg.tell import FEWEST
from texneg.train.audit.columns import MOST_SHARE, cut_views
from texneg.train.evaluate.encoders import Encoder
from texneg.train.evaluate.features import crop, read_crops

SEEN = "uint8 x 3"
"""Depth and channels that encoders take."""


class Views(NamedTuple):
    """Readable images of an audit, cut."""

    images: ImageSet
    """N"""
    cuts: Array
    """(N, S, S, C)"""
    seen: Array | None
    """as the encoder is shown them, of its side"""


def require_enough(images: ImageSet, readable: int) -> None:
    """Refuse so few images that their figures say nothing."""
    if readable < FEWEST:
        raise InputError(
            f"{images.root}: {plural(readable, 'image')} that can be read; an audit needs {FEWEST} or more"
        )


def require_seen(images: ImageSet, pixels: Array, place: int) -> None:
    """Refuse an image that an encoder does not take.

    Raises:
        InputError: naming it and the remedy.
    """
    if (given := describe_pixels(pixels)) != SEEN:
        raise InputError(
            f"--encoder: encoders take RGB of 8 bits ({SEEN}), and {images.full_name(place)} of {images.root}"
            f" is {given}: leave --encoder out, or --as-stored"
        )


def cut_images(
    images: ImageSet, encoder: Encoder | None, *, size: int, seed: int, bad: Literal["skip", "error"]
) -> Views:
    """Cut the views of all images; leave out those that cannot be read, and say so.

    Raises:
        InputError: fewer than 20 can be read; with `--bad error`, one cannot; depths or channels differ, or
            the encoder does not take them.
    """
    faults: dict[int, str] = {}
    shorter: dict[int, int] = {}

    def cut(pixels: Array, place: int) -> tuple[Array, Array | None]:
        shorter[place] = min(pixels.shape[:2])
        if encoder is not None:
            require_seen(images, pixels, place)
        shown = None if encoder is None else crop(pixels, encoder.preprocessing)
        return cut_views(pixels, size, seed, place)[0], shown

    def leave_out(error: DecodeError, place: int) -> None:
        faults[place] = error.reason

    instead = leave_out if bad == "skip" else None
    found = [one for block in read_crops(images, cut, block=64, instead=instead) for one in block]
    left = [place for place in range(len(images)) if place not in faults]
    if faults:
        console.info(
            f"left out: {plural(len(faults), 'image')} of {len(images)} that cannot be read (first:"
            f" {next(iter(faults.values()))})"
        )
    fitting = int(MOST_SHARE * median(shorter.values())) if shorter else size
    if fitting < size:
        console.info(
            f"views of {size} px are enlarged in half of the images or more, and texture files are not:"
            f" --size {fitting} takes these images as they are"
        )
    images = images.take(np.array(left, np.int64))
    require_enough(images, len(left))
    cuts, seen = zip(*(one for one in found if one is not None), strict=True)
    _require_equal(images, cuts)
    return Views(images, np.stack(cuts), None if encoder is None else np.stack(seen))


def _require_equal(images: ImageSet, cuts: Sequence[Array]) -> None:
    """Refuse views (S, S, C) of several depths or numbers of channels."""
    wanted = describe_pixels(cuts[0])
    for place, cut in enumerate(cuts):
        if (found := describe_pixels(cut)) != wanted:
            raise InputError(
                f"{images.full_name(place)} of {images.root} is {found}, and {images.full_name(0)} is"
                f" {wanted}: give images of one depth and number of channels"
            )
