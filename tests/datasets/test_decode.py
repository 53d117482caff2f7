"""Every odd file has a defined outcome; ordinary ones have Pillow's pixels."""

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFile, ImageOps

from texneg.datasets.decode import DecodeError, decode
from texneg.datasets.encode import encode

U8 = npt.NDArray[np.uint8]


def photo(height: int = 60, width: int = 80, seed: int = 0) -> U8:
    """Smooth colours with some noise, so that JPEG has work to do."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([x * 3, y * 4, (x + y) * 2], axis=-1) % 256
    return np.clip(base + rng.integers(-20, 20, base.shape), 0, 255).astype(np.uint8)


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def status_of(data: bytes, **options: int) -> str:
    with pytest.raises(DecodeError) as caught:
        decode(data, **options)
    assert caught.value.reason
    return caught.value.status


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1}])
def test_ordinary_jpeg_equals_pillow(mode: str, options: dict[str, Any]) -> None:
    data = saved(Image.fromarray(photo()).convert(mode), "JPEG", quality=85, **options)
    decoded = decode(data)
    np.testing.assert_array_equal(decoded.pixels, np.array(Image.open(BytesIO(data)).convert("RGB")))
    assert (decoded.width, decoded.height, decoded.mode, decoded.format) == (80, 60, mode, "JPEG")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_reported_and_not_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain = saved(Image.fromarray(photo()), "JPEG", quality=90)
    rotated = saved(Image.fromarray(photo()), "JPEG", quality=90, exif=exif)
    np.testing.assert_array_equal(decode(rotated).pixels, decode(plain).pixels)
    assert decode(rotated).exif_orientation == orientation


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_upright_like_pillow_does(orientation: int, form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(photo()), form, exif=exif)
    decoded = decode(data, upright=True)
    expected = ImageOps.exif_transpose(Image.open(BytesIO(data)))
    np.testing.assert_array_equal(decoded.pixels, np.array(expected))
    assert (decoded.width, decoded.height) == (80, 60)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_is_no_error() -> None:
    data = saved(Image.fromarray(photo()), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff broken")
    assert decode(data).exif_orientation == 1


def test_cmyk_jpeg_is_converted_by_pillow() -> None:
    data = saved(Image.fromarray(photo()).convert("CMYK"), "JPEG", quality=95)
    decoded = decode(data)
    assert decoded.mode == "CMYK"
    np.testing.assert_array_equal(decoded.pixels, np.array(Image.open(BytesIO(data)).convert("RGB")))


def test_sixteen_bit_is_scaled_not_clipped() -> None:
    values = np.linspace(0, 65535, 40 * 50).reshape(40, 50).astype(np.uint16)
    pixels = decode(saved(Image.fromarray(values), "PNG")).pixels
    np.testing.assert_allclose(pixels[..., 0], values / 257, atol=0.51)
    assert (pixels == pixels[..., :1]).all()


def test_transparency_lies_over_white() -> None:
    rgba = np.dstack([photo(), np.full((60, 80), 128, np.uint8)])
    expected = (photo().astype(int) * 128 + 255 * 127) / 255
    np.testing.assert_allclose(decode(saved(Image.fromarray(rgba), "PNG")).pixels, expected, atol=1)
    clear = Image.new("LA", (20, 20), (0, 0))
    assert (decode(saved(clear, "PNG")).pixels == 255).all()
    palette = Image.fromarray(photo()).quantize(16)
    data = saved(palette, "PNG", transparency=int(np.array(palette)[0, 0]))
    assert (decode(data).pixels[0, 0] == 255).all()


def test_palette_and_one_bit_become_colour() -> None:
    palette = Image.fromarray(photo()).quantize(32)
    np.testing.assert_array_equal(decode(saved(palette, "PNG")).pixels, np.array(palette.convert("RGB")))
    bits = Image.fromarray(photo()).convert("1")
    assert set(np.unique(decode(saved(bits, "PNG")).pixels)) <= {0, 255}


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_an_animation_gives_its_first_frame(form: str) -> None:
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if form == "WEBP" else {}
    data = saved(frames[0], form, save_all=True, append_images=frames[1:], **options)
    assert (decode(data).pixels == (255, 0, 0)).all()


@pytest.mark.parametrize("form", ["PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_other_formats(form: str) -> None:
    image = Image.fromarray(photo()).quantize(64).convert("RGB")
    options = {"lossless": True} if form == "WEBP" else {}
    np.testing.assert_array_equal(decode(saved(image, form, **options)).pixels, np.array(image))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_cut_file_is_refused(form: str, share: float) -> None:
    data = saved(Image.fromarray(photo(120, 160)), form)
    assert status_of(data[: int(share * len(data))]) in ("truncated", "decode_error")


def test_a_cut_jpeg_or_webp_is_truncated() -> None:
    for form in ("JPEG", "WEBP"):
        data = saved(Image.fromarray(photo(120, 160)), form)
        assert status_of(data[: len(data) // 2]) == "truncated"


def cut(mode: str, form: str, share: float, **options: Any) -> bytes:
    data = saved(Image.fromarray(photo(120, 160)).convert(mode), form, **options)
    return data[: int(share * len(data))]


@pytest.mark.parametrize("share", [0.4, 0.7, 0.97])
@pytest.mark.parametrize(
    ("mode", "form", "options"),
    [
        ("RGB", "JPEG", {}),
        ("RGB", "JPEG", {"progressive": True}),
        ("L", "JPEG", {}),
        ("CMYK", "JPEG", {}),
        ("RGB", "PNG", {}),
        ("P", "PNG", {}),
        ("RGB", "BMP", {}),
        ("P", "GIF", {}),
    ],
)
def test_a_cut_file_gives_what_pillow_makes_of_it(
    mode: str, form: str, options: dict[str, Any], share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = cut(mode, form, share, **options)
    decoded = decode(data, allow_truncated=True)
    assert "truncated" in decoded.truncated
    assert status_of(data) == "truncated"
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    expected = np.array(Image.open(BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decoded.pixels, expected)
    assert (expected != expected[-1, -1]).any()


def test_what_lacks_nothing_is_not_called_truncated() -> None:
    whole = saved(Image.fromarray(photo()), "JPEG")
    for data in (whole, whole + b"trailing bytes", saved(Image.fromarray(photo()), "PNG")):
        assert decode(data, allow_truncated=True).truncated == ""
        np.testing.assert_array_equal(decode(data, allow_truncated=True).pixels, decode(data).pixels)


@pytest.mark.parametrize(("form", "share"), [("WEBP", 0.5), ("JPEG", 0.02), ("PNG", 0.0005)])
def test_too_little_of_a_file_is_refused_even_so(form: str, share: float) -> None:
    assert status_of(cut("RGB", form, share), allow_truncated=True) in ("truncated", "decode_error")


def header_only_png(width: int, height: int) -> bytes:
    """A PNG that claims its size and has nothing in it."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IEND\xaeB`\x82"


def test_bombs_and_large_images_are_refused_by_their_header() -> None:
    assert status_of(header_only_png(20000, 20000)) == "too_large"
    assert status_of(saved(Image.fromarray(photo()), "PNG"), max_pixels=60 * 80 - 1) == "too_large"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", "empty"),
        (b"<html><body>404 Not Found</body></html>", "unsupported"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unsupported"),
        (b"\xff\xd8\xff" + b"nonsense" * 20, "decode_error"),
        (b"\x89PNG\r\n\x1a\n" + b"nonsense" * 20, "truncated"),
    ],
)
def test_what_is_no_image(data: bytes, status: str) -> None:
    assert status_of(data) == status


def test_one_pixel() -> None:
    assert decode(saved(Image.new("RGB", (1, 1), (1, 2, 3)), "PNG")).pixels.tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize("encoding", ["webp", "png"])
def test_encoding_is_lossless_and_repeatable(encoding: Any) -> None:
    data = encode(photo(), encoding)
    assert data == encode(photo(), encoding)
    np.testing.assert_array_equal(decode(data).pixels, photo())
