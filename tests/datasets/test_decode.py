"""Every odd file has a defined outcome; ordinary ones have Pillow's pixels."""

import ctypes
import os
import struct
import threading
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFile, ImageOps

from texneg.datasets.complaints import complaints, join_complaints
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


@pytest.mark.parametrize("form", ["PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
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


def chunk(kind: bytes, data: bytes, *, checksum: int | None = None) -> bytes:
    found = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", found)


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


PACKED = zlib.compress(bytes(2_000_000))
PNG_METADATA = {
    "zTXt": chunk(b"zTXt", b"a\0\0" + PACKED),
    "iTXt": chunk(b"iTXt", b"a\0\1\0\0\0" + PACKED),
    "iCCP": chunk(b"iCCP", b"a\0\0" + PACKED),
    "iCCP of an unknown compression": chunk(b"iCCP", b"a\0\7" + PACKED),
    "tEXt of 70 MB": chunk(b"tEXt", b"a\0" + bytes(1_000_000)) * 70,
    "short pHYs": chunk(b"pHYs", b""),
    "short gAMA": chunk(b"gAMA", b""),
    "short acTL": chunk(b"acTL", b""),
    "tEXt with a wrong checksum": chunk(b"tEXt", b"a\0b", checksum=7),
}
JPEG_METADATA = {
    "empty ICC": segment(0xE2, b"ICC_PROFILE\0"),
    "short JFIF": segment(0xE0, b"JFIF\0"),
    "short Adobe": segment(0xEE, b"Adobe\0"),
    "cut Photoshop": segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed"),
}


def turned(form: str) -> bytes:
    """An image whose EXIF says that it lies on its side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(Image.fromarray(photo()), form, exif=exif)


def with_metadata(form: str, part: bytes) -> bytes:
    """A file with one more chunk, or one more segment, behind its header."""
    data = turned(form)
    return data[:33] + part + data[33:] if form == "PNG" else data[:2] + part + data[2:]


@pytest.mark.parametrize(
    ("form", "part"),
    [("PNG", part) for part in PNG_METADATA.values()] + [("JPEG", part) for part in JPEG_METADATA.values()],
    ids=[*PNG_METADATA, *JPEG_METADATA],
)
def test_metadata_decide_over_no_pixel(form: str, part: bytes) -> None:
    plain, decoded = decode(turned(form)), decode(with_metadata(form, part))
    np.testing.assert_array_equal(decoded.pixels, plain.pixels)
    assert (decoded.mode, decoded.exif_orientation, decoded.truncated) == ("RGB", 6, "")


def test_metadata_behind_the_pixels_decide_over_none_either() -> None:
    data = turned("PNG")
    for part in PNG_METADATA.values():
        np.testing.assert_array_equal(decode(data[:-12] + part + data[-12:]).pixels, decode(data).pixels)


def as_riff(data: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(data) - 8) + data[8:]


@pytest.mark.parametrize("lossless", [False, True])
def test_metadata_of_webp_decide_over_no_pixel(lossless: bool) -> None:
    image, whole = Image.fromarray(photo()), b"Exif\0\0" + bytes(40)
    data = saved(image, "WEBP", lossless=lossless, exif=whole, icc_profile=b"profile", xmp=bytes(30))
    plain = decode(saved(image, "WEBP", lossless=lossless)).pixels
    at = data.index(b"EXIF")
    endless = data[: at + 4] + b"\xff\xff\0\0" + data[at + 8 :]
    for odd in (endless, as_riff(data[: at + 10]), as_riff(data[:-5]), as_riff(data + b"xyz")):
        np.testing.assert_array_equal(decode(odd).pixels, plain)


def test_metadata_do_not_save_damaged_pixels() -> None:
    data = bytearray(with_metadata("PNG", PNG_METADATA["zTXt"]))
    data[data.index(b"IDAT") + 40] ^= 0xFF
    assert status_of(bytes(data)) == "decode_error"
    cut_short = with_metadata("PNG", PNG_METADATA["iCCP"])
    assert status_of(cut_short[:-2000]) == "truncated"
    assert decode(cut_short[:-2000], allow_truncated=True).truncated
    assert status_of(with_metadata("PNG", chunk(b"tRNS", b""))) in ("truncated", "decode_error")
    unknown = chunk(b"iDAT", b"abc", checksum=7)  # perhaps pixels, once
    assert status_of(with_metadata("PNG", unknown)) == "decode_error"


@pytest.mark.parametrize(
    ("data", "pixels"),
    [
        (b"P3\n2 1\n255\n255 0 0 0 9 0\n", [[255, 0, 0], [0, 9, 0]]),
        (b"P5\n# a comment\n2 1\n255\n\x07\xff", [[7, 7, 7], [255, 255, 255]]),
        (b"P5\n2 1\n65535\n\x00\x00\xff\xff", [[0, 0, 0], [255, 255, 255]]),
        (b"P6\n1 1\n65535\n\xff\xff\x80\x00\x00\x00", [[255, 128, 0]]),
        (b"P4\n2 1\n\x40", [[255, 255, 255], [0, 0, 0]]),
    ],
)
def test_portable_maps(data: bytes, pixels: list[list[int]]) -> None:
    decoded = decode(data)
    assert (decoded.pixels[0].tolist(), decoded.format) == (pixels, "PPM")


def broken_jpegs() -> dict[str, bytes]:
    data = saved(Image.fromarray(photo(120, 160)), "JPEG")
    half = len(data) // 2
    return {
        "zeros inside": data[:half] + bytes(200) + data[half + 200 :],
        "half, with an end mark": data[:half] + b"\xff\xd9",
        "stray marks": data[:half] + b"\xff\xd5" * 3 + data[half + 6 :],
    }


def damaged_tiff() -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    data = bytearray(saved(Image.fromarray(noise), "TIFF", compression="tiff_deflate"))
    data[300:400] = bytes(100)
    return bytes(data)


def test_libraries_print_nothing_and_their_complaints_stay_with_the_image(
    capfd: pytest.CaptureFixture[str],
) -> None:
    for data in broken_jpegs().values():
        assert decode(data).damage.startswith("Corrupt JPEG data: ")
        np.testing.assert_array_equal(decode(data).pixels, np.array(Image.open(BytesIO(data)).convert("RGB")))
    with pytest.raises(DecodeError, match=r"decode_error: .*ZIPDecode: Decoding error at scanline 0"):
        decode(damaged_tiff())
    revision = saved(Image.fromarray(photo()), "JPEG").replace(b"JFIF\0\1\1", b"JFIF\0\7\7")
    assert decode(revision).damage == ""  # a remark
    assert decode(saved(Image.fromarray(photo()), "JPEG")).damage == ""
    assert capfd.readouterr() == ("", "")


def print_as_c(text: bytes) -> None:
    library = ctypes.CDLL(None)
    library.fputs(text, ctypes.c_void_p.in_dll(library, "stderr"))


def in_thread(call: Callable[[], None]) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()


def test_each_thread_keeps_its_own_complaints_and_others_print_as_ever(
    capfd: pytest.CaptureFixture[str],
) -> None:
    found: dict[str, str] = {}

    def work(name: str, data: bytes) -> None:
        for _ in range(20):
            found.setdefault(name, decode(data).damage)
            assert decode(data).damage == found[name]

    plain = saved(Image.fromarray(photo()), "JPEG")
    files = {**broken_jpegs(), "plain": plain}
    expected = {name: decode(data).damage for name, data in files.items()}
    threads = [threading.Thread(target=work, args=pair) for pair in files.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected
    with complaints as heard:
        print_as_c(b"mine\n")
        in_thread(lambda: print_as_c(b"another's\n"))
        child = os.fork()
        if not child:
            print_as_c(b"a child's\n")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    print_as_c(b"afterwards\n")
    assert join_complaints(heard) == "mine"
    assert capfd.readouterr().err == "another's\na child's\nafterwards\n"


@pytest.mark.parametrize("encoding", ["webp", "png"])
def test_encoding_is_lossless_and_repeatable(encoding: Any) -> None:
    data = encode(photo(), encoding)
    assert data == encode(photo(), encoding)
    np.testing.assert_array_equal(decode(data).pixels, photo())
