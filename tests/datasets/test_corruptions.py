"""Corruptions against the outputs of the official generator, where the reference files are present."""

import os
from pathlib import Path

import numpy as np
import pytest

from texneg.datasets.corruptions import CORRUPTIONS, corrupt
from texneg.philox.arrays import generator

REFERENCE = Path(os.environ.get("TEXNEG_REFERENCE", Path(__file__).parents[3] / "shared" / "reference"))


@pytest.mark.parametrize("picture", ["coffee224", "coffee32", "card32"])
@pytest.mark.parametrize("name", sorted(CORRUPTIONS))
def test_equals_the_official_generator(picture: str, name: str) -> None:
    path = REFERENCE / "corruptions" / f"{picture}.npz"
    if not path.exists():
        pytest.skip(f"reference outputs not found at {path}; set TEXNEG_REFERENCE")
    arrays = np.load(path)
    suffix = "__new" if name == "jpeg_compression" else ""
    severities = [s for s in range(1, 6) if f"{name}_{s}{suffix}" in arrays]
    assert severities
    for severity in severities:
        ours = corrupt(arrays["input"], name, severity=severity, rng=np.random.RandomState(severity))
        difference = np.abs(ours.astype(int) - arrays[f"{name}_{severity}{suffix}"])
        # The test card has flat areas, where a blurred 254.999... may truncate either way.
        assert difference.max() <= (1 if name == "gaussian_blur" else 0)
        assert (difference > 0).mean() < 0.1


@pytest.mark.parametrize("name", sorted(CORRUPTIONS))
def test_severity_orders_the_damage(name: str) -> None:
    image = generator(1).integers(0, 256, size=(48, 48, 3), dtype=np.uint8)
    weak, strong = (corrupt(image, name, severity=s, rng=generator(2, s)) for s in (1, 5))
    assert 0 < np.abs(weak.astype(int) - image).mean() < np.abs(strong.astype(int) - image).mean()


def test_bad_arguments_name_what_is_allowed() -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(ValueError, match="gaussian_noise"):
        corrupt(image, "rain", severity=1, rng=generator(0))
    with pytest.raises(ValueError, match="1, 2, 3, 4, 5"):
        corrupt(image, "contrast", severity=6, rng=generator(0))
