"""Settings of all tests, and small sets of images with runs of `texneg synth` on them.

Triton runs compiled where there is a CUDA device, else in its interpreter; no test is too slow to pass.
"""

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from PIL import Image

from texneg.synth.synth import SynthConfig, synth

if torch.cuda.is_available():
    os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")  # today's default, without the warning of 3.9
else:
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is first imported

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


CLASSES, PER_CLASS = ("ant", "bee", "cow"), 8
SMALL = {"size": 32, "exemplar_size": 24, "executor": "sync"}


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
