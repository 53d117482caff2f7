"""Running again after tars of inputs were cut short, emptied and mended."""

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from texneg.errors import RunFailed
from texneg.synth.synth import SynthConfig, synth

Printed = pytest.CaptureFixture[str]


@pytest.fixture
def copy(shards: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shards, tmp_path / "copy"))


def make(src: Path, dst: Path) -> None:
    options = {"size": 32, "exemplar_size": 24, "executor": "sync"}
    assert synth(SynthConfig.flat(str(src), str(dst), **options)) == 0


def files(dst: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in dst.rglob("*.tar")}


def cut(tar: Path) -> None:
    tar.write_bytes(tar.read_bytes()[: tar.stat().st_size // 2])


def cut_in_first_header(tar: Path) -> None:
    tar.write_bytes(tar.read_bytes()[:300])


def empty(tar: Path) -> None:
    tar.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, cut_in_first_header, empty])
def test_a_tar_cut_short_after_a_call_fails_until_it_is_mended(
    copy: Path, tmp_path: Path, capsys: Printed, damage: Callable[[Path], None]
) -> None:
    dst, tar = tmp_path / "out", copy / "00001.tar"
    make(copy, dst)
    whole = files(dst)
    kept = tar.read_bytes()
    damage(tar)
    for _ in range(2):
        with pytest.raises(RunFailed, match=r"break off: 1 .*00001\.tar.*mend the tars and repeat: texneg"):
            make(copy, dst)
    assert ("hold no image any more" in capsys.readouterr().err) == (damage is not cut)
    tar.write_bytes(kept)
    make(copy, dst)
    assert files(dst) == whole
    tar.unlink()
    make(copy, dst)
    assert "inputs that are gone, their textures stay: 1 (00001.tar)" in capsys.readouterr().err


def test_a_tar_cut_short_before_the_first_call_is_mended_later(
    copy: Path, tmp_path: Path, capsys: Printed
) -> None:
    whole = tmp_path / "whole"
    make(copy, whole)
    kept = {name: (copy / name).read_bytes() for name in ("00000.tar", "00001.tar")}
    cut(copy / "00000.tar")
    empty(copy / "00001.tar")
    dst = tmp_path / "out"
    for _ in range(2):
        with pytest.raises(RunFailed, match="break off: 2"):
            make(copy, dst)
    assert "--extend" not in capsys.readouterr().err
    for name, data in kept.items():
        (copy / name).write_bytes(data)
    make(copy, dst)
    assert "add them with --extend: 1 (00001.tar)" in capsys.readouterr().err
    assert files(dst) == {name: data for name, data in files(whole).items() if name != "00001.tar"}


def test_a_tar_without_images_is_named_in_every_call(copy: Path, tmp_path: Path, capsys: Printed) -> None:
    dst, tar = tmp_path / "out", copy / "00001.tar"
    make(copy, dst)
    before = files(dst)
    with tarfile.open(tar, "w") as stream:
        stream.add(__file__, "readme.txt")
    capsys.readouterr()
    for _ in range(2):
        make(copy, dst)
        printed = capsys.readouterr().err
        assert "tars that hold no image any more, their textures stay: 1 (00001.tar)" in printed
    assert files(dst) == before


def test_a_tar_replaced_by_a_dead_link_fails(copy: Path, tmp_path: Path) -> None:
    dst = tmp_path / "out"
    make(copy, dst)
    (copy / "00001.tar").unlink()
    (copy / "00001.tar").symlink_to(tmp_path / "nowhere")
    with pytest.raises(RunFailed, match=r"break off: 1 .*00001\.tar"):
        make(copy, dst)
