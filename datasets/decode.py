"""Decoding of image files to RGB pixels: one policy for every odd file, a status word for every bad one.

Ordinary JPEG goes through OpenCV, which returns Pillow's bytes in less time; everything else goes through
Pillow with an explicit list of formats. EXIF rotation is ignored, as in torchvision's loader, without
`upright`.
"""

import zlib
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, UnidentifiedImageError

from texneg.datasets.complaints import complaints, join_complaints
from texneg.datasets.metadata import PNG_SIGNATURE, png_chunks, strip_metadata

Pixels = npt.NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
MAX_FILE_BYTES = 256 * 2**20
MAX_PIXELS = 2 * 89_478_485  # Pillow's own limit against decompression bombs

_MAGIC = (
    *(b"\xff\xd8\xff", PNG_SIGNATURE[:6], b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF"),
    *(b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"),
)
_JPEG_BEGIN = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
_DAMAGE = ("Corrupt JPEG data", "Premature end of JPEG")
_ORIENTATION_TAG = 0x0112
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")
_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")


class DecodeError(ValueError):
    """An image that cannot be used; `status` is empty, truncated, too_large, unsupported or decode_error."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(status, reason)
        self.status, self.reason = status, reason

    def __str__(self) -> str:
        return f"{self.status}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Decoded:
    """Pixels, and the properties that the file states."""

    pixels: npt.NDArray[Any]
    """uint8 (height, width, 3), RGB; (width, height, 3) where EXIF says so and `upright` was given. Of
    `stored.decode_stored` any depth and number of channels."""
    width: int
    height: int
    mode: str
    """Pillow's mode of the file, such as L, RGB, CMYK, P, I;16."""
    format: str
    exif_orientation: int
    """1 to 8; 1 where the file has none."""
    truncated: str = ""
    """Description of the cut, where truncated files are allowed; the missing pixels are grey or black."""
    damage: str = ""
    """Complaint of the JPEG library about pixels that it gives all the same, as Pillow and torchvision do."""


def decode(
    data: bytes, *, max_pixels: int = MAX_PIXELS, upright: bool = False, allow_truncated: bool = False
) -> Decoded:
    """Decode one image file held in memory.

    Grey becomes three equal channels, 16-bit grey is scaled to 8 bit, transparency is laid over white,
    CMYK is converted by Pillow, an animation gives its first frame. The content decides, not the file name.

    Args:
        data: the whole file.
        max_pixels: width x height above which nothing is decoded, at most Pillow's own limit.
        upright: turn and mirror the pixels as EXIF says.
        allow_truncated: of a file that is cut short take what there is, as Pillow does when its switch
            LOAD_TRUNCATED_IMAGES is on. The switch itself stays as it is: it would act on every thread.

    Raises:
        DecodeError: with a status word and the reason.
        MemoryError: it takes more than there is.
    """
    if not data:
        raise DecodeError("empty", "the file has no bytes")
    try:
        decoded = _decode_or_diagnose(data, max_pixels)
    except DecodeError as error:
        if not allow_truncated or error.status != "truncated":
            raise
        decoded = replace(_decode_or_diagnose(data, max_pixels, partly=True), truncated=error.reason)
    return replace(decoded, pixels=_turn_upright(decoded)) if upright else decoded


def _decode_or_diagnose(data: bytes, max_pixels: int, *, partly: bool = False) -> Decoded:
    """Decode, and turn whatever Pillow raises into a DecodeError."""
    try:
        with complaints as heard:
            decoded = _decode_pixels(data, max_pixels, partly)
        damage = join_complaints(heard)
        return replace(decoded, damage=damage) if damage.startswith(_DAMAGE) else decoded
    except (DecodeError, MemoryError):  # the latter is no fault of the image
        raise
    except Image.DecompressionBombError as error:
        raise DecodeError("too_large", str(error)) from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, OverflowError) as error:
        status, reason = _diagnose(data, error)
        raise DecodeError(status, f"{reason}; {join_complaints(heard)}" if heard else reason) from error
    except Exception as error:  # Pillow's readers also leak struct.error, zlib.error and others
        raise DecodeError("decode_error", f"{type(error).__name__}: {error}") from error


def _decode_pixels(data: bytes, max_pixels: int, partly: bool) -> Decoded:
    """Decode a file; where that fails and it has metadata, without them."""
    try:
        return _decode(data, max_pixels, partly)
    except (MemoryError, Image.DecompressionBombError):
        raise
    except Exception as error:
        bare = strip_metadata(data)
        if bare == data or (isinstance(error, DecodeError) and error.status != "decode_error"):
            raise
        try:
            return _decode(bare, max_pixels, partly)
        except OSError:
            if _is_cut(error):  # a fault of the pixels, then
                raise error from None
            raise


def _decode(data: bytes, max_pixels: int, partly: bool) -> Decoded:
    end = _JPEG_END if partly and data.startswith(_JPEG_BEGIN) else b""
    with Image.open(BytesIO(data + end), formats=FORMATS) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise DecodeError("too_large", f"{width} x {height} pixels, the limit is {max_pixels}")
        found = (width, height, image.mode, str(image.format), _read_orientation(image))
        if image.format == "PNG":
            _check_png(data)
        if partly:
            _load_partly(image)
        pixels = _decode_ordinary_jpeg(data) if _is_ordinary_jpeg(image, data) else None
        return Decoded(_to_rgb(image) if pixels is None else pixels, *found)


def _load_partly(image: ImageFile.ImageFile) -> None:
    """Decode as far as the data go. A JPEG was given an end mark by then."""
    with suppress(OSError, EOFError):
        image.load()
    image.tile = []


def _is_ordinary_jpeg(image: Image.Image, data: bytes) -> bool:
    """True for 8-bit grey or colour that is not cut short: OpenCV would fill the rest with grey."""
    return image.format == "JPEG" and image.mode in ("L", "RGB") and data.endswith(_JPEG_END)


def _decode_ordinary_jpeg(data: bytes) -> Pixels | None:
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    return None if pixels is None else np.asarray(pixels, np.uint8)


def _check_png(data: bytes) -> None:
    """Refuse a PNG with a wrong checksum, for which Pillow may give black pixels. A cut file may pass."""
    for kind, start, end in png_chunks(data):
        if end <= len(data) and zlib.crc32(data[start + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            raise DecodeError("decode_error", f"wrong checksum of a {kind.decode('ascii', 'replace')} chunk")


def _to_rgb(image: Image.Image) -> Pixels:
    image.load()
    if image.mode in _SIXTEEN_BIT or (image.mode == "I" and image.format in ("PNG", "PPM")):
        grey = (np.asarray(image).astype(np.uint32) + 128) // 257
        return np.repeat(grey.clip(0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise DecodeError("unsupported", f"mode {image.mode} has no defined white; convert it to 8 or 16 bit")
    if image.mode in _ALPHA or "transparency" in image.info:
        opaque = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", opaque.size, "white"), opaque)
    return np.array(image.convert("RGB"))


def _read_orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
        return int(value) if value in range(1, 9) else 1
    except Exception:  # broken EXIF is never an error: the pixels do not depend on it
        return 1


def _turn_upright(decoded: Decoded) -> Pixels:
    """Turn and mirror the pixels so that the first row is on top and the first column on the left."""
    number, pixels = decoded.exif_orientation, decoded.pixels
    if number >= 5:  # rows are columns
        pixels = pixels.transpose(1, 0, 2)
    vertically, horizontally = number in (3, 4, 7, 8), number in (2, 3, 6, 7)
    return np.ascontiguousarray(pixels[:: -1 if vertically else 1, :: -1 if horizontally else 1])


def _diagnose(data: bytes, error: Exception) -> tuple[str, str]:
    """Return status and reason for a file that Pillow refused."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if not data.startswith(_MAGIC):
        return "unsupported", f"not one of {', '.join(FORMATS)}"
    if data.startswith(b"RIFF") and len(data) < 8 + int.from_bytes(data[4:8], "little"):
        return "truncated", f"{len(data)} bytes of a longer WebP file"
    if isinstance(error, UnidentifiedImageError):
        return "decode_error", "damaged header"
    return ("truncated" if _is_cut(error) else "decode_error"), reason


def _is_cut(error: Exception) -> bool:
    return "truncated" in str(error).lower() or isinstance(error, EOFError)
