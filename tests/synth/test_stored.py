"""Texture runs on images of any channels and depth: as for RGB, whatever stops them."""

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from texneg import exemplars, texture
from texneg.datasets.encode import encode
from texneg.datasets.stored import decode_stored
from texneg.errors import InputError
from texneg.synth.export.export import ExportConfig, export
from texneg.synth.synth import SynthConfig, synth
from texneg.synth.task.images import image_seed
from texneg.synth.verify import VerifyConfig, verify

Run = Callable[..., Path]
State = Callable[[Path], Any]
Rows = Callable[[Path], list[dict[str, Any]]]


def image(seed: int, channels: int = 8, depth: str = "uint16") -> Any:
    """Blocks of random values, to which the channels contribute differently."""
    draw = np.random.default_rng(seed)
    blocks = np.kron(draw.random((10, 13, channels)), np.ones((6, 6, 1))) * draw.random(channels)
    return (blocks * 60000).astype(depth) if depth.startswith("u") else blocks.astype(depth)


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two class folders of 12 images of 8 channels of 16 bits, as TIFF stacks and as .npy."""
    root = tmp_path_factory.mktemp("stacks")
    for name in ("field", "wood"):
        (root / name).mkdir()
        for i in range(12):
            pixels = image(hash_of(name, i))
            if i % 2:
                np.save(root / name / f"{i:02d}.npy", pixels)
            else:
                planes = np.moveaxis(pixels, 2, 0)
                tifffile.imwrite(root / name / f"{i:02d}.tif", planes, photometric="minisblack")
    return root


def hash_of(name: str, i: int) -> int:
    return 100 * len(name) + i


@pytest.mark.parametrize("encoding", ["tiff", "npy"])
def test_a_run_keeps_channels_and_depth(stacks: Path, run: Run, manifest: Rows, encoding: str) -> None:
    dst = run(stacks, encoding=encoding)
    rows = manifest(dst)
    assert [row["status"] for row in rows] == ["ok"] * 24
    assert {row["format"] for row in rows} == {"TIFF", "NPY"}
    assert {row["mode"] for row in rows} == {"uint16 x 8"}
    for name, i in (("field", 0), ("field", 1), ("wood", 11)):
        made = decode_stored((dst / name / f"{i:02d}.{encoding}").read_bytes()).pixels
        seed = image_seed(0, f"{name}/{i:02d}")
        expected = texture(exemplars(image(hash_of(name, i)), size=24, seed=seed), size=32, seed=seed)
        np.testing.assert_array_equal(made, expected)
        assert made.dtype == np.uint16
    assert verify(VerifyConfig(str(dst), str(stacks), pixels=True, resynth=5)) == 0


@pytest.mark.parametrize(
    ("channels", "depth"),
    [(1, "uint8"), (1, "uint16"), (2, "uint8"), (3, "uint16"), (4, "float32"), (16, "float64")],
)
def test_every_depth_comes_back(tmp_path: Path, run: Run, manifest: Rows, channels: int, depth: str) -> None:
    src = tmp_path / "src"
    src.mkdir()
    for i in range(3):
        (src / f"{i}.tif").write_bytes(encode(image(i, channels, depth), "tiff"))
    dst = run(src, encoding="npy", small="upscale", exemplar_size=70)
    assert [row["status"] for row in manifest(dst)] == ["ok"] * 3
    made = np.load(dst / "1.npy")
    assert made.shape == (32, 32, channels)
    assert made.dtype == depth


def test_images_of_another_depth_or_channels_are_named(
    tmp_path: Path, run: Run, manifest: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    src = tmp_path / "src"
    src.mkdir()
    nan = image(1, 8, "float32")
    nan[2, 3, 4] = np.nan
    for name, pixels in {
        "a": image(0), "b": image(1, 3), "c": image(2, 8, "uint8"), "d": nan, "e": image(3), "f": image(4, 20)
    }.items():  # fmt: skip
        np.save(src / f"{name}.npy", pixels)
    dst = run(src, encoding="tiff", max_error_rate=1.0)
    found = {row["key"]: (row["status"], row["error"]) for row in manifest(dst)}
    convert = "in a set of uint16 x 8: convert it, or put it into a set of its own"
    assert found["a"] == found["e"] == ("ok", None)
    assert found["b"] == ("unsupported", f"uint16 x 3 {convert}")
    assert found["c"] == ("unsupported", f"uint8 x 8 {convert}")
    assert found["d"][1].startswith("nan at row 2, column 3, channel 4: replace")
    assert found["f"][1].startswith("20 channels: allowed is 1 to 16")
    assert "  b.npy: unsupported, uint16 x 3 in a set of uint16 x 8" in capsys.readouterr().err
    with pytest.raises(
        InputError, match=r"no image shows which depth and channels all have .f.npy: 20 channels"
    ):
        for name in "abcde":
            (src / f"{name}.npy").unlink()
        run(src, "other", encoding="tiff")


def test_pairs_of_tars_are_made_opened_and_exported(stacks: Path, run: Run, tmp_path: Path) -> None:
    dst = run(stacks, encoding="npy", layout="paired", shard_size=10)
    from texneg.datasets.images import open_images

    images = open_images(dst, stored=True)
    textures = open_images(dst, textures=True, stored=True)
    assert len(images) == len(textures) == 24
    assert images[1][0].dtype == textures[1][0].dtype == np.uint16
    np.testing.assert_array_equal(images[1][0], image(hash_of("field", 1)))
    assert verify(VerifyConfig(str(dst), str(stacks), pixels=True, resynth=3)) == 0
    with pytest.raises(InputError, match=r"textures of uint16 x 8 as npy.*use --to litdata"):
        export(ExportConfig(str(dst), str(tmp_path / "set"), "parquet"))
    assert export(ExportConfig(str(dst), str(tmp_path / "set"), "litdata")) == 0
    assert "np.load(BytesIO" in (tmp_path / "set" / "README.md").read_text()


def test_arrays_in_tars_are_images_where_that_is_asked_for(tmp_path: Path, run: Run, manifest: Rows) -> None:
    (tmp_path / "src").mkdir()
    with tarfile.open(tmp_path / "src" / "0.tar", "w") as tar:
        for i in range(3):
            info, data = tarfile.TarInfo(f"x{i}.npy"), encode(image(i), "npy")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    assert len(manifest(run(tmp_path / "src", encoding="npy"))) == 3
    with pytest.raises(InputError, match="no images"):
        run(tmp_path / "src", "rgb")


def test_rgb_runs_do_not_see_arrays(photos: Path, tmp_path: Path, run: Run) -> None:
    import shutil

    src = Path(shutil.copytree(photos, tmp_path / "src"))
    before = {p.name: p.read_bytes() for p in run(src, "a").rglob("*.webp")}
    np.save(src / "ant" / "features.npy", image(0))
    assert {p.name: p.read_bytes() for p in run(src, "b").rglob("*.webp")} == before


@pytest.mark.slow
def test_a_killed_run_of_16_bits_goes_on_to_the_same_bytes(
    stacks: Path, run: Run, state: State, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"size": 32, "exemplar_size": 24, "encoding": "tiff", "part_size": 3}
    dst = tmp_path / "killed"
    command = SynthConfig.flat(str(stacks), str(dst), workers=2, shard_size=12, **options)
    words = [sys.executable, "-m", *command.command().split()]
    with subprocess.Popen(words, start_new_session=True, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 300
        while not list(Path(f"{dst}.texneg").glob("parts/**/*.json")) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
    assert synth(SynthConfig.flat(str(stacks), str(dst), executor="sync", shard_size=12, **options)) == 0
    whole = run(stacks, "whole", **options)
    assert state(dst)[0] == state(whole)[0]
    assert verify(VerifyConfig(str(dst), str(stacks), pixels=True)) == 0
