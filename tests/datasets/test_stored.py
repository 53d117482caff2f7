"""Files of any channels and depth: every layout of them gives the same pixels, every fault its reason."""

import io
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from texneg.datasets.decode import DecodeError, decode
from texneg.datasets.encode import encode
from texneg.datasets.stored import DEPTHS, decode_stored, resize


def draw(shape: tuple[int, ...], depth: str = "uint16", seed: int = 0) -> Any:
    values = np.random.default_rng(seed).random(shape)
    return (values * 60000).astype(depth) if depth.startswith("u") else values.astype(depth)


def tiff(pixels: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@given(
    shape=st.tuples(st.integers(17, 40), st.integers(17, 40), st.integers(1, 16)),
    depth=st.sampled_from(DEPTHS),
    encoding=st.sampled_from(["tiff", "npy"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_what_is_encoded_is_decoded(shape: tuple[int, ...], depth: str, encoding: Any, seed: int) -> None:
    pixels = draw(shape, depth, seed)
    data = encode(pixels, encoding)
    assert data == encode(pixels.copy(order="F"), encoding)
    found = decode_stored(data)
    np.testing.assert_array_equal(found.pixels, pixels)
    assert found.pixels.dtype == pixels.dtype
    assert found.pixels.flags.c_contiguous
    assert (found.height, found.width) == shape[:2]
    assert found.mode == f"{depth} x {shape[2]}"


def test_every_layout_of_a_tiff_gives_the_same_pixels() -> None:
    pixels = draw((30, 40, 8))
    planes = np.moveaxis(pixels, 2, 0)
    grey: dict[str, Any] = {"photometric": "minisblack"}
    files = {
        "samples": tiff(pixels, planarconfig="contig", **grey),
        "planes": tiff(planes, planarconfig="separate", **grey),
        "pages": tiff(planes, **grey),
        "compressed pages": tiff(planes, compression="zlib", metadata=None, **grey),
        "ImageJ": tiff(planes, imagej=True, metadata={"axes": "CYX"}),
        "OME": tiff(planes, ome=True, metadata={"axes": "CYX"}, **grey),
        "big": tiff(planes, bigtiff=True, **grey),
        "big-endian": tiff(planes, byteorder=">", **grey),
        "tiles": tiff(pixels, tile=(16, 16), planarconfig="contig", **grey),
    }
    for name, data in files.items():
        np.testing.assert_array_equal(decode_stored(data).pixels, pixels, name)


def test_compression_that_tifffile_lacks_is_read_by_opencv() -> None:
    colours = (draw((30, 40, 3)) >> 8).astype(np.uint8)
    for compression in ("tiff_lzw", "packbits", "tiff_deflate"):
        buffer = io.BytesIO()
        Image.fromarray(colours).save(buffer, "TIFF", compression=compression)
        np.testing.assert_array_equal(decode_stored(buffer.getvalue()).pixels, colours)
    grey = draw((30, 40))
    _, data = cv2.imencode(".tif", grey, [cv2.IMWRITE_TIFF_COMPRESSION, 5])
    np.testing.assert_array_equal(decode_stored(data.tobytes()).pixels[..., 0], grey)


def test_png_keeps_its_depth_and_the_others_are_rgb() -> None:
    pixels = draw((30, 40, 4))
    for wanted, order in ((pixels, [2, 1, 0, 3]), (pixels[..., :3], [2, 1, 0]), (pixels[..., :1], [0])):
        _, data = cv2.imencode(".png", np.ascontiguousarray(wanted[..., order]))
        np.testing.assert_array_equal(decode_stored(data.tobytes()).pixels, wanted)
    colours = (pixels[..., :3] >> 8).astype(np.uint8)
    for form in ("JPEG", "WEBP", "BMP", "PNG"):
        buffer = io.BytesIO()
        Image.fromarray(colours).save(buffer, form)
        plain = decode(buffer.getvalue()).pixels
        np.testing.assert_array_equal(decode_stored(buffer.getvalue()).pixels, plain)


def test_the_channels_of_an_array_are_its_last_axis_or_a_short_first_one() -> None:
    pixels = draw((30, 40, 8))
    for array in (pixels, np.moveaxis(pixels, 2, 0), pixels.astype(">u2"), np.asfortranarray(pixels)):
        found = decode_stored(npy(array)).pixels
        np.testing.assert_array_equal(found, pixels)
        assert found.dtype == np.uint16
    assert decode_stored(npy(pixels[..., 0])).pixels.shape == (30, 40, 1)
    assert decode_stored(npy(pixels[:8, :16])).pixels.shape == (8, 16, 8)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (npy(draw((30, 40, 17))), "17 channels: allowed is 1 to 16"),
        (npy(np.zeros((30, 40), np.int16)), "pixels of int16: allowed is uint8, uint16, float16"),
        (npy(np.zeros((2, 3, 30, 40), np.uint8)), r"an array of shape \(2, 3, 30, 40\)"),
        (npy(np.array(["a"], object)), "it holds object, no numbers"),
        (
            tiff(np.zeros((3, 2, 30, 40), np.uint8), metadata={"axes": "ZCYX"}, ome=True),
            "one axis beside rows",
        ),
        (
            tiff(np.zeros((30, 40), np.uint8), photometric="palette", colormap=np.zeros((3, 256), np.uint16)),
            "pal",
        ),
        (tiff(np.zeros((30, 40), np.complex64)), "pixels of complex64"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_its_reason(data: bytes, words: str) -> None:
    with pytest.raises(DecodeError, match=words) as raised:
        decode_stored(data)
    assert raised.value.status in ("unsupported", "decode_error")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_named(value: float) -> None:
    pixels = draw((30, 40, 2), "float32")
    pixels[3, 7, 1] = value
    for encoding in ("tiff", "npy"):
        with pytest.raises(DecodeError, match=rf"{value} at row 3, column 7, channel 1: replace"):
            decode_stored(encode(pixels, encoding))  # type: ignore[arg-type]


def test_files_that_are_cut_or_damaged_have_a_status() -> None:
    planes = draw((8, 30, 40))
    whole = (
        tiff(planes, photometric="minisblack", compression="zlib"),
        tiff(planes, photometric="minisblack", metadata=None),
        npy(planes),
    )
    for data in whole:
        for share in (0.1, 0.4, 0.7, 0.95):
            with pytest.raises(DecodeError) as raised:
                decode_stored(data[: round(share * len(data))])
            assert raised.value.status in ("truncated", "decode_error")
    generator = np.random.default_rng(0)
    for data in whole:
        for _ in range(40):
            damaged = bytearray(data)
            damaged[int(generator.integers(4, 300))] = int(generator.integers(256))
            try:
                decode_stored(bytes(damaged))
            except DecodeError:
                continue
    with pytest.raises(DecodeError, match="too_large"):
        decode_stored(whole[0], max_pixels=1000)


def test_resizing_keeps_depth_channels_and_range() -> None:
    for depth in ("uint8", "uint16", "float32"):
        pixels = draw((30, 40, 5), depth)
        made = resize(pixels, 60, 20)
        assert made.shape == (60, 20, 5)
        assert made.dtype == pixels.dtype
        assert resize(pixels, 30, 40) is pixels
    constant = np.full((20, 20, 2), 65535, np.uint16)
    assert (resize(constant, 37, 41) == 65535).all()
