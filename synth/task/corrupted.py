"""Corrupted images in place of textures: the stages of their way, and the choice between the two."""

from functools import partial

import numpy as np
from PIL import Image

from texneg.datasets.corruptions.corrupt import VERSION, corrupt
from texneg.datasets.corruptions.digital import encode_jpeg
from texneg.datasets.corruptions.draws import image_draws
from texneg.datasets.corruptions.pictures import own_pictures, read_pictures
from texneg.datasets.decode import Pixels, decode
from texneg.datasets.encode import encode
from texneg.synth.ledger.manifest import Row
from texneg.synth.plan.plan import Corrupting, Cut, Settings
from texneg.synth.task.images import TEXTURES, StageClock, Work, decode_file, note_output
from texneg.textures.presets import PRESETS

METHOD = "corruption"


def choose_work(settings: Settings) -> Work:
    """The work of a run's tasks."""
    return CORRUPTED if settings.corrupting else TEXTURES


def current_version(settings: Settings) -> int:
    """Version of the pixels that this process makes; a run records that of the process which began it."""
    return VERSION if settings.corrupting else PRESETS[settings.method].version


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


def _cut(data: bytes, row: Row, settings: Settings, clock: StageClock) -> list[Pixels]:
    pixels = decode_file(data, row, settings, clock)
    with clock.time("synthesis"):
        return [cut_square(pixels, settings.size, _own(settings).cut)]


def _make(patches: list[Pixels], row: Row, settings: Settings, clock: StageClock) -> Pixels:
    own = _own(settings)
    name, _, severity = row.split.rpartition("/")
    pictures = partial(read_pictures, own.frost_dir) if own.frost_dir else own_pictures
    draws = image_draws(settings.seed, name, int(severity), row.key, pictures)
    with clock.time("synthesis"):
        return corrupt(patches[0], name, severity=int(severity), draws=draws, constants=own.constants)


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


CORRUPTED = Work(_cut, _make, _encode)
