"""Columns of an audit: kinds of negatives, folders of ready ones, and what stands beside them always.

Shapes: N images, S side of a view, C channels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from texneg.datasets.decode import DecodeError
from texneg.datasets.fingerprint import fingerprint
from texneg.datasets.images import ImageSet, open_images
from texneg.datasets.pairs import NONE, open_textures_beside, pair
from texneg.datasets.stored import Array, describe_pixels, resize
from texneg.errors import InputError
from texneg.philox.arrays import generator
from texneg.philox.streams import Stream
from texneg.synth.preview import preview_textures
from texneg.textures.live.plan import default_exemplar
from texneg.train.negatives import KINDS, Negatives
from texneg.train.options import parse_option

I64 = npt.NDArray[np.int64]
IMAGE, CONTROL, FLOOR, SHUFFLED = "the image", "another crop", "one square, mirrored", "pixels shuffled"
FEWEST_SHARE, MOST_SHARE = 0.5, 0.8  # of the shorter side that a view shows


@dataclass(frozen=True)
class Column:
    """One kind of pictures that an audit measures."""

    name: str
    """as on the command line, or short"""
    title: str
    """as results and sheets have it"""
    make: Callable[[Array, I64], Array]
    """From views (N, S, S, C) and the places of their images to pictures of the same shape."""
    identity: Any
    """decides the pictures, besides the images and the seed; plain values"""
    reference: bool = False
    """control or floor, no kind of negative"""
    timed: bool = True
    """made by `make`, whose time is a figure; not read from files"""


def cut_views(pixels: Array, side: int, seed: int, place: int) -> tuple[Array, Array]:
    """Cut two views of an image from independent places: the image of an audit, and its control.

    A view is `side` pixels of the image as they are, if that is between half and four fifths of its shorter
    side; else the nearer of these, resized.

    Returns:
        Two arrays (S, S, C).
    """
    short, draw = min(pixels.shape[:2]), generator(seed, Stream.AUDIT, place, 0)
    reach = max(1, min(max(side, round(FEWEST_SHARE * short)), int(MOST_SHARE * short)))
    views = []
    for _ in range(2):
        top, left = (int(draw.integers(length - reach + 1)) for length in pixels.shape[:2])
        views.append(fit(pixels[top : top + reach, left : left + reach], side))
    return views[0], views[1]


def fit(pixels: Array, side: int) -> Array:
    """Resize a square, unless it has the side."""
    return resize(pixels, side, side)


def require_like(pictures: Array, views: Array, flag: str) -> None:
    """Refuse pictures (S, S, C) of another depth or number of channels than views (N, S, S, C).

    Raises:
        InputError: naming both and the remedy.
    """
    if (found := describe_pixels(pictures)) != (wanted := describe_pixels(views[0])):
        raise InputError(
            f"{flag}: {found}, and the images are {wanted}: make them with texneg synth --encoding tiff or"
            " npy, or leave --as-stored out"
        )


def mirror(views: Array, places: I64, *, seed: int) -> Array:
    """Tile each view with one square of it and its mirror images: a floor for what is made of a piece."""
    side = views.shape[1]
    square, made = default_exemplar(side, side), []
    for view, place in zip(views, places.tolist(), strict=True):
        top, left = generator(seed, Stream.AUDIT, place, 1).integers(side - square + 1, size=2).tolist()
        piece, rest = view[top : top + square, left : left + square], (0, side - square)
        made.append(np.pad(piece, (rest, rest, (0, 0)), "symmetric"))
    return np.stack(made)


def shuffle_pixels(views: Array, places: I64, *, seed: int) -> Array:
    """Put the pixels of each view in random order: its colours and nothing else."""
    flat = views.reshape(len(views), -1, views.shape[3])
    orders = (generator(seed, Stream.AUDIT, place, 2).permutation(flat.shape[1]) for place in places.tolist())
    return np.stack([one[order] for one, order in zip(flat, orders, strict=True)]).reshape(views.shape)


def make_references(images: ImageSet, seed: int) -> list[Column]:
    """Make the columns that stand beside all others: the image, control, floor, and no structure at all."""

    def give(views: Array, places: I64) -> Array:
        return views

    def recrop(views: Array, places: I64) -> Array:
        side = views.shape[1]
        return np.stack([cut_views(images[place][0], side, seed, place)[1] for place in places.tolist()])

    return [
        Column(IMAGE, IMAGE, give, None, reference=True, timed=False),
        Column(CONTROL, CONTROL, recrop, None, reference=True, timed=False),
        Column("mirrored", FLOOR, partial(mirror, seed=seed), None, reference=True, timed=False),
        Column(SHUFFLED, SHUFFLED, partial(shuffle_pixels, seed=seed), None, reference=True, timed=False),
    ]


def read_kinds(texts: Sequence[str], size: int) -> list[Negatives]:
    """Read the kinds that `--negatives` names, mixtures joined by +.

    Raises:
        InputError: a kind or an option that is not there, or a view of this side is too small for it.
    """
    found = []
    for text in texts:
        negatives = Negatives.of(*(parse_option(KINDS, one, "--negatives") for one in text.split("+")))
        try:
            negatives.check(size)
        except InputError as error:
            raise InputError(f"--negatives {text}: {str(error).replace('--image-size', '--size')}") from error
        found.append(negatives)
    return found


def make_columns(
    texts: Sequence[str],
    kinds: Sequence[Negatives],
    images: ImageSet,
    *,
    data: str,
    textures: str | None,
    split: str | None,
    seed: int,
    out: str,
) -> list[Column]:
    """Make the columns of kinds of negatives.

    Args:
        texts: the kinds in the words of the command line.
        kinds: as `read_kinds` gives them.
        images: of which negatives are made.
        data: where they were opened.
        textures: where texture files lie; None for those beside the images, or else made here.
        split: of the images.
        seed: of what is drawn.
        out: folder that keeps fingerprints.

    Raises:
        InputError: textures that do not pair with the images.
    """
    read, source, style = None, None, ""
    if any(kind.need_textures for kind in kinds):
        files = (
            open_images(textures, textures=True, stored=images.stored)
            if textures
            else open_textures_beside(images, data, split)
        )
        if files is not None:
            pair(images, files)
        preview = preview_textures(images, files, textures or data, seed=seed)
        source = None if files is None else fingerprint(files, out)
        style = preview.exemplars

        def read(views: Array, *, index: Any) -> Array:
            shown = []
            for i in np.asarray(index).tolist():
                try:
                    pixels, side = images.pixels_of(i, upright=preview.upright), views.shape[1]
                    shown.append(fit(preview.show(i, pixels, side)[2], side))
                except DecodeError as error:
                    raise InputError(f"the texture of {images.full_name(i)}: {error}") from error
                require_like(shown[-1], views, f"the texture of {images.full_name(i)}")
            return np.stack(shown)

    def make(kind: Negatives, views: Array, places: I64) -> Array:
        views_of = None if read is None else partial(read, views)
        return kind.make(views, seed=seed, epoch=0, index=places, textures=views_of)[:, 0]

    return [
        Column(
            text,
            kind.title,
            partial(make, kind),
            [kind.plain(), (source or style) if kind.need_textures else None],
            timed=not (kind.need_textures and source is not None),
        )
        for text, kind in zip(texts, kinds, strict=True)
    ]


def open_folder(text: str, images: ImageSet, out: str) -> Column:
    """Open ready negatives, NAME=DIR or DIR, one for each image under its key.

    Raises:
        InputError: they do not pair with the images.
    """
    name, equals, path = text.partition("=")
    if not equals:
        name, path = text.rstrip("/").rpartition("/")[2], text
    files = open_images(path, textures=True, stored=images.stored)
    files = replace(files, allow_truncated=images.allow_truncated)
    try:
        partners = pair(images, files)
    except InputError as error:
        raise InputError(f"--folder {text}: {error}") from error
    assert not (partners == NONE).any()

    def make(views: Array, places: I64) -> Array:
        shown = []
        for place in places.tolist():
            try:
                pixels = files[int(partners[place])][0]
            except DecodeError as error:
                raise InputError(f"--folder {text}: {error}") from error
            require_like(pixels, views, f"--folder {text}")
            short = min(pixels.shape[:2])
            top, left = (length // 2 - short // 2 for length in pixels.shape[:2])
            shown.append(fit(pixels[top : top + short, left : left + short], views.shape[1]))
        return np.stack(shown)

    return Column(name, name, make, fingerprint(files, out), timed=False)
