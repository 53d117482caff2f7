"""Mirrored and blended patches: every executor gives the reference's bytes; what they keep of an image."""

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from texneg import PatchNegatives, patch_inputs, patch_negatives
from texneg.layout import array_bytes, tensor_bytes
from texneg.patches import cpu, device, reference, seams
from texneg.patches.patches import patch_rule, shuffle_on_device
from texneg.patches.plan import mix_weight, small_size
from texneg.patches.reverse import PIXELS, SIZES, plain_reversed, vector_reversed

INDEX = np.array([7, 2**63 + 11], np.uint64)
HALVES = {torch.float16, torch.bfloat16}
OPTIONS = st.fixed_dictionaries(
    {
        "mirror": st.integers(1, 4),
        "blend": st.sampled_from([0.0, 0.01, 0.2, 0.5, 1.0]),
        "flip": st.booleans(),
        "rotate": st.booleans(),
        "mode": st.sampled_from([{}, {"paper": True}, {"overlap": False}]),
        "ends": st.tuples(st.floats(0, 1), st.floats(0, 1)),
        "seed": st.integers(0, 2**64 - 1),
    }
)


def make_rule(sides, *, mode, ends, mirror, blend, flip, rotate, seed):
    lo, hi = sorted(1 + round(end * (min(sides) - 1)) for end in ends)
    named = {"overlap": True, "paper": False, **mode}
    return patch_rule(
        sides, (lo, hi), flip=flip, rotate=rotate, seed=seed, epoch=3, mirror=mirror, blend=blend, **named
    )


def pixels(shape, dtype=torch.uint8):
    draw = torch.Generator().manual_seed(0)
    if not dtype.is_floating_point:
        most = torch.iinfo(dtype).max
        return torch.randint(0, most + 1, shape, generator=draw, dtype=torch.int32).to(dtype)
    return torch.randn(shape, generator=draw, dtype=torch.float64).to(dtype)


def by_numpy(images, rule, count=2):
    """The definition, of (N, C, H, W) tensors."""
    wide = images.float() if images.dtype in HALVES else images
    source = tensor_bytes(wide.contiguous())
    out = np.zeros((len(source), count, *source.shape[1:]), np.uint8)
    reference.shuffle(source, out, INDEX[: len(images)], rule)
    made = torch.from_numpy(out).view(wide.dtype)
    reference.blend(made.numpy(), INDEX[: len(images)], rule)
    return made.squeeze(-1).to(images.dtype)


def bits(x):
    return x.contiguous().view({1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[x.itemsize])


@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(1, 60), st.integers(1, 60)),
    dtype=st.sampled_from(["uint8", "uint16", "float16", "bfloat16", "float32", "float64"]),
    options=OPTIONS,
)
@settings(max_examples=80, deadline=None)
def test_numba_and_torch_equal_the_reference(shape, dtype, options):
    images = pixels(shape, getattr(torch, dtype))
    rule = make_rule(shape[2:], **options)
    expected = bits(by_numpy(images, rule))
    named = options | {"size": (rule.lo, rule.hi), "index": INDEX[: shape[0]].view(np.int64), "count": 2}
    named |= named.pop("mode") | {"epoch": 3}
    del named["ends"]
    assert torch.equal(bits(patch_negatives(images, **named)), expected)
    wide = images.float() if images.dtype in HALVES else images
    rows = torch.from_numpy(INDEX[: shape[0]].view(np.int64))
    assert torch.equal(bits(device.shuffle(wide, 2, rows, rule).to(images.dtype)), expected)
    if dtype != "bfloat16":
        made = patch_negatives(images.permute(0, 2, 3, 1).numpy(), **named)
        assert torch.equal(bits(torch.from_numpy(made).permute(0, 1, 4, 2, 3)), expected)


@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 5), st.integers(1, 40), st.integers(1, 70)),
    dtype=st.sampled_from(["uint8", "uint16", "float16", "float32", "float64"]),
    options=OPTIONS,
    channels_last=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_triton_equals_the_reference(shape, dtype, options, channels_last):
    pytest.importorskip("triton")
    from texneg.patches import cuda

    where = "cuda" if torch.cuda.is_available() else "cpu"
    images = pixels(shape, getattr(torch, dtype))
    rule = make_rule(shape[2:], **options)
    rows = torch.from_numpy(INDEX[: shape[0]].view(np.int64)).to(where)
    wide = images.float() if images.dtype in HALVES and rule.blend else images
    made = cuda.shuffle(wide.to(where), 2, rows, rule, channels_last=channels_last).cpu()
    assert torch.equal(bits(made.to(images.dtype)), bits(by_numpy(images, rule)))


@pytest.mark.parametrize("wide", [False, True])
def test_triton_blends_bytes_before_the_lookup(wide, monkeypatch):
    pytest.importorskip("triton")
    from texneg.patches import cuda

    monkeypatch.setattr(cuda, "_INT32", 1 if wide else 1 << 31)
    where = "cuda" if torch.cuda.is_available() else "cpu"
    images = pixels((2, 3, 40, 40))
    rule = patch_rule((40, 40), (6, 9), True, False, False, True, 0, 0, 2, 0.5)
    lookup = torch.randn(3, 256, generator=torch.Generator().manual_seed(0))
    rows = torch.from_numpy(INDEX.view(np.int64)).to(where)
    made = cuda.shuffle(images.to(where), 2, rows, rule, lookup=lookup.to(where), channels_last=True).cpu()
    moved = by_numpy(images, rule).long()
    expected = torch.stack([lookup[c][moved[:, :, c]] for c in range(3)], dim=2)
    assert torch.equal(made, expected)


def test_halves_on_a_device_are_rounded_once():
    images = pixels((2, 3, 20, 20), torch.float16)
    rule = patch_rule((20, 20), None, True, False, False, False, 0, 0, 2, 0.5)
    rows = torch.from_numpy(INDEX.view(np.int64))
    assert torch.equal(bits(shuffle_on_device(images.to("cpu"), 2, rows, rule)), bits(by_numpy(images, rule)))


PHOTO = np.random.default_rng(0).integers(40, 200, (6, 60, 72, 3), np.uint8)


def test_without_options_the_bytes_are_the_plain_ones():
    plain = patch_negatives(PHOTO, seed=5)
    assert np.array_equal(patch_negatives(PHOTO, seed=5, mirror=1, blend=0), plain)
    assert np.array_equal(patch_negatives(PHOTO, seed=5, blend=0.001), plain)  # less than a 256th
    rule = patch_rule((60, 72), None, True, False, False, False, 5, 0)
    out = np.empty_like(plain)
    cpu.shuffle(array_bytes(PHOTO), array_bytes(out), np.arange(6, dtype=np.uint64), rule)
    assert np.array_equal(out, plain)


def test_blending_changes_only_the_pixels_at_seams():
    d = 12
    plain, blended = (patch_negatives(PHOTO, size=(d, d), blend=blend) for blend in (0, 0.5))
    changed = (plain != blended).any(axis=(0, 1, 4))
    depth = d // 4
    for axis, length in ((1, 60), (0, 72)):
        lines = changed.mean(axis=axis)
        near = np.array([i for s in range(d, length, d) for i in range(s - depth, s + depth)])
        far = np.setdiff1d(np.arange(length), near)
        assert lines[near].min() > lines[far].max()
    assert not changed[depth : d - depth, depth : d - depth].any()


@pytest.mark.parametrize("mirror", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
def test_blended_values_stay_within_the_image(dtype, mirror):
    images = PHOTO.astype(dtype) / (1 if dtype == "uint8" else 7)
    images = images.astype(dtype)
    made = patch_negatives(images, mirror=mirror, blend=1.0)
    assert made.min() >= images.min()
    assert made.max() <= images.max()
    constant = np.full((1, 40, 40, 3), 0.1 if dtype != "uint8" else 77, dtype)
    assert np.array_equal(patch_negatives(constant, mirror=mirror, blend=1.0)[:, 0], constant)


def test_infinite_values_far_from_seams_stay():
    images = np.full((1, 48, 48, 1), -0.0, np.float32)
    images[0, 20, 20] = np.inf
    made = patch_negatives(images, size=(16, 16), count=8, blend=0.25)
    assert np.isinf(made).any()
    middle = patch_negatives(images, size=(48, 48), blend=1.0)
    assert np.array_equal(middle.view(np.int32), images[:, None].view(np.int32))  # one tile has no seam


def test_a_mirrored_tile_is_a_square_and_its_mirror_images():
    made = patch_negatives(PHOTO, size=(10, 10), mirror=3)[:, 0]
    tile = made[:, :30, :30]
    assert np.array_equal(tile[:, :, 10:20], tile[:, :, 9::-1])
    assert np.array_equal(tile[:, :, 20:], tile[:, :, :10])
    assert np.array_equal(tile[:, 10:20], tile[:, 9::-1])
    assert np.array_equal(made[:, :10, :10], patch_negatives(PHOTO, size=(10, 10))[:, 0, :10, :10])


def test_blending_keeps_most_of_the_local_variance():
    """White noise is the worst case: narrow seams, of a fifth of the squares, cost a few per cent."""
    noise = np.random.default_rng(1).normal(0, 1, (20, 128, 128, 1)).astype(np.float32)
    for blend, least in ((0.125, 0.93), (0.25, 0.86)):
        made = patch_negatives(noise, size=(16, 48), mirror=2, blend=blend)
        assert least < made.var() / noise.var() < 1.03


def test_weights_fall_from_nearly_a_half_to_almost_nothing():
    assert [mix_weight(u, 3) for u in range(3)] == [106, 64, 21]
    assert mix_weight(0, 1) == 64
    assert all(0 <= mix_weight(u, depth) <= 127 for depth in range(1, 300) for u in range(depth))


def test_the_small_range_by_name():
    assert small_size(224, 224) == (16, 48)
    expected = patch_negatives(PHOTO, size=small_size(60, 72))
    assert np.array_equal(patch_negatives(PHOTO, size="small"), expected)


def test_options_reach_the_transform_and_the_network_input():
    options = {"size": "small", "mirror": 2, "blend": 0.25, "seed": 3}
    expected = patch_negatives(PHOTO, index=range(6), epoch=2, **options)[:, 0]
    transform = PatchNegatives(**options)
    assert np.array_equal(transform(PHOTO[4], index=4, epoch=2), expected[4])
    planar = torch.from_numpy(PHOTO).permute(0, 3, 1, 2)
    made = patch_inputs(planar, epoch=2, mean=(0, 0, 0), std=(1, 1, 1), **options)[:, 0]
    expected = torch.from_numpy(expected).permute(0, 3, 1, 2)
    torch.testing.assert_close(made * 255, expected.float())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mirror": 0}, ValueError, "mirror is 0; it must be 1 to 8"),
        ({"mirror": 9}, ValueError, "mirror is 9; it must be 1 to 8"),
        ({"mirror": 1.5}, TypeError, "mirror is 1.5; it must be an integer"),
        ({"blend": -0.1}, ValueError, "blend is -0.1; it must be a share of the patch side from 0 to 1"),
        ({"blend": 4}, ValueError, "blend is 4; .* from 0 to 1"),
        ({"blend": float("nan")}, ValueError, "blend is nan"),
        ({"blend": "wide"}, ValueError, "blend is 'wide'"),
        ({"size": "tiny"}, ValueError, 'patch size tiny .* or "small"'),
    ],
)
def test_wrong_options_say_what_is_allowed(options, error, message):
    with pytest.raises(error, match=message):
        patch_negatives(PHOTO, **options)


@given(count=st.integers(PIXELS, 90), size=st.sampled_from(SIZES))
@settings(max_examples=60, deadline=None)
def test_vectors_reverse_pixels_as_the_loop_does(count, size):
    memory = np.random.default_rng(count).integers(0, 256, 2 * count * size + 5, np.uint8)
    numbers = [np.uint64(x) for x in (count * size + 2, (count - 1) * size, count, size)]
    expected = memory.copy()
    plain_reversed(expected, *numbers)
    run_vectors(memory, *numbers)
    assert np.array_equal(memory, expected)


if os.environ.get("NUMBA_DISABLE_JIT") != "1":
    from numba import njit

    @njit
    def run_vectors(memory, to, last, count, size):
        vector_reversed(memory, to, last, count, size)


def test_the_compiled_module_is_used_for_mirrors_alone(monkeypatch):
    monkeypatch.setattr(seams, "shuffle", None)
    patch_negatives(PHOTO, blend=0.2)
    with pytest.raises(TypeError):
        patch_negatives(PHOTO, mirror=2)
