"""Corruptions against the outputs of the official generator, where the reference files are present.

Every array and every hash is met exactly, and so is the next number of the stream; only JPEG depends on the
codec of the day.
"""

import hashlib
import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from texneg.datasets.corruptions.corrupt import ALL, corrupt
from texneg.datasets.corruptions.draws import LegacyDraws
from texneg.datasets.corruptions.pictures import Pictures

REFERENCE = Path(os.environ.get("TEXNEG_REFERENCE", Path(__file__).parents[4] / "shared" / "reference"))
FROST_SIZES = (300, 420), (280, 333), (260, 260), (512, 300), (225, 480)
JPEG_MEAN = {"coffee224": 1.2, "coffee32": 5.0, "card32": 13.0}  # of the differences between two codecs


def read(name: str) -> Path:
    path = REFERENCE / "corruptions" / name
    if not path.exists():
        pytest.skip(f"reference outputs not found at {path}; set TEXNEG_REFERENCE")
    return path


@cache
def synthetic_frost() -> Pictures:
    """The made-up photographs that the reference was computed with."""
    made = []
    for i, (h, w) in enumerate(FROST_SIZES, start=1):
        y, x, c = np.ogrid[:h, :w, :3]
        made.append(((3 * x + 5 * y + 40 * c + 17 * i + x * y // 16) % 256).astype(np.uint8))
    return Pictures(made)


def run(image: npt.NDArray[np.uint8], name: str, severity: int, seed: int) -> tuple[bytes, float]:
    """Corrupt, and return the pixels and the next number of the stream."""
    rng = np.random.RandomState(seed)
    out = corrupt(image, name, severity=severity, draws=LegacyDraws(rng, synthetic_frost))
    return out.tobytes(), rng.random_sample()


@pytest.mark.parametrize("picture", ["coffee224", "card224", "coffee32", "card32"])
@pytest.mark.parametrize("name", [name for name in ALL if name != "jpeg_compression"])
def test_equals_the_official_generator(picture: str, name: str) -> None:
    arrays, hashes = np.load(read(f"{picture}.npz")), json.loads(read("hashes.json").read_text("utf-8"))
    key = "frost_synthetic" if name == "frost" else name
    suffix = "__new" if name == "elastic_transform" else ""
    for severity in range(1, 6):
        if (stored := f"{key}_{severity}{suffix}") in arrays:
            assert run(arrays["input"], name, severity, severity)[0] == arrays[stored].tobytes()
        for seed, expected in hashes["outputs"][picture].get(key, {}).get(str(severity), {}).items():
            pixels, following = run(arrays["input"], name, severity, int(seed))
            assert following == expected["next"]
            if "sha256" in expected:
                assert hashlib.sha256(pixels).hexdigest() == expected["sha256"]


@pytest.mark.parametrize("picture", sorted(JPEG_MEAN))
def test_jpeg_is_as_near_as_codecs_are(picture: str) -> None:
    arrays = np.load(read(f"{picture}.npz"))
    for severity in (1, 3, 5):
        pixels, _ = run(arrays["input"], "jpeg_compression", severity, 0)
        ours = np.frombuffer(pixels, np.uint8).reshape(arrays["input"].shape).astype(int)
        stored = (arrays[f"jpeg_compression_{severity}__{which}"] for which in ("old", "new"))
        assert min(np.abs(ours - other).mean() for other in stored) < JPEG_MEAN[picture]
