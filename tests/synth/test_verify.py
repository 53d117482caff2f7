"""`texneg verify`, `texneg synth-status` and `texneg sheet`."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from texneg.datasets.encode import encode
from texneg.datasets.images import open_images
from texneg.datasets.pairs import pair
from texneg.errors import InputError, RunFailed
from texneg.synth.exemplars import exemplars
from texneg.synth.job import image_seed
from texneg.synth.sheet import GAP, HEADER, SheetConfig, contact_sheet, sheet
from texneg.synth.status import StatusConfig, synth_status
from texneg.synth.texture import texture
from texneg.synth.verify import VerifyConfig, verify

Run = Callable[..., Path]


@pytest.mark.parametrize("form", ["folder", "webdataset"])
def test_an_untouched_run_passes(
    photos: Path, run: Run, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    dst = run(photos, format=form, shard_size=10)
    assert verify(VerifyConfig(str(dst), str(photos), pixels=True, resynth=5)) == 0
    assert verify(VerifyConfig(str(dst), quick=True)) == 0
    assert "24 textures" in capsys.readouterr().out


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def add_a_copy(path: Path) -> None:
    shutil.copy(path, path.with_name("extra.webp"))


@pytest.mark.parametrize("form", ["folder", "webdataset"])
@pytest.mark.parametrize("damage", [flip_a_byte, Path.unlink, add_a_copy])
def test_damage_is_found(
    run: Run, photos: Path, capsys: pytest.CaptureFixture[str], form: str, damage: Callable[[Path], object]
) -> None:
    dst = run(photos, format=form, shard_size=10)
    damage(sorted(path for path in dst.rglob("*") if path.is_file())[1])
    capsys.readouterr()
    with pytest.raises(RunFailed, match=r"problems? in .*--recheck"):
        verify(VerifyConfig(str(dst)))
    problem = {flip_a_byte: "changed: ", Path.unlink: "missing: ", add_a_copy: "unlisted: "}[damage]
    assert capsys.readouterr().err.startswith(problem)


def test_swapped_textures_and_changed_inputs_are_found(
    photos: Path, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(photos, tmp_path / "copy"))
    dst = run(copy)
    one, two = dst / "ant/ant.001.webp", dst / "ant/ant.002.webp"
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    flip_a_byte(copy / "bee/bee.000.JPEG")
    with pytest.raises(RunFailed, match="3 problems"):
        verify(VerifyConfig(str(dst), str(copy)))
    assert "input changed: bee/bee.000.JPEG" in capsys.readouterr().err


def test_making_again_survives_what_is_missing(
    photos: Path, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(photos, tmp_path / "copy"))
    dst = run(copy, format="webdataset", shard_size=10)
    (copy / "ant/ant.001.JPEG").unlink()
    with (copy / "bee/bee.001.JPEG").open("ab") as file:
        file.write(b"more")
    (dst / "texneg-000002.tar").unlink()
    with pytest.raises(RunFailed, match="3 problems"):
        verify(VerifyConfig(str(dst), str(copy), resynth=24))
    assert [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()[-3:]] == [
        "input gone",
        "input changed",
        "missing",
    ]


def test_an_unfinished_or_foreign_folder_is_refused(photos: Path, run: Run, tmp_path: Path) -> None:
    dst = run(photos)
    (tmp_path / "out.texneg/manifest/part-00000.parquet").unlink()
    with pytest.raises(InputError, match=r"not finished; resume: texneg synth"):
        verify(VerifyConfig(str(dst)))
    with pytest.raises(InputError, match="holds no run of texneg synth"):
        verify(VerifyConfig(str(photos)))
    with pytest.raises(InputError, match="needs the images"):
        verify(VerifyConfig(str(dst), resynth=3))
    with pytest.raises(InputError, match="--resynth -1: allowed is 0 or more"):
        verify(VerifyConfig(str(dst), str(photos), resynth=-1))
    with pytest.raises(InputError, match="nowhere does not exist; give the images"):
        verify(VerifyConfig(str(dst), str(tmp_path / "nowhere")))


def test_status_reads_files_alone(photos: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    dst = run(photos, shard_size=10)
    capsys.readouterr()
    synth_status(StatusConfig(str(dst), json=True))
    status = json.loads(capsys.readouterr().out)
    assert (status["images"], status["images_done"], status["outcome"]) == (24, 24, "complete")
    ledger = dst.with_name("out.texneg")
    (ledger / "done/all/000/000001.json").unlink()
    (ledger / "stats.json").unlink()
    synth_status(StatusConfig(str(dst)))
    out = capsys.readouterr().out
    assert "14 of 24 images (58 %), 2 of 3 shards committed" in out
    assert "not running (killed); resume: texneg synth" in out


def test_sheet_shows_image_patch_and_texture(photos: Path, run: Run, tmp_path: Path) -> None:
    dst = run(photos)
    out = tmp_path / "sheet.png"
    assert sheet(SheetConfig(str(photos), str(out), textures=str(dst), count=3, size=32)) == 0
    shown = open_images(tmp_path)  # the PNG is an image like any other
    assert shown.keys.index("sheet") >= 0
    images, textures = open_images(photos), open_images(dst)
    given = contact_sheet(images, textures, count=3, side=32, exemplar_size=24)
    made = contact_sheet(images, count=3, side=32, exemplar_size=24)
    np.testing.assert_array_equal(given, made)
    assert given.std() > 10


def test_sheet_says_when_there_is_nothing_to_show(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none of the 24 images .* can be shown"):
        sheet(SheetConfig(str(photos), str(tmp_path / "x.png"), exemplar_size=1000))


@pytest.mark.parametrize("side", [16, 48, 64, 100, 128, 224])
def test_titles_stay_above_their_pictures(photos: Path, side: int) -> None:
    page = contact_sheet(open_images(photos), count=2, side=side, exemplar_size=24)
    block = page.shape[1] // 2
    for picture in range(6):
        left = picture // 3 * block + GAP + picture % 3 * (side + GAP)
        between = page[:HEADER, left + side + 2 : left + side + GAP - 1]
        assert (between == 255).all()
    assert (page[:HEADER] < 255).any() == (side > 16)


def test_size_of_the_patch_negatives_patches(photos: Path, tmp_path: Path) -> None:
    images = open_images(photos)
    whole = contact_sheet(images, count=1, side=32, exemplar_size=24, patch_range=(32, 32))
    picture = Image.fromarray(whole[HEADER : HEADER + 32, 2 * GAP + 32 : 2 * GAP + 64])
    squares = (Image.fromarray(images[i][0][:, 10:70]).resize((32, 32)) for i in range(len(images)))
    assert picture in list(squares)  # one patch is the whole picture
    for wrong in ((0, 8), (9, 8), (8, 33)):
        with pytest.raises(InputError, match=f"--patch {wrong[0]} {wrong[1]}: allowed is 1 to --size, 32 px"):
            sheet(SheetConfig(str(photos), str(tmp_path / "x.png"), size=32, patch=wrong))
    with pytest.raises(InputError, match=r"give a name that ends in \.png"):
        sheet(SheetConfig(str(photos), str(tmp_path)))


def test_sheet_of_very_long_images(tmp_path: Path) -> None:
    long = np.random.default_rng(0).integers(0, 256, (30, 3000, 3), np.uint8)
    (tmp_path / "long.png").write_bytes(encode(long, "png"))
    assert contact_sheet(open_images(tmp_path), side=16, exemplar_size=24).shape[2] == 3


def test_sheet_of_textures_with_appended_names(photos: Path, run: Run) -> None:
    images = open_images(photos)
    plain, appended = (open_images(run(photos, name, naming=name)) for name in ("replace", "append"))
    given = contact_sheet(images, appended, count=3, side=32, exemplar_size=24)
    assert given.shape == contact_sheet(images, plain, count=3, side=32, exemplar_size=24).shape
    for i, j in enumerate(pair(images, appended).tolist()):
        own = image_seed(0, images.name(i))
        made = texture(exemplars(images[i][0], size=24, seed=own), size=32, seed=own)
        np.testing.assert_array_equal(appended[j][0], made)
