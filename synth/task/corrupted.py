"""Corrupted images in place of textures: the stages of their way, and the choice between all works."""

import hashlib
from collections import OrderedDict
from collections.abc import Hashable
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from texneg.datasets.corruptions.corrupt import VERSION, corrupt
from texneg.datasets.corruptions.digital import encode_jpeg
from texneg.datasets.corruptions.draws import image_draws
from texneg.datasets.corruptions.pictures import Pictures, own_pictures, read_pictures
from texneg.datasets.decode import Pixels, decode
from texneg.datasets.encode import encode
from texneg.errors import InputError
from texneg.synth.ledger.manifest import Row
from texneg.synth.plan.plan import Corrupting, Cut, Settings
from texneg.synth.task.images import TEXTURES, StageClock, Work, decode_file, note_output
from texneg.synth.task.redrawn import REDRAWN

METHOD = "corruption"
OF_FILE = ("src_sha256", "width", "height", "mode", "format", "exif_orientation", "error")
"""Fields of a row that `decode_file` fills in."""


def choose_work(settings: Settings) -> Work:
    """The work of a run's tasks."""
    if settings.corrupting:
        return CORRUPTED
    return REDRAWN if settings.redrawing else TEXTURES


def make_split(corruption: str, severity: int) -> str:
    """The folders of a corruption at a severity, which stand where those of a split would."""
    return f"{corruption}/{severity}"


def cut_square(pixels: Pixels, side: int, cut: Cut) -> Pixels:
    """The square that is corrupted; an image of that size is taken as it is.

    Args:
        pixels: uint8 (H, W, 3).
        side: of the square.
        cut: centre: torchvision's Resize to 8/7 of the side and CenterCrop; whole: Resize to the square.
    """
    height, width = pixels.shape[:2]
    if (height, width) == (side, side):
        return pixels
    image = Image.fromarray(pixels)
    if cut == "whole":
        return np.array(image.resize((side, side), Image.Resampling.BILINEAR))
    short = -(-side * 8 // 7)
    size = int(short * width / min(height, width)), int(short * height / min(height, width))
    left, top = (round((length - side) / 2) for length in size)
    reduced = image.resize(size, Image.Resampling.BILINEAR)
    return np.array(reduced.crop((left, top, left + side, top + side)))


class Squares:
    """The latest squares of this process, each to be corrupted many times, and what rows say of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        """bytes"""
        self._lock = Lock()
        self._held: OrderedDict[Hashable, tuple[Pixels, dict[str, Any]]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> tuple[Pixels, dict[str, Any]] | None:
        """The square that was put under a key, if it is still held."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def put(self, key: Hashable, square: Pixels, about: dict[str, Any]) -> None:
        """Hold a square, and let go of the oldest where they are too many."""
        with self._lock:
            if key not in self._held:
                self._bytes += square.nbytes
            self._held[key] = square, about
            while self._bytes > self._most:
                _, (oldest, _) = self._held.popitem(last=False)
                self._bytes -= oldest.nbytes


SQUARES = Squares(128 * 2**20)


def _cut(data: bytes, row: Row, settings: Settings, clock: StageClock) -> list[Pixels]:
    own = _own(settings)
    content = hashlib.sha256(data).digest()
    key = (content, settings.size, own.cut, settings.exif, settings.allow_truncated)
    if (held := SQUARES.get(key)) is not None:
        square, about = held
        vars(row).update(about)
        return [square]
    pixels = decode_file(data, row, settings, clock)
    with clock.time("synthesis"):
        square = cut_square(pixels, settings.size, own.cut)
    SQUARES.put(key, square, {name: getattr(row, name) for name in OF_FILE})
    return [square]


def _make(patches: list[Pixels], row: Row, settings: Settings, clock: StageClock) -> Pixels:
    own = _own(settings)
    name, _, severity = row.split.rpartition("/")
    pictures = partial(_read_frost, own.frost_dir, own.frost) if own.frost_dir else own_pictures
    draws = image_draws(settings.seed, name, int(severity), row.key, pictures)
    with clock.time("synthesis"):
        return corrupt(patches[0], name, severity=int(severity), draws=draws, constants=own.constants)


def _read_frost(folder: str, fingerprint: str | None) -> Pictures:
    """Read the pictures of frost; others than the run began with, perhaps on another machine, are refused."""
    pictures = read_pictures(folder)
    if pictures.fingerprint != fingerprint:
        raise InputError(f"{folder} holds other pictures of frost than the run began with; bring those back")
    return pictures


def _encode(pixels: Pixels, row: Row, settings: Settings, clock: StageClock) -> bytes:
    quality = _own(settings).jpeg_quality
    with clock.time("encode"):
        if quality:
            encoded = encode_jpeg(pixels, quality, optimise=True)
            pixels = decode(encoded).pixels
        else:
            encoded = encode(pixels, "png")
    note_output(row, encoded, pixels)
    return encoded


def _own(settings: Settings) -> Corrupting:
    assert settings.corrupting is not None
    return settings.corrupting


CORRUPTED = Work(_cut, _make, _encode, lambda _: VERSION)
