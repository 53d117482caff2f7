"""Textures whose squares are drawn again where too much of the image is left, as an encoder sees it.

Leak is the cosine of the encoder's features of texture and image, both under its own test transform. The
squares of the first try are those of a run without a limit. A try above the limit is followed by another,
with a seed of its own; the first at or below it is taken, or else the least of all tries.

The only module of `synth/` that knows of `train/`, and only when it is used: an encoder is opened as for
`texneg audit`.
"""

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from texneg.datasets.decode import Pixels
from texneg.errors import InputError
from texneg.synth.ledger.manifest import Row
from texneg.synth.plan.plan import Redrawing, Settings
from texneg.synth.task.images import (
    TEXTURES,
    StageClock,
    Work,
    decode_file,
    encode_texture,
    image_seed,
    synthesise,
)
from texneg.synth.task.squares import choose_squares, note_squares
from texneg.textures.exemplars import Square, cut_square

if TYPE_CHECKING:
    from texneg.train.networks.encoder import Encoder

F64 = npt.NDArray[np.float64]
Describe = Callable[[Pixels], F64]
"""The features of a picture, of unit length."""
DIGITS = 4  # of a leak

_OPEN: dict[Redrawing, Describe] = {}
_LOCK = Lock()


def read_fingerprint(encoder: str, arch: str | None) -> str:
    """Open an encoder and return its fingerprint, by which workers know it.

    Raises:
        InputError: there is none, or its weights do not fit.
    """
    return _load(encoder, arch).fingerprint


def open_describer(redrawing: Redrawing) -> Describe:
    """Open the encoder of a run, once in a process.

    Raises:
        InputError: there is none here, or another than the run began with.
    """
    with _LOCK:
        if redrawing not in _OPEN:
            encoder = _load(redrawing.leak_encoder, redrawing.leak_arch)
            if encoder.fingerprint != redrawing.leak_fingerprint:
                raise InputError(
                    f"--leak-encoder {redrawing.leak_encoder}: not the weights that the run began with;"
                    " bring those back, or choose another DST"
                )
            _OPEN[redrawing] = partial(_describe, encoder)
        return _OPEN[redrawing]


def _load(encoder: str, arch: str | None) -> "Encoder":
    import torch

    from texneg.train.networks.encoder import load_encoder
    from texneg.train.networks.imported import Foreign

    torch.set_num_threads(1)  # the sums, and so the leak, depend on the number
    try:
        return load_encoder(encoder, foreign=Foreign(arch=arch))
    except InputError as error:
        reason = str(error).replace("--arch", "--leak-arch").replace("--checkpoint", "--leak-encoder")
        raise InputError(f"--leak-encoder {encoder}: {reason}") from error


def _describe(encoder: "Encoder", pixels: Pixels) -> F64:
    import torch

    from texneg.train.evaluate.features import crop, to_network_input

    with torch.inference_mode():
        shown = torch.from_numpy(crop(pixels, encoder.preprocessing).copy())[None]
        values = encoder(to_network_input(shown, encoder))[0].double().numpy().copy()
    unit: F64 = values / max(float(np.linalg.norm(values)), 1e-12)
    return unit


def _cut(data: bytes, row: Row, settings: Settings, clock: StageClock) -> list[Pixels]:
    """Decode the image; its squares are chosen when the texture is made."""
    pixels = decode_file(data, row, settings, clock)
    choose_squares(pixels, row.image_seed, settings)  # refuses an image that is too small
    return [pixels]


def _make(patches: list[Pixels], row: Row, settings: Settings, clock: StageClock) -> Pixels:
    own = settings.redrawing
    assert own is not None
    describe = open_describer(own)
    with clock.time("synthesis"):
        image = describe(patches[0])
    found: tuple[float, int, Pixels] | None = None
    for number in range(own.leak_tries):
        made = _draw(patches[0], row, settings, clock, number)
        with clock.time("synthesis"):
            leak = round(float(image @ describe(made)), DIGITS)
        if found is None or leak < found[0]:
            found = leak, number, made
        if leak <= own.max_leak:
            break
    assert found is not None
    row.leak, row.leak_try, made = found
    note_squares(row, _take_seed(patches[0], row, settings, row.leak_try)[1])
    return made


def _take_seed(
    pixels: Pixels, row: Row, settings: Settings, number: int
) -> tuple[Pixels, tuple[Square, ...]]:
    """Give the row the seed of a try; returns the image as its squares see it, and them."""
    key = f"{row.key}\0{number}" if number else row.key
    row.image_seed = image_seed(settings.seed, key)
    return choose_squares(pixels, row.image_seed, settings)


def _draw(pixels: Pixels, row: Row, settings: Settings, clock: StageClock, number: int) -> Pixels:
    """Make the texture of a try."""
    with clock.time("synthesis"):
        seen, squares = _take_seed(pixels, row, settings, number)
        patches = [cut_square(seen, square) for square in squares]
    return synthesise(patches, row, settings, clock)


REDRAWN = Work(_cut, _make, encode_texture, TEXTURES.version)
