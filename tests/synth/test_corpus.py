"""Unusual inputs: each has one defined status, in class folders, in tars and in a store."""

import functools
import io
import os
import struct
import tarfile
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from texneg.datasets.decode import decode
from texneg.datasets.images import open_images
from texneg.datasets.sources.tars import TRAILER, fragment
from texneg.datasets.storage import places
from texneg.datasets.storage.url import Url
from texneg.errors import InputError
from texneg.synth.ledger import lease
from texneg.synth.synth import SynthConfig, synth
from texneg.synth.verify import VerifyConfig, verify

Run = Callable[..., Path]
Rows = Callable[[Path], list[dict[str, Any]]]


def noise(height: int, width: int, mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values).convert(mode)


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


JPEG = saved(noise(40, 60), "JPEG")
PNG = saved(noise(40, 60), "PNG")


def rotated(orientation: int, form: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(noise(40, 60), form, exif=exif)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb() -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50000, 50000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def gif_bomb() -> bytes:
    data = bytearray(saved(noise(40, 40, "P"), "GIF"))
    data[6:10] = b"\xff\xff\xff\xff"
    return bytes(data)


def jpeg_bomb() -> bytes:
    data = bytearray(saved(noise(40, 40), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = b"\xff\xdc\xff\xdc"
    return bytes(data)


def flipped(at: int) -> bytes:
    """A PNG with a wrong byte that far into its compressed pixels."""
    data = bytearray(PNG)
    data[data.index(b"IDAT") + 4 + at] ^= 0xFF
    return bytes(data)


def sixteen_bit(form: str, channels: int) -> bytes:
    values = np.random.default_rng(3).integers(0, 65536, (40, 60, channels), np.uint16)
    return cv2.imencode(form, values)[1].tobytes()


CORPUS: dict[str, tuple[bytes, str]] = {
    **{f"exif{i}.jpg": (rotated(i), "ok") for i in range(1, 9)},
    "exif6.png": (rotated(6, "PNG"), "ok"),
    "exif-broken.jpg": (saved(noise(40, 60), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff no"), "ok"),
    "cmyk.jpg": (saved(noise(40, 60, "CMYK"), "JPEG"), "ok"),
    "gray.jpg": (saved(noise(40, 60, "L"), "JPEG"), "ok"),
    "progressive.jpg": (saved(noise(40, 60), "JPEG", progressive=True), "ok"),
    "gray16.png": (sixteen_bit(".png", 1), "ok"),
    "rgb16.png": (sixteen_bit(".png", 3), "ok"),
    "rgba16.png": (sixteen_bit(".png", 4), "ok"),
    "gray16.tif": (sixteen_bit(".tif", 1), "ok"),
    "gray32.tif": (saved(Image.fromarray(np.ones((40, 60), np.int32)), "TIFF"), "unsupported"),
    "float.tif": (saved(Image.fromarray(np.ones((40, 60), np.float32)), "TIFF"), "unsupported"),
    "palette.png": (saved(noise(40, 60).quantize(16), "PNG"), "ok"),
    "palette-clear.png": (saved(noise(40, 60).quantize(16), "PNG", transparency=0), "ok"),
    "gray-alpha.png": (saved(noise(40, 60, "LA"), "PNG"), "ok"),
    "alpha.webp": (saved(noise(40, 60, "RGBA"), "WEBP"), "ok"),
    "one-bit.png": (saved(noise(40, 60, "1"), "PNG"), "ok"),
    "one-bit.tif": (saved(noise(40, 60, "1"), "TIFF"), "ok"),
    "bitmap.bmp": (saved(noise(40, 60), "BMP"), "ok"),
    "moving.gif": (saved(noise(40, 60), "GIF", save_all=True, append_images=[noise(40, 61)]), "ok"),
    "moving.png": (saved(noise(40, 60), "PNG", save_all=True, append_images=[noise(40, 60)]), "ok"),
    "moving.webp": (saved(noise(40, 60), "WEBP", save_all=True, append_images=[noise(40, 60)]), "ok"),
    "png-inside.jpeg": (PNG, "ok"),
    "jpeg-inside.png": (JPEG, "ok"),
    "page.jpg": (b"<html><body>404 Not Found</body></html>", "unsupported"),
    "postscript.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unsupported"),
    "icon.png": (saved(noise(32, 32), "ICO"), "unsupported"),
    "zeros.jpg": (bytes(1000), "unsupported"),
    "empty.jpg": (b"", "empty"),
    "half.jpg": (JPEG[: len(JPEG) // 2], "truncated"),
    "half.webp": (saved(noise(40, 60), "WEBP")[:300], "truncated"),
    "half.png": (PNG[: len(PNG) // 2], "truncated"),
    "header.jpg": (JPEG[:20], "decode_error"),  # too short to tell what it was going to be
    "damaged.png": (flipped(0), "decode_error"),
    "changed.png": (flipped(40), "decode_error"),
    "nonsense.jpg": (b"\xff\xd8\xff" + b"nonsense" * 20, "decode_error"),
    "bomb.png": (png_bomb(), "too_large"),
    "bomb.gif": (gif_bomb(), "too_large"),
    "bomb.jpg": (jpeg_bomb(), "too_large"),
    "one-pixel.png": (saved(noise(1, 1), "PNG"), "too_small"),
    "narrow.png": (saved(noise(500, 7), "PNG"), "too_small"),
    "line.png": (saved(noise(1, 30000), "PNG"), "too_small"),
    "tall.jpg": (saved(noise(33, 500), "JPEG"), "ok"),
    "small.png": (saved(noise(9, 60), "PNG"), "ok"),
    "exact.png": (saved(noise(24, 24), "PNG"), "ok"),
}

NAMES = (
    *("d.o.t.s", "with space", "ünï ⁂", "e\u0301", "two\nlines"),
    *("tab\t", "50%", "%41", "quote'\"", "-dash", "a\\b"),
)
NOT_TEXT = "caf\udce9"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus in class folders, and good images under odd names."""
    root = tmp_path_factory.mktemp("corpus") / "tree"
    (root / "odd").mkdir(parents=True)
    for name, (data, _) in CORPUS.items():
        folder = root / name.rpartition(".")[2]
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    for name in (*NAMES, NOT_TEXT):
        (root / "odd" / f"{name}.png").write_bytes(PNG)
    return root


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus in one tar."""
    path = tmp_path_factory.mktemp("corpus") / "corpus.tar"
    members = {name: data for name, (data, _) in CORPUS.items()}
    members |= {f"odd/{name}.png": PNG for name in NAMES[1:]}  # dots are suffixes in a tar
    with path.open("wb") as file:
        for name, data in members.items():
            file.write(fragment(name.replace(".", f"-{name.rpartition('.')[2]}.", 1), data))
        file.write(TRAILER)
    return path


make = functools.partial(SynthConfig.flat, size=32, exemplar_size=24, executor="sync", max_error_rate=1.0)


@pytest.mark.parametrize("form", ["folder", "webdataset"])
def test_every_file_has_its_outcome(tree: Path, run: Run, manifest: Rows, form: str) -> None:
    dst = run(tree, format=form, max_error_rate=1.0)
    rows = manifest(dst)
    assert len(rows) == len(CORPUS) + len(NAMES) + 1
    found = {row["src"].rpartition("/")[2]: row["status"] for row in rows}
    assert {name: found[name] for name in CORPUS} == {name: status for name, (_, status) in CORPUS.items()}
    assert all(row["status"] == "ok" for row in rows if row["label"] == "odd")
    assert all(bool(row["error"]) == (row["status"] != "ok") for row in rows)
    made = open_images(dst)
    assert list(made.keys) == [row["key"] for row in rows if row["status"] == "ok"]
    assert all(made[i][0].shape == (32, 32, 3) for i in range(len(made)))


def test_names_come_out_byte_for_byte(tree: Path, run: Run) -> None:
    dst = run(tree, max_error_rate=1.0)
    made = {os.fsencode(path.name) for path in (dst / "odd").iterdir()}
    assert made == {os.fsencode(f"{name}.webp") for name in (*NAMES, NOT_TEXT)}


def test_every_member_has_its_outcome(shard: Path, run: Run, manifest: Rows) -> None:
    rows = manifest(run(shard, max_error_rate=1.0))
    statuses = [status for _, status in CORPUS.values()] + ["ok"] * (len(NAMES) - 1)
    assert [row["status"] for row in rows] == statuses


def test_the_corpus_in_a_store(tree: Path, run: Run, manifest: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "SETTLE_S", 0.0)
    bucket = Url(f"memory://{uuid.uuid4().hex}")
    for path in tree.rglob("*.*"):
        (bucket / "tree" / str(path.relative_to(tree))).put(path.read_bytes())
    assert synth(make(f"{bucket}/tree", f"{bucket}/out")) == 0
    local = run(tree, max_error_rate=1.0)
    for name in places.list_files(local):
        if NOT_TEXT in name:  # has another name in a places, and so another key
            continue
        assert (bucket / "out" / name).read_bytes() == (local / name).read_bytes()
    assert synth(make(str(tree), f"{bucket}/from-disk")) == 0
    for options in ({}, {"quick": True}):
        assert verify(VerifyConfig(f"{bucket}/from-disk", **options)) == 0
    places.remove_tree(bucket)


def test_pixels_under_each_policy() -> None:
    gray = decode(CORPUS["gray16.png"][0]).pixels
    values = cv2.imdecode(np.frombuffer(CORPUS["gray16.png"][0], np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(gray[..., 0], values / 257, atol=0.51)
    for name in ("rgb16.png", "rgba16.png"):
        values = cv2.imdecode(np.frombuffer(CORPUS[name][0], np.uint8), cv2.IMREAD_UNCHANGED) / 257
        alpha = values[..., 3:] / 255 if values.shape[2] == 4 else 1.0
        over_white = values[..., 2::-1] * alpha + 255 * (1 - alpha)
        np.testing.assert_allclose(decode(CORPUS[name][0]).pixels, over_white, atol=2.0)


def test_a_file_of_too_many_bytes_is_not_read(tmp_path: Path, run: Run, manifest: Rows) -> None:
    (tmp_path / "src/a").mkdir(parents=True)
    with (tmp_path / "src/a/huge.jpg").open("wb") as file:
        file.truncate(257 * 2**20)
    (tmp_path / "src/a/good.png").write_bytes(PNG)
    rows = manifest(run(tmp_path / "src"))
    assert [row["status"] for row in rows] == ["ok", "too_large"]
    assert rows[1]["src_sha256"] is None


def test_members_that_are_one_file_on_some_file_systems(tmp_path: Path, run: Run) -> None:
    (tmp_path / "src").mkdir()
    names = ("x.png", "X.png")
    (tmp_path / "src/0.tar").write_bytes(b"".join(fragment(name, PNG) for name in names) + TRAILER)
    assert len(open_images(run(tmp_path / "src"))) == 2
    with pytest.raises(InputError, match=r"X\.webp would be written more than once on some file systems"):
        run(tmp_path / "src", "folder", format="folder")


def test_members_whose_textures_would_be_one_file_or_a_folder(tmp_path: Path, run: Run) -> None:
    for n, names in enumerate(
        (("a//b.png", "a/b.png"), ("a.png", "a.webp/b.png"), ("a.webp/b.png", "a.png"))
    ):
        path = tmp_path / f"{n}.tar"
        path.write_bytes(b"".join(fragment(name, PNG) for name in names) + TRAILER)
        with pytest.raises(InputError, match="would be written more than once"):
            run(path, f"folder{n}", format="folder")
    path = tmp_path / "fine.tar"
    path.write_bytes(fragment("a.webp/x//b.png", PNG) + fragment("a.webp/./c.png", PNG) + TRAILER)
    dst = run(path, "fine", format="folder")
    assert sorted(places.list_files(dst)) == ["a.webp/c.webp", "a.webp/x/b.webp"]
    assert verify(VerifyConfig(str(dst), str(path))) == 0
    assert verify(VerifyConfig(str(dst), quick=True)) == 0


def test_a_texture_whose_name_would_be_too_long(tmp_path: Path, run: Run, manifest: Rows) -> None:
    (tmp_path / "src").mkdir()
    for name in ("ok", "x" * 250, "ü" * 125 + "x"):  # 250 and 251 bytes, and then .png or .webp
        (tmp_path / "src" / f"{name}.png").write_bytes(PNG)
    rows = manifest(run(tmp_path / "src", max_error_rate=1.0))
    assert [(row["key"][0], row["status"]) for row in rows] == [
        ("o", "ok"),
        ("x", "ok"),
        ("ü", "unsafe_path"),
    ]
    assert "256 bytes" in rows[2]["error"]
    tars = manifest(run(tmp_path / "src", "tars", format="webdataset"))
    assert {row["status"] for row in tars} == {"ok"}


def special(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", **pax: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.pax_headers = kind, link, pax
    info.size = len(PNG) if kind == tarfile.REGTYPE else 0
    return info


def test_members_that_would_reach_outside(tmp_path: Path, run: Run, manifest: Rows) -> None:
    members = [
        special("good.png"),
        special("/absolute.png"),
        special("../above.png"),
        special("a/../../above.png"),
        special("link.png", tarfile.SYMTYPE, "/etc/passwd"),
        special("hard.png", tarfile.LNKTYPE, "good.png"),
        special("device.png", tarfile.CHRTYPE),
        special("block.png", tarfile.BLKTYPE),
        special("pipe.png", tarfile.FIFOTYPE),
        special("nul.png", path="nul\0.png"),
        special("good.png"),
        special("a/good.png"),
    ]
    (tmp_path / "src").mkdir()
    with tarfile.open(tmp_path / "src/0.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for info in members:
            tar.addfile(info, io.BytesIO(PNG) if info.isreg() else None)
    for form in ("folder", "webdataset"):
        dst = run(tmp_path / "src", form, format=form, max_error_rate=1.0)
        statuses = [row["status"] for row in manifest(dst)]
        assert statuses == ["ok", *["unsafe_path"] * 9, "duplicate_key", "ok"]
    assert sorted(str(p.relative_to(tmp_path / "folder")) for p in (tmp_path / "folder").rglob("*.webp")) == [
        "a/good.webp",
        "good.webp",
    ]
