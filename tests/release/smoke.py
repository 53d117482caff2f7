"""Use an installed texneg as a newcomer would, in an empty folder; any failure ends it with a traceback.

Imports nothing that texneg itself does not bring along. The last line names the versions.
"""

import hashlib
import importlib
import pkgutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

import texneg
from texneg.cli.main import main

OPTIONAL = {"dask_jobqueue", "lightly", "sklearn", "threadpoolctl"}  # of the extras
PATCHES = "9148f0270d9fa7cc"  # of the negatives below, whatever the versions
SHOWN = ("torch", "numba", "numpy", "dask", "opencv-python-headless", "pillow", "pyarrow", "timm", "tyro")


def import_everything() -> int:
    """Import every module; only the packages of extras may be missing."""
    count = 0
    for module in pkgutil.walk_packages(texneg.__path__, "texneg."):
        if module.name == "texneg.__main__":
            continue
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            if error.name not in OPTIONAL:
                raise
        count += 1
    for name in texneg.__all__:
        getattr(texneg, name)
    return count


def call(line: str) -> None:
    """Run a command line in this process; it must end with 0."""
    if status := main(line.split()):
        sys.exit(f"texneg {line} ended with {status}")


def make_images(root: Path) -> None:
    """Draw two classes, stripes across and stripes down, in a split to train on and one to test with."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 24), ("val", 8)):
        for name, axis in (("across", 0), ("down", 1)):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                stripes = 127 + 100 * np.sin(np.arange(64) * draw.uniform(0.3, 0.9))
                pixels = np.broadcast_to(np.expand_dims(stripes, 1 - axis)[..., None], (64, 64, 3))
                noisy = np.clip(pixels + draw.normal(0, 9, pixels.shape), 0, 255).astype(np.uint8)
                Image.fromarray(noisy).save(root / split / name / f"{i}.png")


if __name__ == "__main__":
    print(import_everything(), "modules")
    console = Path(sys.executable).with_name("texneg")
    told = subprocess.run([console, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    assert told == version("texneg") == texneg.__version__, told
    subprocess.run([console, "doctor"], check=True)

    images = np.arange(2 * 48 * 48 * 3, dtype=np.uint32).reshape(2, 48, 48, 3).astype(np.uint8)
    made = hashlib.sha256(texneg.patch_negatives(images, index=[0, 1], epoch=0).tobytes()).hexdigest()[:16]
    assert made == PATCHES, made

    make_images(Path("data"))
    call("synth data/train textures --size 64 --exemplar-size 24 --workers 2")
    call("verify textures data/train")
    call("sheet data/train --textures textures --out sheet.png --count 2 --kinds patch texture texture_live")
    call("audit data/train --out audit --size 48 --negatives patch texture_live")
    small = "--data data --epochs 1 --batch 16 --queue 16 --workers 0 --device cpu"
    call(f"pretrain demo {small} --negatives none --out runs/baseline")
    call(f"pretrain demo {small} --out runs/patch")
    for run in ("runs/baseline", "runs/patch"):
        call(f"probe {run} --data data/train --test data/val --out {run}")
        call(f"ood {run} --out {run} --sets noise=data/val")
        call(f"analyze similarity {run} --data data --out {run}")
    call("report runs/baseline runs/patch --out report.html")
    assert Path("report.html").stat().st_size > 10_000
    print("python", sys.version.split()[0], *(f"{name} {version(name)}" for name in SHOWN))
