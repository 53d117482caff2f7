"""Photographs of a tar: as class folders for runs, as pairs of exemplars for texture methods.

Exemplars without randomness: names in the tar sorted bytewise, every sixth, the first forty (k = 0 ... 39);
96 px at the centre, and 96 px at top (h - 96) (37 k mod 101) / 100, left (w - 96) (61 k mod 101) / 100,
rounded down.
"""

import hashlib
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from texneg.errors import InputError

U8 = npt.NDArray[np.uint8]

SUFFIXES = (".jpg", ".jpeg", ".JPEG", ".png")
PHOTOS, EVERY, SIDE = 40, 6, 96


@contextmanager
def open_photos(tar: Path) -> Iterator[tarfile.TarFile]:
    """Open a tar; an error in reading it names the file on one line.

    Raises:
        InputError: no such file, or no tar.
    """
    try:
        with tarfile.open(tar) as archive:
            yield archive
    except (OSError, tarfile.TarError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0].rstrip(":")
        raise InputError(f"{tar} cannot be read as a tar of photographs: {reason}") from error


def describe_photos(tar: Path) -> str:
    """Name and hash of the tar."""
    return f"{tar.name}, sha256 {hashlib.sha256(tar.read_bytes()).hexdigest()}"


def photo_pairs(tar: Path) -> list[list[U8]]:
    """Forty pairs of (96, 96, 3) exemplars.

    Raises:
        InputError: no such tar, or too few or too small photographs in it.
    """
    with open_photos(tar) as archive:
        names = sorted(name for name in archive.getnames() if name.lower().endswith((".jpeg", ".jpg")))
        files = [archive.extractfile(name) for name in names[: PHOTOS * EVERY : EVERY]]
        photos = [np.asarray(Image.open(BytesIO(file.read())).convert("RGB")) for file in files if file]
    if len(photos) < PHOTOS or min(min(photo.shape[:2]) for photo in photos) < SIDE:
        raise InputError(
            f"{tar} has {len(names)} JPEG files; {PHOTOS} photographs are taken, every {EVERY}th, with sides"
            f" from {SIDE} px: give a larger tar"
        )
    return [exemplars(photo, k) for k, photo in enumerate(photos)]


def exemplars(photo: U8, k: int) -> list[U8]:
    """The two (96, 96, 3) cuts of photograph k."""
    height, width = photo.shape[:2]
    centre = height // 2 - SIDE // 2, width // 2 - SIDE // 2
    other = (height - SIDE) * (37 * k % 101) // 100, (width - SIDE) * (61 * k % 101) // 100
    return [photo[y : y + SIDE, x : x + SIDE] for y, x in (centre, other)]


def read_photos(tar: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name, without folders, and the bytes of every photograph in a tar."""
    with open_photos(tar) as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.name.endswith(SUFFIXES) else None
            if stream is not None:
                yield Path(member.name).name, stream.read()


def unpack_photos(tar: Path, folder: Path, *, classes: int, times: int = 1) -> int:
    """Write every photograph under `times` names, spread over the classes; return the number of files.

    Raises:
        InputError: no such tar, or no photograph in it.
    """
    count = 0
    for name, data in read_photos(tar):
        for i in range(times):
            path = folder / f"class{count % classes}" / f"{i}_{name}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            count += 1
    if not count:
        raise InputError(f"{tar} holds no file that ends in {', '.join(SUFFIXES)}: give a tar of photographs")
    return count
