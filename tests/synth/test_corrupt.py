"""Runs of `texneg corrupt`: the published layout, the bytes of any executor, kills, and verification."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from torchvision.transforms import v2

from texneg.cli.main import main
from texneg.datasets.corruptions.corrupt import CORRUPTIONS, corrupt
from texneg.datasets.corruptions.digital import reencode
from texneg.datasets.corruptions.draws import image_draws
from texneg.datasets.images import open_images
from texneg.datasets.sources.sources import Source
from texneg.errors import InputError
from texneg.synth.corrupt import CorruptConfig, CorruptOutput
from texneg.synth.corrupt import corrupt as corrupt_images
from texneg.synth.plan.plan import Settings
from texneg.synth.plan.planning import cut_in_shards
from texneg.synth.synth import Output
from texneg.synth.task.corrupted import Squares, cut_square

NAMES, WEAK_AND_STRONG = ("glass_blur", "fog"), (1, 5)
State = Callable[[Path], Any]

FOLDER = Source(Path("photos"), "folder", ("",))


def config(src: Path, dst: Path, **options: Any) -> CorruptConfig:
    chosen = {"corruptions": NAMES, "severities": WEAK_AND_STRONG, "size": 32, "executor": "sync"}
    return CorruptConfig.flat(str(src), str(dst), **{**chosen, **options})


def test_the_published_layout_and_the_pixels_of_the_evaluation(
    photos: Path, tmp_path: Path, manifest: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    dst = tmp_path / "out"
    assert corrupt_images(config(photos, dst)) == 0
    printed = capsys.readouterr()
    assert "2 corruptions, severities 1 5, constants of cifar-c, 32 px JPEG of quality 85" in printed.err
    assert "bytes of another" not in printed.err
    assert "96 corrupted images in" in printed.out and "texneg sheet" not in printed.out
    assert {path.relative_to(dst).parts[:2] for path in dst.rglob("*.JPEG")} == {
        (name, str(severity)) for name in NAMES for severity in WEAK_AND_STRONG
    }
    images = open_images(photos)
    for name in NAMES:
        for severity in WEAK_AND_STRONG:
            made = open_images(dst / name / str(severity))
            assert (made.classes, made.keys) == (images.classes, images.keys)
            for i in (0, 13):
                square = cut_square(images[i][0], 32, "whole")
                draws = image_draws(0, name, severity, images.keys[i])
                expected = reencode(corrupt(square, name, severity=severity, draws=draws), 85)
                np.testing.assert_array_equal(made[i][0], expected)
    rows = manifest(dst)
    assert len(rows) == 96
    assert {(row["method"], row["width"], row["status"]) for row in rows} == {("corruption", 80, "ok")}


def test_any_executor_and_any_task_size_give_the_same_bytes(
    photos: Path, tmp_path: Path, state: State
) -> None:
    every = {"corruptions": ("all", "extra"), "severities": (3,), "size": 24, "limit": 114}
    one, other = tmp_path / "one", tmp_path / "other"
    assert corrupt_images(config(photos, one, **every, part_size=5)) == 0
    assert corrupt_images(config(photos, other, **every, part_size=7, executor="dask", workers=2)) == 0
    assert state(one) == state(other)
    assert len(list((one).rglob("*.JPEG"))) == 114


def test_a_killed_run_goes_on(photos: Path, tmp_path: Path, state: State) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = {"severities": (1, 2, 3, 4), "size": 48, "part_size": 4, "shard_size": 8}
    corrupt_images(config(photos, whole, **options))
    command = config(photos, killed, **options)
    words = [sys.executable, "-m", *command.command().split()]
    process = subprocess.Popen(words, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 600
    while sum(1 for _ in killed.rglob("*.JPEG")) < 10:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert corrupt_images(command) == 0
    assert state(killed) == state(whole)


def test_damage_is_found_and_mended(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dst = tmp_path / "out"
    corrupt_images(config(photos, dst))
    words = ["verify", str(dst), str(photos), "--pixels", "--resynth", "5"]
    assert main(words) == 0
    assert "96 corrupted images in" in capsys.readouterr().out
    damaged = dst / "fog" / "5" / "bee" / "bee.003.JPEG"
    before = damaged.read_bytes()
    damaged.write_bytes(before[:-9] + bytes(9))
    assert main(words) == 1
    errors = capsys.readouterr().err
    assert "changed: fog/5/bee/bee.003.JPEG" in errors and f"texneg corrupt {photos}" in errors
    assert corrupt_images(config(photos, dst, recheck=True)) == 0
    assert damaged.read_bytes() == before
    assert main(words) == 0


def test_an_image_that_cannot_be_used_has_a_row_for_each_copy(
    photos: Path, tmp_path: Path, manifest: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    src = tmp_path / "src"
    shutil.copytree(photos, src)
    (src / "ant" / "ant.000.JPEG").write_bytes(b"no image")
    assert corrupt_images(config(src, tmp_path / "out", max_error_rate=1.0)) == 0
    assert "4 of 96 images could not be used: 4 unsupported" in capsys.readouterr().err
    bad = [row for row in manifest(tmp_path / "out") if row["status"] != "ok"]
    assert [row["split"] for row in bad] == ["glass_blur/1", "glass_blur/5", "fog/1", "fog/5"]
    (src / "ant" / "ant.000.JPEG").write_bytes((src / "ant" / "ant.001.JPEG").read_bytes())
    assert corrupt_images(config(src, tmp_path / "out")) == 0
    assert all(row["status"] == "ok" for row in manifest(tmp_path / "out"))


def test_what_is_refused(
    photos: Path, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = tmp_path / "split"
    for name in ("train", "val"):
        shutil.copytree(photos, split / name)
    dst = tmp_path / "out"
    for src, options, message in (
        (shards, {}, "holds tars: give a tree of class folders"),
        (split, {}, "has the splits train, val: give one, such as"),
        (photos, {"corruptions": ("rain",)}, "--corruptions rain: allowed are all, extra, gaussian_noise"),
        (photos, {"severities": (6,)}, "--severities 6: allowed are 1 to 5"),
        (photos, {"jpeg_quality": 101}, "--jpeg-quality 101: allowed is 1 to 100"),
        (photos, {"size": 8}, "--size 8: allowed is 16 to 1024 px"),
        (photos, {"corruptions": ("frost",), "frost_dir": str(tmp_path)}, r"has no frost1\.png"),
    ):
        with pytest.raises(InputError, match=message):
            corrupt_images(config(src, dst, **options))
    assert not dst.exists()
    corrupt_images(config(photos, dst, limit=8))
    capsys.readouterr()
    with pytest.raises(InputError, match=r"made with other settings \(severities: \(1, 5\) -> \(3,\)\)"):
        corrupt_images(config(photos, dst, limit=8, severities=(3,)))
    assert main(["corrupt", str(photos), str(dst), "--severities", "9"]) == 2


def test_frost_of_a_folder_is_part_of_the_settings(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "frost"
    folder.mkdir()
    for number in range(1, 6):
        Image.new("RGB", (300, 280), (40 * number, 0, 9)).save(folder / f"frost{number}.png")
    dst = tmp_path / "out"
    frost = {"corruptions": ("frost",), "severities": (4,), "limit": 3}
    corrupt_images(config(photos, dst, **frost, frost_dir=str(folder)))
    with pytest.raises(InputError, match="frost: "):
        corrupt_images(config(photos, dst, **frost))


@pytest.mark.parametrize("shape", [(375, 500), (500, 333), (300, 300), (60, 80)])
def test_the_centre_is_cut_out_as_by_torchvision(shape: tuple[int, int]) -> None:
    pixels: npt.NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    usual = v2.Compose([v2.Resize(256), v2.CenterCrop(224)])
    np.testing.assert_array_equal(
        cut_square(pixels, 224, "centre"), np.asarray(usual(Image.fromarray(pixels)))
    )
    square = pixels[:50, :50]
    assert cut_square(square, 50, "centre") is square
    assert cut_square(pixels, 32, "whole").shape == (32, 32, 3)


def test_settings_of_both_kinds_of_runs_are_read_again() -> None:
    for output in (CorruptOutput(severities=(2,), corruptions=("fog",)), Output()):
        settings = output.settings(FOLDER)
        stored = json.loads(json.dumps(asdict(settings)))
        assert Settings.parse(stored) == settings
    del stored["corrupting"]  # as in ledgers of earlier versions
    assert Settings.parse(stored) == settings
    assert "corrupting" not in settings.flat()
    assert CorruptOutput(corruptions=("all",)).settings(FOLDER).corrupting is not None
    assert len(CORRUPTIONS) == 15


def test_squares_are_held_up_to_a_size() -> None:
    squares = Squares(most=3 * 48)
    for number in (0, 1, 2):
        squares.put(number, np.full((4, 4, 3), number, np.uint8), {"width": number})
    assert squares.get(0) is not None
    squares.put(3, np.full((4, 4, 3), 3, np.uint8), {"width": 3})
    assert squares.get(1) is None  # the one that was longest out of use
    found = {number: held[1]["width"] for number in (0, 2, 3) if (held := squares.get(number))}
    assert found == {0: 0, 2: 2, 3: 3}


def test_copies_of_some_images_follow_each_other(photos: Path, tmp_path: Path) -> None:
    source = CorruptOutput(corruptions=NAMES, severities=(1,), shard_size=10).open(photos)
    order = [(item.split, item.key) for item in source.items()]
    assert len(set(order)) == len(order) == 48
    assert [split for split, _ in order[::10]] == [
        "glass_blur/1",
        "fog/1",
        "glass_blur/1",
        "fog/1",
        "glass_blur/1",
    ]
    settings = CorruptOutput(corruptions=NAMES, severities=(1,)).settings(FOLDER)
    shards = [shard for shard, _ in cut_in_shards(source.items(), source, settings, 10)]
    assert [(shard.split, shard.number, shard.n) for shard in shards] == [
        (split, number, n) for number, n in enumerate((10, 10, 4)) for split in ("glass_blur/1", "fog/1")
    ]
