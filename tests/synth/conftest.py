"""Fixtures: small sets of images, runs on them, and the files that a run left."""

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from texneg.synth.config import SynthConfig
from texneg.synth.ledger.manifest import to_table
from texneg.synth.run import synth

CLASSES, PER_CLASS = ("ant", "bee", "cow"), 8
SMALL = {"size": 32, "exemplar_size": 24, "executor": "sync"}
GATE = """
import itertools, os, threading, time
import texneg.datasets.decode as module
original, calls = module.decode, itertools.count()
def decode(data, **options):
    if next(calls) >= {count}:
        open(f"{gate}.{{os.getpid()}}.{{threading.get_ident()}}.waits", "w").close()
        while not os.path.exists("{gate}"):
            time.sleep(0.01)
    return original(data, **options)
module.decode = decode
"""


def jpeg(seed: int, height: int = 60, width: int = 80) -> bytes:
    """Blocks of random colours, encoded."""
    colours = np.random.default_rng(seed).integers(0, 256, (height // 6, width // 6, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(colours).resize((width, height)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def write_tree(root: Path, per_class: int) -> Path:
    """Class folders of JPEG files."""
    for c, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for i in range(per_class):
            (root / name / f"{name}.{i:03d}.JPEG").write_bytes(jpeg(1000 * c + i))
    return root


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 images in three class folders; names with dots."""
    return write_tree(tmp_path_factory.mktemp("data") / "photos", PER_CLASS)


@pytest.fixture(scope="session")
def many_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 images, enough for a kill in the middle of the work."""
    return write_tree(tmp_path_factory.mktemp("data") / "many", 200)


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """The same images in two WebDataset tars, with their class numbers."""
    folder = tmp_path_factory.mktemp("data") / "shards"
    folder.mkdir()
    files = sorted(photos.rglob("*.JPEG"))
    for number, part in enumerate((files[:13], files[13:])):
        with tarfile.open(folder / f"{number:05d}.tar", "w") as tar:
            for path in part:
                key = path.stem.replace(".", "-")
                label = str(CLASSES.index(path.parent.name)).encode()
                for name, data in ((f"{key}.jpg", path.read_bytes()), (f"{key}.cls", label)):
                    info = tarfile.TarInfo(name)
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """Make small textures in this process; returns DST."""

    def call(src: Path, name: str = "out", **options: Any) -> Path:
        assert synth(SynthConfig.flat(str(src), str(tmp_path / name), **{**SMALL, **options})) == 0
        return tmp_path / name

    return call


@pytest.fixture
def startup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have every Python process that starts from now on run this code first."""

    def install(code: str) -> None:
        folder = tmp_path / "hook"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)

    return install


@pytest.fixture
def gate(tmp_path: Path, startup: Callable[[str], None]) -> Callable[[int], Path]:
    """Let every process that starts from now on read so many images, and no more until a file exists.

    However slow a test is, the run that it observes does not end without it. The file's name is returned;
    each thread that waits for it makes one beside it that ends with `.waits`.
    """
    path = tmp_path / "hook" / "gate"

    def make(count: int) -> Path:
        startup(GATE.format(count=count, gate=path))
        return path

    return make


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def ledger_of(dst: Path) -> Path:
    """The ledger beside an output folder."""
    return dst.with_name(f"{dst.name}.texneg")


@pytest.fixture(scope="session")
def state() -> Callable[[Path], Any]:
    """Everything that a run reproduces: outputs, manifest, quarantine, checksums; and no left-overs."""

    def read(dst: Path) -> Any:
        ledger = ledger_of(dst)
        left = [p for root in (dst, ledger) for p in root.rglob(".*") if p.is_file()]
        assert not left
        assert not (ledger / "parts").exists()
        assert not (ledger / "lock").exists()
        manifest = (ledger / "manifest" / "part-00000.parquet").read_bytes()
        quarantine = (ledger / "quarantine.parquet").read_bytes()
        return files_of(dst), manifest, quarantine, (ledger / "SHA256SUMS").read_bytes()

    return read


@pytest.fixture
def manifest() -> Callable[[Path], list[dict[str, Any]]]:
    """Rows of a run's manifest."""

    def read(dst: Path) -> list[dict[str, Any]]:
        data = (ledger_of(dst) / "manifest" / "part-00000.parquet").read_bytes()
        return to_table(data).to_pylist()

    return read
