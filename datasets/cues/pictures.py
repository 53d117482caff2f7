"""Pictures to make cues of: an image and the mask of its object, cut to one square.

Shapes: H, W sides of the image, S of the picture.
"""

from dataclasses import dataclass
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image

from texneg.datasets.cues.shape import Mask
from texneg.datasets.cues.texture import largest_square, smallest_side
from texneg.datasets.decode import DecodeError, Pixels, decode
from texneg.datasets.images import ImageSet, open_images
from texneg.errors import InputError, RunFailed, describe_error

MOST_ZOOM = 2  # an image is enlarged at most so much
HALF = 128  # from which a pixel of a JPEG mask is of the object: its zeros are not exact


class Picture(NamedTuple):
    """A square of an image and the mask of its object in it."""

    pixels: Pixels
    """uint8 (S, S, 3)"""
    mask: Mask | None
    """(S, S); None where no masks are given"""


@dataclass(frozen=True)
class Originals:
    """The user's images, by key, and their masks."""

    images: ImageSet
    places: dict[str, int]
    masks: ImageSet | None = None
    mask_places: dict[str, int] | None = None

    def has_mask(self, key: str) -> bool:
        """True if there is a mask of an image, or if no masks are asked for."""
        return self.mask_places is None or key in self.mask_places

    def label(self, key: str) -> str:
        """Class of an image."""
        return self.images.classes[self.images.labels[self.places[key]]]

    def open_picture(self, key: str, size: int) -> Picture:
        """Cut the picture of an image.

        Raises:
            DecodeError: the image, or its mask, is of no use; says why.
            InputError: the mask has another size than the image.
            RunFailed: the disk or the store does not give it.
        """
        try:
            return self._open(key, size)
        except OSError as error:
            raise RunFailed(
                f"{key} of {self.images.root}, or its mask, cannot be read ({describe_error(error)}); run the"
                " same command again: it goes on"
            ) from error

    def _open(self, key: str, size: int) -> Picture:
        pixels, _ = self.images[self.places[key]]
        height, width = pixels.shape[:2]
        if MOST_ZOOM * min(height, width) < size:
            least = -(-size // MOST_ZOOM)
            raise DecodeError(
                "too_small", f"{width} x {height} px; --size {size} takes images from {least} px on"
            )
        if self.masks is None or self.mask_places is None:
            return cut_picture(pixels, None, size)
        place = self.mask_places[key]
        mask = decode_mask(self.masks.read(place), self.masks.full_name(place))
        if mask.shape != (height, width):
            raise InputError(
                f"the mask {self.masks.full_name(place)} of {self.masks.root} has {mask.shape[1]} x"
                f" {mask.shape[0]} px, its image {width} x {height}; make the mask of the image as it is"
                " stored, or take it out"
            )
        picture = cut_picture(pixels, mask, size)
        assert picture.mask is not None
        side, least = largest_square(picture.mask), smallest_side(size)
        if side < least:
            seen = f"the largest square in its object has {side} px of {size}" if side else "an empty mask"
            raise DecodeError("too_thin", f"{seen}; a texture needs {least}")
        if picture.mask.all():
            raise DecodeError("no_outline", "the mask covers the whole picture, so that it has no outline")
        return picture


def open_originals(data: str, masks: str | None) -> Originals:
    """Open labelled images and, where given, their masks.

    Raises:
        InputError: fewer than two classes, an image in no class folder, names that occur twice, or masks of
            other images.
    """
    images = open_images(data)
    if len(images.classes) < 2:
        seen = f"one class folder, {images.classes[0]!r}" if images.classes else "no class folders"
        raise InputError(f"{data} has {seen}; give DATA/CLASS/IMAGE with two classes or more")
    if (images.labels < 0).any():
        key = images.keys[int((images.labels < 0).argmax())]
        raise InputError(f"{key} of {data} lies in no class folder; move it into one, or away")
    if odd := next((name for name in images.classes if "/" in name), None):
        raise InputError(f"class {odd!r} of {data} has a slash in its name; rename it: it becomes a folder")
    places = index_keys(images, "image")
    if masks is None:
        return Originals(images, places)
    found = open_images(masks)
    mask_places = index_keys(found, "mask")
    if not mask_places.keys() & places.keys():
        raise InputError(
            f"--masks {masks}: no mask has the name of an image; a mask is {found.keys[0]!r}, an image"
            f" {images.keys[0]!r}: give the folder in which masks have the same folders and names"
        )
    return Originals(images, places, found, mask_places)


def index_keys(images: ImageSet, noun: str) -> dict[str, int]:
    """Places of images by key; raises `InputError` where two have the same."""
    places: dict[str, int] = {}
    for place, key in enumerate(images.keys):
        if key in places:
            first, second = images.full_name(places[key]), images.full_name(place)
            raise InputError(
                f"{first} and {second} of {images.root} are one {noun} by name; rename one of them, or"
                " remove it"
            )
        places[key] = place
    return places


def decode_mask(data: bytes, name: str) -> Mask:
    """Decode a mask (H, W): what is not zero is the object; in a JPEG, what is above half.

    Of a palette its numbers count, not its colours; of an alpha channel nothing.

    Raises:
        DecodeError: it is no image that can be read.
    """
    try:
        with Image.open(BytesIO(data)) as image:
            lossy = image.format == "JPEG"
            values = np.asarray(image)
            bands = image.getbands()
    except Exception as error:  # readers of Pillow leak errors of many kinds
        try:
            decode(data)
        except DecodeError as known:
            raise DecodeError(known.status, f"the mask {name}: {known.reason}") from error
        raise DecodeError("decode_error", f"the mask {name}: {error}") from error
    marked = values >= HALF if lossy else values != 0
    if marked.ndim == 2:
        return np.asarray(marked)
    return np.asarray(marked[..., [band != "A" for band in bands]].any(2))


def cut_picture(pixels: Pixels, mask: Mask | None, size: int) -> Picture:
    """Resize the shorter side of an image to `size`, and cut out a square: the centre, or about the object.

    The square is moved along the longer side as far towards the middle of the object as the image reaches.
    """
    height, width = pixels.shape[:2]
    rows, columns = (max(size, round(side * size / min(height, width))) for side in (height, width))
    if (rows, columns) != (height, width):
        pixels = np.asarray(Image.fromarray(pixels).resize((columns, rows), Image.Resampling.BILINEAR))
        if mask is not None:
            grey = Image.fromarray(mask.astype(np.uint8) * 255)
            mask = np.asarray(grey.resize((columns, rows), Image.Resampling.BILINEAR)) >= HALF
    top, left = (rows - size) // 2, (columns - size) // 2
    if mask is not None and mask.any():
        top, left = (
            int(np.clip((there[0] + there[-1] + 1 - size) // 2, 0, side - size))
            for there, side in ((np.flatnonzero(mask.any(1)), rows), (np.flatnonzero(mask.any(0)), columns))
        )
    square = slice(top, top + size), slice(left, left + size)
    return Picture(np.ascontiguousarray(pixels[square]), None if mask is None else mask[square].copy())
