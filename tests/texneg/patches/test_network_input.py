"""Shuffled, normalised, cast bytes: equal to normalising the negatives, to the bit, however they are made."""

import math

import numpy as np
import pytest
import torch

from texneg.patches import network_input as module
from texneg.patches.network_input import patch_inputs
from texneg.patches.patches import patch_negatives
from texneg.train.networks.normalise import Normalise

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPES = ["float32", "bfloat16", "float16"]
BITS = {torch.float32: torch.int32, torch.bfloat16: torch.int16, torch.float16: torch.int16}
IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 3, 24, 30), np.uint8))
OPTIONS = {"count": 2, "seed": 4, "epoch": 1, "index": [0, 2**62, 7]}


def same_bits(one, other):
    bits = BITS[one.dtype]
    return one.dtype == other.dtype and torch.equal(one.view(bits), other.to(one.device).view(bits))


@pytest.fixture(params=["the device's way", "kernel", "torch"])
def way(request, monkeypatch):
    """Made as a user's are on this device, by the Triton kernel (interpreted on a CPU), by torch's gather."""
    if request.param == "kernel":
        pytest.importorskip("triton")
        monkeypatch.setattr(module, "runs_triton", lambda device: True)
    if request.param == "torch":
        monkeypatch.setattr(module, "runs_triton", lambda device: False)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", DTYPES)
def test_equals_the_trainers_normalisation_of_the_negatives(dtype):
    made = patch_inputs(IMAGES.to(DEVICE), dtype=getattr(torch, dtype), **OPTIONS)
    negatives = patch_negatives(IMAGES, **OPTIONS)
    expected = Normalise()(negatives.flatten(0, 1).permute(0, 2, 3, 1)).unflatten(0, (3, 2))
    assert made.shape == (3, 2, 3, 24, 30)
    assert same_bits(made, expected.to(getattr(torch, dtype)))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "strided"])
def test_any_strides_in_channels_last_out(layout):
    pixels = IMAGES
    if layout == "NHWC":
        pixels = IMAGES.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    elif layout == "strided":
        pixels = IMAGES.repeat_interleave(2, dim=3)[..., ::2]
    made = patch_inputs(pixels.to(DEVICE), **OPTIONS)
    assert made.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    assert same_bits(made, patch_inputs(IMAGES.to(DEVICE), **OPTIONS))


@pytest.mark.parametrize("options", [{"overlap": False}, {"paper": True}, {"flip": True, "rotate": True}])
def test_the_options_are_those_of_patch_negatives(options):
    mean, std = (0.0, 0.25, 0.5), (1.0, 0.5, 2.0)
    made = patch_inputs(IMAGES.to(DEVICE), mean=mean, std=std, size=(4, 9), **options, **OPTIONS).cpu()
    moved = patch_negatives(IMAGES, size=(4, 9), **options, **OPTIONS).double() / 255
    centre, scale = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1) for values in (mean, std))
    assert torch.allclose(made.double(), (moved - centre) / scale, rtol=0, atol=2e-6)


def test_one_channel_and_an_empty_batch():
    grey = patch_inputs(IMAGES[:, :1].to(DEVICE), mean=[0.5], std=[0.5])
    assert grey.shape == (3, 1, 1, 24, 30)
    assert -1 <= grey.min() < grey.max() <= 1
    assert patch_inputs(IMAGES[:0].to(DEVICE), count=2).shape == (0, 2, 3, 24, 30)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("pixels", "options", "message"),
    [
        (IMAGES.float(), {}, "float32; it must be uint8"),
        (IMAGES[0], {}, r"\(N, C, H, W\)"),
        (IMAGES[:, :2], {}, "3 values, pixels 2 channels"),
        (IMAGES, {"mean": (0.5,)}, "as many"),
        (IMAGES, {"std": (0.5, 0.0, 0.5)}, "above 0"),
        (IMAGES, {"dtype": torch.int64}, "int64; it must be one of torch.s float32"),
        (IMAGES, {"dtype": "float32"}, "dtype is .float32.; it must be one of"),
        (IMAGES, {"mean": (0.5, math.nan, 0.5)}, "finite"),
        (IMAGES, {"std": (0.5, math.inf, 0.5)}, "finite"),
        (IMAGES, {"size": (4, 25)}, "1 <= lo <= hi <= 24"),
        (IMAGES, {"count": 0}, "count is 0"),
        (IMAGES, {"index": [1, 2]}, "3 integers"),
        (IMAGES, {"paper": True, "overlap": False}, "overlap"),
    ],
)
def test_wrong_input_says_what_is_allowed(pixels, options, message):
    with pytest.raises(ValueError, match=message):
        patch_inputs(pixels.to(DEVICE), **options)


def test_an_array_is_a_type_error():
    with pytest.raises(TypeError, match="ndarray"):
        patch_inputs(IMAGES.numpy())


@pytest.mark.parametrize("options", [{"mean": 0.5}, {"std": None}, {"mean": "abc"}])
def test_numbers_that_are_none_are_a_type_error(options):
    with pytest.raises(TypeError, match="it must be a number for each channel"):
        patch_inputs(IMAGES, **options)
