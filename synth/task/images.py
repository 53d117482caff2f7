"""One image to one texture, many images to textures and rows. Knows no cluster and writes no file."""

import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import NamedTuple

import cv2
import numpy as np

from texneg.datasets.decode import MAX_FILE_BYTES, DecodeError, decode
from texneg.datasets.encode import encode
from texneg.datasets.sources.items import Item
from texneg.datasets.storage.names import plain_name
from texneg.datasets.stored import Array, decode_stored, require_pixels
from texneg.errors import InputError
from texneg.memory import tune_allocator
from texneg.synth.ledger.ledger import STAGES
from texneg.synth.ledger.manifest import Row, Status
from texneg.synth.plan.plan import Settings
from texneg.synth.task.squares import choose_levels, choose_squares, note_squares
from texneg.textures.exemplars import cut_square
from texneg.textures.presets import PRESETS
from texneg.textures.texture import texture, warm_up

GROUP = 8  # images that go through a stage before the next begins: its code and data stay in the caches


class Texture(NamedTuple):
    """The texture of one image, ready to be written."""

    out: str
    """As in the row."""
    data: bytes
    """Encoded."""
    image: bytes
    """The file that it was made from, where the layout is paired; else empty."""


@dataclass
class StageClock:
    """Seconds of wall time by stage."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the duration of the block to a stage."""
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += perf_counter() - start


@dataclass
class PartResult:
    """Rows and textures of consecutive images."""

    rows: list[Row] = field(default_factory=list)
    textures: list[Texture] = field(default_factory=list)
    """One for each row that is ok."""
    clock: StageClock = field(default_factory=StageClock)

    def add(self, other: "PartResult") -> None:
        """Append the images that follow."""
        self.rows += other.rows
        self.textures += other.textures
        for stage, seconds in other.clock.seconds.items():
            self.clock.seconds[stage] += seconds


@dataclass
class ImageState:
    """An image between two stages."""

    item: Item
    out: str
    row: Row
    image: bytes = b""
    """As in `Texture`."""
    patches: list[Array] = field(default_factory=list)
    pixels: Array = field(default_factory=lambda: np.empty((0, 0, 3), np.uint8))
    """Of the texture."""


def prepare_process() -> None:
    """Set up a process that makes textures: one OpenCV thread, the kernel compiled, memory kept.

    Pillow's warnings about damaged files are silenced, since the manifest has their status.
    """
    cv2.setNumThreads(1)
    warnings.filterwarnings("ignore", module=r"PIL\.")
    tune_allocator()
    warm_up()


def image_seed(seed: int, key: str) -> int:
    """64-bit seed of one image: BLAKE2b of ("texneg.texture", seed, key). No split, shard, method or path."""
    text = "\0".join(["texneg.texture", str(seed), key])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def decode_file(data: bytes, row: Row, settings: Settings, clock: StageClock) -> Array:
    """Decode one image file, and fill in the row's fields about it.

    Raises:
        DecodeError: the image cannot be used.
    """
    row.src_sha256 = hashlib.sha256(data).digest()
    with clock.time("decode"):
        read = decode_stored if settings.pixels else decode
        decoded = read(data, upright=settings.exif == "apply", allow_truncated=settings.allow_truncated)
    if decoded.truncated:
        row.error = f"used as far as it goes: {decoded.truncated}"
    elif decoded.damage:
        row.error = f"used as it decodes: {decoded.damage}"
    row.width, row.height = decoded.width, decoded.height
    row.mode, row.format, row.exif_orientation = decoded.mode, decoded.format, decoded.exif_orientation
    if settings.pixels:
        require_pixels(decoded, settings.pixels)
    return decoded.pixels


def cut_patches(data: bytes, row: Row, settings: Settings, clock: StageClock) -> list[Array]:
    """Cut the exemplars out of one image file, and fill in the row's fields about the file and about them.

    Raises:
        DecodeError: the image cannot be used.
    """
    decoded = decode_file(data, row, settings, clock)
    with clock.time("synthesis"):
        pixels, squares = choose_squares(decoded, row.image_seed, settings)
        note_squares(row, squares)
        return [cut_square(pixels, square) for square in squares]


def synthesise(patches: list[Array], row: Row, settings: Settings, clock: StageClock) -> Array:
    """Make the texture of an image's exemplars."""
    with clock.time("synthesis"):
        made = texture(
            patches,
            size=settings.size,
            seed=row.image_seed,
            method=settings.method,
            levels=choose_levels(settings),
        )
        channels = patches[0].shape[2]  # grey of 8 bits comes back as three equal channels
        return made if made.shape[2] == channels else np.ascontiguousarray(made[..., :channels])


def encode_texture(pixels: Array, row: Row, settings: Settings, clock: StageClock) -> bytes:
    """Encode a texture, and fill in the row's fields about it."""
    with clock.time("encode"):
        encoded = encode(pixels, settings.encoding)
    note_output(row, encoded, pixels)
    return encoded


def note_output(row: Row, encoded: bytes, pixels: Array) -> None:
    """Fill in the row's fields about an output: its file, and the pixels that this has."""
    row.out_bytes = len(encoded)
    row.out_sha256 = hashlib.sha256(encoded).digest()
    row.pixels_blake2b = hashlib.blake2b(pixels.data, digest_size=16).digest()


class Work(NamedTuple):
    """The work on an image: three stages that fill in its row and charge their time to the clock."""

    cut: Callable[[bytes, Row, Settings, StageClock], list[Array]]
    """Take from a file the pixels to work on; raises `DecodeError` where it cannot be used."""
    make: Callable[[list[Array], Row, Settings, StageClock], Array]
    """Make the output of them."""
    encode: Callable[[Array, Row, Settings, StageClock], bytes]
    """Encode the output."""
    version: Callable[[Settings], int]
    """Version of the pixels that this process makes; a run records that of the process which began it."""


TEXTURES = Work(cut_patches, synthesise, encode_texture, lambda settings: PRESETS[settings.method].version)


def make_one(data: bytes, row: Row, settings: Settings, work: Work) -> bytes:
    """Make the encoded output of one image file, and fill in its row as far as that gets.

    Raises:
        DecodeError: the image cannot be used.
    """
    clock = StageClock()
    return work.encode(
        work.make(work.cut(data, row, settings, clock), row, settings, clock), row, settings, clock
    )


def make_outputs(
    items: Sequence[Item],
    outs: Sequence[str],
    settings: Settings,
    read: Callable[[Item], bytes],
    *,
    work: Work = TEXTURES,
    shard: int = 0,
    first: int = 0,
) -> PartResult:
    """Make outputs and rows of consecutive images; a bad image becomes a row with its reason.

    Args:
        items: the images.
        outs: names of their outputs.
        settings: of the run.
        read: bytes of an item; an exception that it raises ends the part.
        work: what is made of each image.
        shard: number of the shard, for the rows.
        first: position of the first item in the shard.
    """
    result = PartResult()
    for start in range(0, len(items), GROUP):
        group = zip(items[start : start + GROUP], outs[start : start + GROUP], strict=True)
        states = [
            ImageState(item, out, _new_row(item, settings, work, shard, first + start + i))
            for i, (item, out) in enumerate(group)
        ]
        result.rows += [state.row for state in states]
        for state in states:
            with _errors_in(state.row):
                data = _load(state.item, read, result.clock)
                state.patches = work.cut(data, state.row, settings, result.clock)
                state.image = data if settings.layout == "paired" else b""
        for state in states:
            with _errors_in(state.row):
                if state.row.ok:
                    state.pixels = work.make(state.patches, state.row, settings, result.clock)
        for state in states:
            with _errors_in(state.row):
                if state.row.ok:
                    encoded = work.encode(state.pixels, state.row, settings, result.clock)
                    state.row.out, state.row.out_name = state.out, plain_name(state.out)
                    result.textures.append(Texture(state.out, encoded, state.image))
    return result


def _new_row(item: Item, settings: Settings, work: Work, shard: int, index: int) -> Row:
    return Row(
        key=item.key,
        split=item.split,
        label=item.label,
        shard=shard,
        index=index,
        src=item.src,
        src_name=plain_name(item.src),
        src_bytes=item.size,
        image_seed=image_seed(settings.seed, item.key),
        method=settings.method,
        method_version=work.version(settings),
    )


@contextmanager
def _errors_in(row: Row) -> Iterator[None]:
    """Note in the row why its image cannot be used; other errors pass."""
    try:
        yield
    except DecodeError as error:
        row.status, row.error = Status(error.status), error.reason
    except InputError:  # a fault of the run, not of the image
        raise
    except (ValueError, ArithmeticError, IndexError) as error:
        row.status, row.error = Status.SYNTH_ERROR, f"{type(error).__name__}: {error}"


def _load(item: Item, read: Callable[[Item], bytes], clock: StageClock) -> bytes:
    if item.status:
        raise DecodeError(item.status, item.error)
    if item.size > MAX_FILE_BYTES:
        raise DecodeError("too_large", f"{item.size} bytes, the limit is {MAX_FILE_BYTES}")
    with clock.time("read"):
        data = read(item)
    if item.member and len(data) < item.size:
        raise DecodeError("truncated", f"the tar breaks off after {len(data)} of {item.size} bytes")
    return data
