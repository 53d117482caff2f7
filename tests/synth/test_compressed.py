"""Compressed tars as input: read once as a stream, with the same textures as from the tar inside."""

import gzip
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from texneg.datasets.images import open_images
from texneg.datasets.sources.compressed import COMPRESSED
from texneg.errors import InputError, RunFailed
from texneg.synth.synth import SynthConfig, synth
from texneg.synth.verify import VerifyConfig, verify

Run = Callable[..., Path]
State = Callable[[Path], Any]
Rows = Callable[[Path], list[dict[str, Any]]]
PACKERS = {".tar.gz": "gzip", ".tgz": "gzip", ".tar.xz": "lzma", ".tar.bz2": "bz2"}


def compress(shards: Path, folder: Path, suffix: str) -> Path:
    folder.mkdir()
    for path in shards.glob("*.tar"):
        data = __import__(PACKERS[suffix]).compress(path.read_bytes())
        (folder / f"{path.stem}{suffix}").write_bytes(data)
    return folder


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_compressed_tar_gives_the_textures_of_the_tar_inside(
    shards: Path, run: Run, state: State, tmp_path: Path, suffix: str
) -> None:
    files, *_ = state(run(shards, "plain"))
    src = compress(shards, tmp_path / "compressed", suffix)
    dst = run(src, "out", part_size=4)
    assert state(dst)[0] == files
    assert verify(VerifyConfig(str(dst), str(src), resynth=3)) == 0
    assert state(run(src, "out", part_size=4)) == state(dst)


def test_a_compressed_tar_that_breaks_off(shards: Path, manifest: Rows, tmp_path: Path) -> None:
    whole = gzip.compress((shards / "00000.tar").read_bytes(), mtime=0)
    (tmp_path / "compressed").mkdir()
    (tmp_path / "compressed/0.tar.gz").write_bytes(whole[: len(whole) // 2])
    settings = SynthConfig.flat(
        str(tmp_path / "compressed"), str(tmp_path / "out"), size=32, exemplar_size=24, executor="sync"
    )
    with pytest.raises(RunFailed, match=r"input tars that break off: 1 .*0\.tar\.gz"):
        synth(settings)
    statuses = [row["status"] for row in manifest(tmp_path / "out")]
    assert 3 < len(statuses) < 13
    assert set(statuses[:-1]) == {"ok"}
    assert statuses[-1] in ("ok", "truncated")


def test_damage_inside_a_compressed_tar_is_a_break(shards: Path, tmp_path: Path) -> None:
    whole = bytearray(gzip.compress((shards / "00000.tar").read_bytes(), mtime=0))
    whole[len(whole) // 2] ^= 0xFF
    (tmp_path / "0.tgz").write_bytes(whole)
    settings = SynthConfig.flat(
        str(tmp_path / "0.tgz"),
        str(tmp_path / "out"),
        size=32,
        exemplar_size=24,
        executor="sync",
        max_error_rate=1.0,
    )
    with pytest.raises(RunFailed, match="input tars that break off: 1"):
        synth(settings)


def test_limits_of_compressed_tars(shards: Path, tmp_path: Path) -> None:
    src = compress(shards, tmp_path / "compressed", ".tgz")
    with pytest.raises(InputError, match=r"00000\.tgz is compressed, .*: decompress it .* --layout paired"):
        open_images(src)
    (src / "00000.tar").write_bytes((shards / "00000.tar").read_bytes())
    with pytest.raises(InputError, match=r"would give one output tar: remove one of them"):
        synth(SynthConfig.flat(str(src), str(tmp_path / "out"), executor="sync"))


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="this Python reads Zstandard")
def test_zstandard_needs_a_newer_python(tmp_path: Path) -> None:
    (tmp_path / "0.tar.zst").write_bytes(b"\x28\xb5\x2f\xfd")
    with pytest.raises(InputError, match=r"Zstandard needs Python 3\.14; or decompress it with unzstd"):
        synth(SynthConfig.flat(str(tmp_path / "0.tar.zst"), str(tmp_path / "out"), executor="sync"))
    assert set(PACKERS) | {".tar.zst"} == set(COMPRESSED)
