"""Images turned upright first, and the paper's own names."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from texneg.datasets.decode import decode
from texneg.datasets.images import open_images
from texneg.errors import InputError
from texneg.synth.task.images import image_seed
from texneg.textures.exemplars import exemplars
from texneg.textures.texture import texture
from texneg.train.sheet.page import GAP, HEADER
from texneg.train.sheet.sheet import SheetConfig, sheet

Run = Callable[..., Path]
Rows = Callable[[Path], list[dict[str, Any]]]


def rotated(seed: int) -> bytes:
    """A JPEG whose camera lay on its side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (30, 60, 3), np.uint8)).save(
        buffer, "JPEG", exif=exif
    )
    return buffer.getvalue()


def test_images_are_turned_upright_when_asked(run: Run, manifest: Rows, tmp_path: Path) -> None:
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "a" / "x.jpg").write_bytes(rotated(0))
    ignored, applied = run(tmp_path / "data", "ignored"), run(tmp_path / "data", "applied", exif="apply")
    assert open_images(ignored).read(0) != open_images(applied).read(0)
    row = manifest(applied)[0]
    assert (row["width"], row["height"], row["exif_orientation"]) == (60, 30, 6)
    pixels = decode(rotated(0), upright=True).pixels
    own = row["image_seed"]
    made = texture(exemplars(pixels, size=24, seed=own), size=32, seed=own)
    np.testing.assert_array_equal(open_images(applied)[0][0], made)
    with pytest.raises(InputError, match="exif: ignore -> apply"):
        run(tmp_path / "data", "ignored", exif="apply")


def test_a_sheet_shows_images_as_their_textures_saw_them(run: Run, tmp_path: Path) -> None:
    src = tmp_path / "data"
    (src / "a").mkdir(parents=True)
    (src / "a" / "x.jpg").write_bytes(rotated(0))
    for exif, white in (("ignore", (0, slice(None))), ("apply", (slice(None), 0))):
        dst, out = run(src, exif, exif=exif), tmp_path / "sheet.png"
        sheet(SheetConfig(str(src), str(out), kinds=("texture",), textures=str(dst), size=64))
        picture = np.array(Image.open(out))[HEADER : HEADER + 64, GAP : GAP + 64]
        assert (picture[white] == 255).all()
        assert not (picture[white[::-1]] == 255).all()


def test_the_papers_names(photos: Path, run: Run, tmp_path: Path) -> None:
    for split in ("train", "val"):
        shutil.copytree(photos, tmp_path / "imagenet" / split)
    (tmp_path / "imagenet/val/bee/bee.003.JPEG").write_bytes(rotated(0))
    with pytest.raises(InputError, match=r"looks in .*/imagenet-texture; give that as DST"):
        run(tmp_path / "imagenet", "textures", preset="paper")
    dst = run(tmp_path / "imagenet", "imagenet-texture", preset="paper")
    for path in (tmp_path / "imagenet").rglob("*.JPEG"):
        name = str(path).replace("/imagenet/", "/imagenet-texture/").replace(".JPEG", ".png")
        assert decode(Path(name).read_bytes()).format == "PNG"
    assert len(list(dst.rglob("*.png"))) == 48
    own = image_seed(0, "bee/bee.003")
    made = texture(exemplars(decode(rotated(0), upright=True).pixels, size=24, seed=own), size=32, seed=own)
    np.testing.assert_array_equal(decode((dst / "val/bee/bee.003.png").read_bytes()).pixels, made)
    torchvision = pytest.importorskip("torchvision.datasets")
    for split in ("train", "val"):
        images = torchvision.ImageFolder(tmp_path / "imagenet" / split)
        textures = torchvision.ImageFolder(dst / split)
        assert textures.class_to_idx == images.class_to_idx
        assert [Path(p).stem for p, _ in textures.samples] == [Path(p).stem for p, _ in images.samples]
        assert textures.targets == images.targets
        assert textures[5][0].size == (32, 32)
