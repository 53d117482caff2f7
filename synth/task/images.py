"""One image to one texture, a run of images to textures and rows. Knows no cluster and writes no file."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from PIL import Image

from texneg.datasets.decode import MAX_FILE_BYTES, MAX_PIXELS, DecodeError, Pixels, decode
from texneg.datasets.encode import encode
from texneg.datasets.sources.items import Item
from texneg.errors import InputError
from texneg.synth.ledger.manifest import Row
from texneg.synth.plan.settings import Settings, Small
from texneg.synth.task.clock import Clock
from texneg.textures.exemplars import exemplar_places, exemplars
from texneg.textures.presets import PRESETS
from texneg.textures.texture import texture

SMALLEST_SHARE = 3  # a patch smaller than a third of the nominal size shows no texture: 32 px of 96
LARGEST_ZOOM = 8
GROUP = 8  # images that go through a stage before the next begins: its code and data stay in the caches


class Made(NamedTuple):
    """What became of one image."""

    out: str
    """As in the row."""
    texture: bytes
    """Encoded."""
    image: bytes
    """The file it was made of, where the layout is paired; else empty."""


@dataclass
class Part:
    """What a run of images became."""

    rows: list[Row]
    made: list[Made]
    """One for each row that is ok."""
    clock: Clock


@dataclass
class Draft:
    """An image on its way to a texture."""

    item: Item
    out: str
    row: Row
    image: bytes = b""
    """As in `Made`."""
    patches: list[Pixels] = field(default_factory=list)
    pixels: Pixels = field(default_factory=lambda: np.empty((0, 0, 3), np.uint8))
    """Of the texture."""

    @property
    def good(self) -> bool:
        """Whether nothing has gone wrong so far."""
        return bool(self.row["status"] == "ok")


def image_seed(seed: int, key: str) -> int:
    """64-bit seed of one image: BLAKE2b of ("texneg.texture", seed, key). No split, shard, method or path."""
    text = "\0".join(["texneg.texture", str(seed), key])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def patch_size(height: int, width: int, *, size: int, small: Small) -> tuple[int, float]:
    """Side of the exemplars of an image, px, and the factor by which the image is enlarged first.

    Images with a short side under `size` take half of it, then their short side down to a third of it.

    Raises:
        DecodeError: too_small, or too_large once enlarged.
    """
    short = min(height, width)
    if short >= size:
        return size, 1.0
    if small == "upscale" and short * LARGEST_ZOOM >= size:
        zoom = size / short
        if height * zoom * width * zoom > MAX_PIXELS:
            raise DecodeError("too_large", f"{width} x {height} px enlarged {zoom:.1f} times")
        return size, zoom
    if small == "shrink-patch" and short >= size // 2:
        return size // 2, 1.0
    if small == "shrink-patch" and short * SMALLEST_SHARE >= size:
        return short, 1.0
    raise DecodeError("too_small", f"{width} x {height} px for patches of {size} px")


def enlarged(pixels: Pixels, zoom: float) -> Pixels:
    """The image bicubically enlarged; itself for a zoom of 1."""
    if zoom == 1.0:
        return pixels
    height, width = (max(1, round(side * zoom)) for side in pixels.shape[:2])
    return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def make_texture(data: bytes, row: Row, settings: Settings, clock: Clock) -> bytes:
    """Encoded texture of one image file; fills in the row as far as it gets.

    Raises:
        DecodeError: the image cannot be used.
    """
    patches = cut_patches(data, row, settings, clock)
    return packed(synthesised(patches, row, settings, clock), row, settings, clock)


def cut_patches(data: bytes, row: Row, settings: Settings, clock: Clock) -> list[Pixels]:
    """The exemplars of one image file; fills in what the row says of it and of them.

    Raises:
        DecodeError: the image cannot be used.
    """
    row["src_sha256"] = hashlib.sha256(data).digest()
    with clock.time("decode"):
        decoded = decode(data, upright=settings.exif == "apply", allow_truncated=settings.allow_truncated)
    if decoded.truncated:
        row["error"] = f"used as far as it goes: {decoded.truncated}"
    row.update(
        width=decoded.width,
        height=decoded.height,
        mode=decoded.mode,
        format=decoded.format,
        exif_orientation=decoded.exif_orientation,
    )
    with clock.time("synthesis"):
        height, width = decoded.pixels.shape[:2]
        side, zoom = patch_size(height, width, size=settings.exemplar_size, small=settings.small)
        pixels, seed = enlarged(decoded.pixels, zoom), row["image_seed"]
        (ay, ax), (by, bx) = exemplar_places(*pixels.shape[:2], size=side, seed=seed)
        row.update(patch_size=side, patch_a_x=ax, patch_a_y=ay, patch_b_x=bx, patch_b_y=by)
        return exemplars(pixels, size=side, seed=seed)


def synthesised(patches: list[Pixels], row: Row, settings: Settings, clock: Clock) -> Pixels:
    """The texture of the exemplars of a row's image."""
    with clock.time("synthesis"):
        return texture(patches, size=settings.size, seed=row["image_seed"], method=settings.method)


def packed(pixels: Pixels, row: Row, settings: Settings, clock: Clock) -> bytes:
    """The encoded texture; fills in what the row says of it."""
    with clock.time("encode"):
        encoded = encode(pixels, settings.encoding)
    row.update(
        out_bytes=len(encoded),
        out_sha256=hashlib.sha256(encoded).digest(),
        pixels_blake2b=hashlib.blake2b(pixels.data, digest_size=16).digest(),
    )
    return encoded


def process_part(
    items: Sequence[Item],
    outs: Sequence[str],
    settings: Settings,
    read: Callable[[Item], bytes],
    *,
    shard: int = 0,
    first: int = 0,
) -> Part:
    """Textures and manifest rows of a run of images; a bad image becomes a row with its reason.

    Args:
        items: the images.
        outs: where each texture goes.
        settings: of the run.
        read: bytes of an item; what it raises ends the part.
        shard: number of the shard, for the rows.
        first: place of the first item in the shard.
    """
    part = Part([], [], Clock())
    for start in range(0, len(items), GROUP):
        drafts = [
            Draft(item, out, _new_row(item, settings, shard, first + start + i))
            for i, (item, out) in enumerate(
                zip(items[start : start + GROUP], outs[start : start + GROUP], strict=True)
            )
        ]
        part.rows += [draft.row for draft in drafts]
        for draft in drafts:
            with _excused(draft.row):
                data = _load(draft.item, read, part.clock)
                draft.patches = cut_patches(data, draft.row, settings, part.clock)
                draft.image = data if settings.layout == "paired" else b""
        for draft in drafts:
            with _excused(draft.row):
                if draft.good:
                    draft.pixels = synthesised(draft.patches, draft.row, settings, part.clock)
        for draft in drafts:
            with _excused(draft.row):
                if draft.good:
                    encoded = packed(draft.pixels, draft.row, settings, part.clock)
                    draft.row["out"] = draft.out
                    part.made.append(Made(draft.out, encoded, draft.image))
    return part


def _new_row(item: Item, settings: Settings, shard: int, index: int) -> Row:
    return {
        "key": item.key,
        "split": item.split,
        "label": item.label,
        "shard": shard,
        "index": index,
        "src": item.src,
        "src_bytes": item.size,
        "status": "ok",
        "image_seed": image_seed(settings.seed, item.key),
        "method": settings.method,
        "method_version": PRESETS[settings.method].version,
    }


@contextmanager
def _excused(row: Row) -> Iterator[None]:
    """An image that cannot be used gives a row with its reason, and no texture."""
    try:
        yield
    except DecodeError as error:
        row.update(status=error.status, error=error.reason)
    except InputError:  # a fault of the run, not of the image
        raise
    except (ValueError, ArithmeticError, IndexError) as error:
        row.update(status="synth_error", error=f"{type(error).__name__}: {error}")


def _load(item: Item, read: Callable[[Item], bytes], clock: Clock) -> bytes:
    if item.status:
        raise DecodeError(item.status, item.error)
    if item.size > MAX_FILE_BYTES:
        raise DecodeError("too_large", f"{item.size} bytes, the limit is {MAX_FILE_BYTES}")
    with clock.time("read"):
        data = read(item)
    if item.member and len(data) < item.size:
        raise DecodeError("truncated", f"the tar breaks off after {len(data)} of {item.size} bytes")
    return data
