"""Caches of a data set: its images shrunk once, raw or as JPEG, in one file that is mapped into memory.

A folder with `images.bin`, the images one after the other; `index.bin`, four int64 for each: offset, bytes,
height, width; and `cache.json`, which says of what and how they were made. Bytes go to disk before their rows
of the index, so that building goes on where it was killed.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from texneg.cli.console import format_bytes, plural
from texneg.cores import available_cores
from texneg.datasets.decode import DecodeError, Pixels
from texneg.datasets.fingerprint import describe_change, is_same, sample_fingerprint
from texneg.datasets.images import ImageSet
from texneg.datasets.storage.atomic import write_errors
from texneg.datasets.storage.json_files import read_json, write_json
from texneg.datasets.storage.places import free_bytes, map_in_order
from texneg.errors import InputError, RunFailed

HEADER, IMAGES, INDEX = "cache.json", "images.bin", "index.bin"
QUALITY = 90
CHUNK = 256  # images between two waits for the disk
NONE = -1  # offset of an image that cannot be read

Encoding = Literal["raw", "jpeg"]
Made = tuple[bytes, int, int] | DecodeError
"""Bytes, height and width of an image, or the reason why there is none."""


@dataclass(frozen=True)
class Recipe:
    """The making of a cache: the same images under the same recipe give the same files."""

    side: int
    """Pixels of the shorter side at most; smaller images stay as they are."""
    encoding: Encoding
    quality: int
    """Of JPEG; 0 for raw pixels."""
    allow_truncated: bool
    """Truncated files are used as far as they go."""
    fingerprint: str
    """`sample_fingerprint` of the images."""
    n: int
    """Images, those that cannot be read among them."""


class Cache:
    """The images of a finished cache by index; processes share its pages."""

    def __init__(self, folder: Path, recipe: Recipe, unreadable: dict[str, str]) -> None:
        self.folder, self.recipe, self.unreadable = folder, recipe, unreadable
        index = np.fromfile(folder / INDEX, np.int64).reshape(-1, 4)
        size = (folder / IMAGES).stat().st_size
        if len(index) != recipe.n or (index[:, 0] + index[:, 1]).max(initial=0) > size:
            raise InputError(f"{folder} is not whole; remove it, and make it again with texneg cache")
        self._index = index
        self._bytes = np.asarray(np.memmap(folder / IMAGES, np.uint8, "r")) if size else np.empty(0, np.uint8)

    def __call__(self, i: int) -> Pixels:
        """Return image i, uint8 (height, width, 3); raw pixels are a view of the file."""
        offset, size, height, width = self._index[i].tolist()
        data = self._bytes[offset : offset + size]
        if self.recipe.encoding == "raw":
            return data.reshape(height, width, 3)
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
        if pixels is None:
            raise DecodeError("decode_error", f"image {i} of the cache {self.folder} is damaged")
        return np.asarray(pixels, np.uint8)

    def check(self, images: ImageSet, *, skip_unreadable: bool, allow_truncated: bool) -> None:
        """Refuse a cache of other images than these.

        Args:
            images: all that the data set holds.
            skip_unreadable: the run goes without images that cannot be read.
            allow_truncated: it uses truncated files as far as they go.

        Raises:
            InputError: says what differs.
        """
        made_of, now = self.recipe.fingerprint, sample_fingerprint(images)
        if not is_same(made_of, now):
            raise InputError(
                f"--cache {self.folder} was made of other images than {images.root} holds now"
                f" ({describe_change(made_of, now)}); make another with texneg cache"
            )
        if self.unreadable and not skip_unreadable:
            raise InputError(
                f"--cache {self.folder} lacks {plural(len(self.unreadable), 'image')} that could not be read"
                f" (first: {next(iter(self.unreadable.values()))}): give --skip-unreadable"
            )
        if self.recipe.allow_truncated != allow_truncated:
            flag = "--allow-truncated" if self.recipe.allow_truncated else "--no-allow-truncated"
            raise InputError(f"--cache {self.folder} was made with {flag}: give the same here")


def open_cache(path: str | Path) -> Cache:
    """Open a finished cache.

    Raises:
        InputError: there is none, or it is unfinished or damaged.
    """
    folder = Path(path)
    header = read_json(folder / HEADER, remedy="make a cache with texneg cache")
    try:
        recipe, unreadable = Recipe(**header["recipe"]), header["unreadable"]
    except (KeyError, TypeError):
        raise InputError(f"{folder / HEADER} is of another version; make it again (texneg cache)") from None
    if not header.get("finished"):
        raise InputError(f"--cache {folder} is unfinished: run the same texneg cache again, which goes on")
    try:
        return Cache(folder, recipe, unreadable)
    except OSError as error:
        raise InputError(
            f"--cache {folder} cannot be read ({error.strerror}); remove it, and make it again with texneg"
            " cache"
        ) from error


def write_cache(
    folder: Path,
    images: ImageSet,
    recipe: Recipe,
    *,
    skip_unreadable: bool,
    advance: Callable[[int], object] = lambda images: None,
) -> Cache:
    """Write a cache, or go on writing it where that was interrupted.

    Args:
        folder: of the cache.
        images: to take, with the policy for truncated files.
        recipe: what is made of them.
        skip_unreadable: leave out images that cannot be read, and name them.
        advance: receives numbers of finished images.

    Raises:
        InputError: the folder holds something else, or an image cannot be read.
        RunFailed: the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    header: dict[str, Any] = {"recipe": asdict(recipe), "unreadable": {}, "finished": False}
    known = read_json(folder / HEADER) if (folder / HEADER).exists() else None
    if known is None and any(folder.iterdir()):
        raise InputError(f"{folder} is neither empty nor a cache; use another folder")
    if known is not None and known.get("recipe") != header["recipe"]:
        raise InputError(f"{folder} holds a cache of other images or options; remove it, or name another")
    if known is not None and known.get("finished"):
        return open_cache(folder)
    header = known or header
    with (
        write_errors(folder, "it goes on"),
        (folder / IMAGES).open("ab+") as data,
        (folder / INDEX).open("ab+") as rows,
    ):
        try:
            fcntl.flock(data, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{folder} is being written by another texneg cache; wait for it") from None
        write_json(folder / HEADER, header)
        done = cut_back(data.fileno(), rows.fileno())
        advance(done)
        rest = make_rest(images, recipe, done)
        while chunk := list(islice(rest, CHUNK)):
            if data.tell() == 0:
                require_room(folder, chunk, len(images))
            index = np.empty((len(chunk), 4), np.int64)
            for row, (i, made) in zip(index, chunk, strict=True):
                if isinstance(made, DecodeError):
                    if not skip_unreadable:
                        raise InputError(
                            f"{made}: replace this image, or give --skip-unreadable or --allow-truncated"
                        )
                    header["unreadable"][images.full_name(i)] = str(made)
                    row[:] = NONE, 0, 0, 0
                    continue
                content, height, width = made
                row[:] = data.tell(), len(content), height, width
                data.write(content)
            data.flush()
            os.fsync(data.fileno())
            write_json(folder / HEADER, header)
            rows.write(index.tobytes())
            rows.flush()
            advance(len(chunk))
        os.fsync(rows.fileno())
        write_json(folder / HEADER, header | {"finished": True})
    return open_cache(folder)


def require_room(folder: Path, chunk: list[tuple[int, Made]], n: int) -> None:
    """Refuse to begin a cache of n images where it will not fit, going by its first images.

    Raises:
        InputError: says how much is missing; the folder is as it was.
    """
    needed = sum(len(made[0]) for _, made in chunk if not isinstance(made, DecodeError)) * n // len(chunk)
    if needed > (free := free_bytes(folder)):
        for name in (HEADER, IMAGES, INDEX):
            (folder / name).unlink()
        raise InputError(
            f"{folder} would hold about {format_bytes(needed)}, and {format_bytes(free)} are free there: make"
            " room, or give a smaller --side or --format jpeg"
        )


def cut_back(data: int, rows: int) -> int:
    """Cut off what a kill left without its row; return the images that are there."""
    whole = os.fstat(rows).st_size // 32
    index = np.frombuffer(os.pread(rows, 32 * whole, 0), np.int64).reshape(-1, 4)
    held = np.flatnonzero((index[:, 0] + index[:, 1]) > os.fstat(data).st_size)
    index = index[: held[0]] if len(held) else index
    os.ftruncate(rows, 32 * len(index))
    os.ftruncate(data, int((index[:, 0] + index[:, 1]).max(initial=0)))
    os.lseek(data, 0, os.SEEK_END)
    return len(index)


def make_rest(images: ImageSet, recipe: Recipe, done: int) -> Iterator[tuple[int, Made]]:
    """Make the images from place `done` on, in threads; in place of one that cannot be read, its error."""

    def make(i: int) -> tuple[int, Made]:
        try:
            pixels = shrink(images[i][0], recipe.side)
        except DecodeError as error:
            return i, error
        except OSError as error:
            raise RunFailed(
                f"{images.full_name(i)} of {images.root} cannot be read ({error.strerror}); run the same"
                " command again: it goes on"
            ) from error
        return i, (encode_pixels(pixels, recipe), *pixels.shape[:2])

    threads = min(16, available_cores())
    return map_in_order(make, range(done, len(images)), threads=threads, ahead=4 * threads)


def encode_pixels(pixels: Pixels, recipe: Recipe) -> bytes:
    """Encode the pixels of one image for the cache."""
    if recipe.encoding == "raw":
        return pixels.tobytes()
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=recipe.quality)
    return buffer.getvalue()


def shrink(pixels: npt.NDArray[np.uint8], side: int) -> Pixels:
    """Reduce the shorter side of an image to `side` pixels, antialiased; smaller images stay as they are."""
    height, width = pixels.shape[:2]
    scale = side / min(height, width)
    if scale >= 1:
        return pixels
    size = max(side, round(width * scale)), max(side, round(height * scale))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
