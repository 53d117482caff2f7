"""Pictures for the page: test images, small, from the folders they were measured in; files of runs."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from texneg.datasets.decode import DecodeError
from texneg.datasets.images import UNLABELLED, ImageSet, open_images
from texneg.datasets.storage.places import parse_place
from texneg.errors import InputError
from texneg.train.evaluate.features import U8, Edit, crop
from texneg.train.networks.preprocessing import Preprocessing
from texneg.train.report.runs import Arm

SHEET_WIDTH = 2080  # pixels, twice the width of the page
SIDE = 144  # pixels, of a larger crop
QUALITY = 78
FAULTS = (InputError, DecodeError, OSError, UnidentifiedImageError, ValueError)


@dataclass(frozen=True)
class Picture:
    """A test image as the network sees it, for the page."""

    uri: str
    label: str
    """its true class"""
    side: int
    """of the picture, pixels"""


@dataclass
class Album:
    """Test images by set; each set is opened once."""

    _sets: dict[str, ImageSet | str] = field(default_factory=dict)
    _places: dict[str, dict[str, int]] = field(default_factory=dict)

    def find_fault(self, path: str) -> str:
        """Say why the images of a set cannot be shown; empty where they can."""
        images = self._open(path)
        return images if isinstance(images, str) else ""

    def take(self, path: str, key: str, prepared: Preprocessing, edit: Edit | None = None) -> Picture | None:
        """The picture of an image; None where it cannot be read."""
        images = self._open(path)
        place = self._places.get(path, {}).get(key)
        if isinstance(images, str) or place is None:
            return None
        try:
            pixels = crop(images[place][0], prepared)
            label = int(images.labels[place])
            shown = edit.apply(pixels, key) if edit else pixels
        except FAULTS:
            return None
        return Picture(
            encode(shown), "" if label == UNLABELLED else images.classes[label], min(SIDE, len(shown))
        )

    def find_class(self, path: str, key: str) -> str:
        """True class of an image by its folder; empty where it is not known."""
        images = self._open(path)
        place = self._places.get(path, {}).get(key)
        if isinstance(images, str) or place is None:
            return ""
        label = int(images.labels[place])
        return "" if label == UNLABELLED else images.classes[label]

    def _open(self, path: str) -> ImageSet | str:
        if path not in self._sets:
            try:
                if not parse_place(path).exists():
                    raise InputError("they are not there any more")
                images = open_images(path)
                self._sets[path] = images
                self._places[path] = {key: place for place, key in enumerate(images.keys)}
            except FAULTS as error:
                self._sets[path] = str(error)
        return self._sets[path]


def prepare(tested: Mapping[str, Any] | None, transform: object) -> Preprocessing:
    """The preparation of images that a result records; that of 224 px without."""
    fields = dict((tested or {}).get("preprocessing") or {})
    known = {name: value for name, value in fields.items() if name in Preprocessing.__dataclass_fields__}
    ready = str(transform).startswith("no-enlargement")
    found = Preprocessing(**known)
    return replace(found, resize="no-enlargement" if ready else found.resize)


def encode(pixels: U8) -> str:
    """Pixels as a small WebP in a data URI: lossless where they are few."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    buffer = io.BytesIO()
    if image.width > SIDE:
        image = image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        image.save(buffer, "WEBP", quality=QUALITY, method=4)
    else:
        image.save(buffer, "WEBP", quality=92, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def embed_image(path: Path) -> str:
    """An image file as a data URI: WebP, at most `SHEET_WIDTH` pixels wide."""
    try:
        with Image.open(path) as image:
            small = image.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(
            f"contact sheet {str(path)!r} cannot be read ({error}); make one with texneg sheet"
        ) from error
    if small.width > SHEET_WIDTH:
        small = small.resize(
            (SHEET_WIDTH, round(small.height * SHEET_WIDTH / small.width)), Image.Resampling.LANCZOS
        )
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=88, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def find_pictures(arms: Sequence[Arm], name: str) -> list[tuple[str, str]]:
    """Labels of arms and data URIs of a picture in the folders of their first runs; equal ones once."""
    found: dict[str, str] = {}
    for arm in arms:
        path = next((run.path / name for run in arm.runs if (run.path / name).is_file()), None)
        if path:
            found.setdefault(embed_image(path), arm.label)
    return [(label, uri) for uri, label in found.items()]
