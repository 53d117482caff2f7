"""Decoding of image files as they are stored: all their channels, in their own depth.

TIFF, .npy, PNG and PNM keep what they have; the other formats have 8 bits of RGB anyway. Of a TIFF the pages,
planes or samples are channels, of a .npy the last axis, or the first where only that has 16 entries or fewer.
"""

import logging
import math
import struct
from dataclasses import replace
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from texneg.datasets.complaints import complaints
from texneg.datasets.decode import MAX_PIXELS, Decoded, DecodeError, decode

Array = npt.NDArray[Any]

MOST_CHANNELS = 16
DEPTHS = ("uint8", "uint16", "float16", "float32", "float64")
_NPY_SIGNATURE = b"\x93NUMPY"
_TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PALETTE = 3  # of TIFF's photometric interpretations
_SAME_SPACE = ("PNG", "PPM")  # formats that OpenCV reads in their own depth
logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it says of a file is in its status


def decode_stored(
    data: bytes, *, max_pixels: int = MAX_PIXELS, upright: bool = False, allow_truncated: bool = False
) -> Decoded:
    """Decode one image file held in memory to (height, width, channels) of its own dtype.

    Args:
        data: the whole file; the content decides, not the file name.
        max_pixels: width x height above which nothing is decoded.
        upright: turn as EXIF says, where the format has it and is no TIFF.
        allow_truncated: as in `decode`; not of TIFF and .npy.

    Raises:
        DecodeError: with a status word and the reason, which names the remedy.
        MemoryError: it takes more than there is.
    """
    if data.startswith(_NPY_SIGNATURE):
        pixels, form = _order_axes(_read_npy(data)), "NPY"
    elif data.startswith(_TIFF_SIGNATURES):
        pixels, form = _read_tiff(data, max_pixels), "TIFF"
    else:
        decoded = decode(data, max_pixels=max_pixels, upright=upright, allow_truncated=allow_truncated)
        if decoded.format not in _SAME_SPACE or decoded.truncated:
            return decoded
        pixels = _read_unchanged(data)
        return replace(decoded, pixels=pixels, mode=describe_pixels(pixels))
    height, width, channels = pixels.shape
    if height * width > max_pixels:
        raise DecodeError("too_large", f"{width} x {height} pixels, the limit is {max_pixels}")
    if not 1 <= channels <= MOST_CHANNELS:
        raise DecodeError(
            "unsupported",
            f"{channels} channels: allowed is 1 to {MOST_CHANNELS}; keep those that matter, or make several"
            " images of it",
        )
    if pixels.dtype.name not in DEPTHS:
        raise DecodeError(
            "unsupported", f"pixels of {pixels.dtype.name}: allowed is {', '.join(DEPTHS)}; convert it"
        )
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        row, column, channel = np.argwhere(~np.isfinite(pixels))[0].tolist()
        value = pixels[row, column, channel]
        raise DecodeError(
            "unsupported",
            f"{value} at row {row}, column {column}, channel {channel}: replace what is no number,"
            " for example by the mean of its neighbours",
        )
    return Decoded(np.ascontiguousarray(pixels), width, height, describe_pixels(pixels), form, 1)


def describe_pixels(pixels: Array) -> str:
    """Describe depth and channels: `uint16 x 8`."""
    return f"{pixels.dtype.name} x {pixels.shape[2]}"


def require_pixels(decoded: Decoded, wanted: str) -> None:
    """Refuse an image whose depth or channels are not those of its set.

    Raises:
        DecodeError: unsupported, with both.
    """
    if (found := describe_pixels(decoded.pixels)) != wanted:
        raise DecodeError(
            "unsupported", f"{found} in a set of {wanted}: convert it, or put it into a set of its own"
        )


def resize(pixels: Array, height: int, width: int) -> Array:
    """Resize (H, W, C) bicubically, less what lies beyond the values of whole numbers."""
    if pixels.shape[:2] == (height, width):
        return pixels
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(pixels[..., channel], np.float32)).resize(
                (width, height), Image.Resampling.BICUBIC
            )
        )
        for channel in range(pixels.shape[2])
    ]
    made = np.stack(planes, axis=-1)
    if pixels.dtype.kind == "u":
        made = np.rint(made).clip(0, np.iinfo(pixels.dtype).max)
    return made.astype(pixels.dtype)


def _read_npy(data: bytes) -> Array:
    stream = BytesIO(data)
    try:
        form = np.lib.format
        read = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}[
            form.read_magic(stream)
        ]
        shape, fortran, dtype = read(stream)
        count, start = math.prod(shape), stream.tell()
        if dtype.hasobject or dtype.itemsize == 0:
            raise ValueError(f"it holds {dtype}, no numbers")
        if start + count * dtype.itemsize > len(data):
            raise DecodeError("truncated", f"{len(data)} bytes of a longer .npy file")
        array: Array = np.frombuffer(data, dtype, count, start).reshape(shape, order="F" if fortran else "C")
    except DecodeError:
        raise
    except Exception as error:  # NumPy evaluates the header, and leaks errors of Python's parser
        cut = "EOF" in str(error)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DecodeError(
            "truncated" if cut else "decode_error", f"no .npy array ({reason[:100]})"
        ) from error
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _order_axes(array: Array) -> Array:
    """The array as (height, width, channels)."""
    if array.ndim == 2:
        return array[..., None]
    if array.ndim != 3 or 0 in array.shape:
        raise DecodeError(
            "unsupported", f"an array of shape {array.shape}: allowed is (H, W), (H, W, C) and (C, H, W)"
        )
    first = array.shape[0] <= MOST_CHANNELS < array.shape[2]
    return array.transpose(1, 2, 0) if first else array


def _read_tiff(data: bytes, max_pixels: int) -> Array:
    """The first series of a TIFF: an image, or a stack of pages of one kind."""
    import tifffile

    _require_whole(data)
    try:
        with tifffile.TiffFile(BytesIO(data)) as file:
            series = file.series[0]
            axes, shape = series.axes, dict(zip(series.axes, series.shape, strict=True))
            if shape.get("Y", 0) * shape.get("X", 0) > max_pixels:
                raise DecodeError(
                    "too_large", f"{shape['X']} x {shape['Y']} pixels, the limit is {max_pixels}"
                )
            if series.keyframe.photometric == _PALETTE:
                raise DecodeError("unsupported", "a TIFF of palette colours: convert it to grey or RGB")
            for page in series.pages:
                spans = zip(page.dataoffsets, page.databytecounts, strict=True) if page is not None else ()
                if any(start + size > len(data) for start, size in spans):
                    raise DecodeError("truncated", f"{len(data)} bytes of a longer TIFF file")
            try:
                array = series.asarray()
            except ValueError as error:
                if "imagecodecs" not in str(error):
                    raise
                array, axes = _read_pages(data)
    except (DecodeError, MemoryError):
        raise
    except Exception as error:  # tifffile leaks struct.error, zlib.error, IndexError and others
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DecodeError("decode_error", f"damaged TIFF: {reason}") from error
    return _order_tiff(array, axes)


def _require_whole(data: bytes) -> None:
    """Refuse a TIFF whose chain of pages leads out of the file, since readers pass over missing pages."""
    order = "<" if data.startswith(b"II") else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    where, head, entry, count = (8, "Q", 20, "Q") if big else (4, "I", 12, "H")
    seen: set[int] = set()
    try:
        (page,) = struct.unpack_from(order + head, data, where)
        while page and page not in seen:
            seen.add(page)
            (entries,) = struct.unpack_from(order + count, data, page)
            (page,) = struct.unpack_from(
                order + head, data, page + struct.calcsize(f"={count}") + entry * entries
            )
    except struct.error:
        raise DecodeError("truncated", f"{len(data)} bytes of a longer TIFF file") from None


def _read_pages(data: bytes) -> tuple[Array, str]:
    """Pages that tifffile cannot decompress by itself (LZW, JPEG), read by OpenCV."""
    with complaints:
        good, pages = cv2.imdecodemulti(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if not good or not pages:
        raise DecodeError(
            "unsupported",
            "a TIFF of this compression and number of channels needs the package imagecodecs: install it, on"
            " all workers, or store the file without compression",
        )
    array = np.stack([_reverse_colours(np.asarray(page)) for page in pages])
    return (array[..., 0], "IYX") if array.shape[3] == 1 else (array, "IYXS")


def _order_tiff(array: Array, axes: str) -> Array:
    """The array as (height, width, channels), by the names of its axes."""
    rest = [axis for axis, length in zip(axes, array.shape, strict=True) if axis not in "YX" and length > 1]
    if len(rest) > 1 or axes.count("Y") != 1 or axes.count("X") != 1:
        raise DecodeError(
            "unsupported",
            f"a TIFF with axes {axes} of {' x '.join(map(str, array.shape))}: allowed is one axis beside rows"
            " and columns; make one image of each, or a stack of the channels",
        )
    wanted = [axis for axis in axes if axis in "YX" or axis in rest]
    lengths = dict(zip(axes, array.shape, strict=True))
    array = array.reshape([lengths[axis] for axis in wanted])
    order = [wanted.index("Y"), wanted.index("X"), *(wanted.index(axis) for axis in rest)]
    array = array.transpose(order)
    return array if rest else array[..., None]


def _read_unchanged(data: bytes) -> Array:
    with complaints:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise DecodeError("decode_error", "OpenCV does not read it in its own depth")
    return np.ascontiguousarray(_reverse_colours(np.asarray(pixels)))


def _reverse_colours(pixels: Array) -> Array:
    """Pixels of OpenCV, BGR or BGRA or one channel, as (height, width, channels) in RGB order."""
    if pixels.ndim == 2:
        return pixels[..., None]
    return pixels[..., [2, 1, 0, *range(3, pixels.shape[2])]] if pixels.shape[2] >= 3 else pixels
