"""The Triton kernels move the bytes of the NumPy reference: compiled on a CUDA device, else interpreted."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from texneg.devices import runs_triton
from texneg.layout import tensor_bytes
from texneg.patches import reference as by_numpy
from texneg.patches.plan import Rule, Source, batch_key, default_size, divisors

pytest.importorskip("triton")
from texneg.patches import cuda

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
INDEX = np.array([7, 2**31 + 5, 2**63 + 11], np.uint64)


def pixels(shape, dtype=torch.uint8, seed=0):
    draws = np.random.default_rng(seed)
    return torch.from_numpy(draws.integers(0, 256, shape, np.uint8)).to(dtype)


def reference(images, count, index, rule):
    """By NumPy, (N, count, C, H, W)."""
    source = tensor_bytes(images.contiguous())
    out = np.zeros((len(source), count, *source.shape[1:]), np.uint8)
    by_numpy.shuffle(source, out, index, rule)
    return torch.from_numpy(out).view(images.dtype).squeeze(-1)


def kernel(images, count, index, rule, **options):
    rows = torch.from_numpy(index.view(np.int64)).to(DEVICE)
    return cuda.shuffle(images.to(DEVICE), count, rows, rule, **options).cpu()


@pytest.mark.parametrize("turns", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("source", Source)
def test_every_source_and_turn(source, turns):
    images = pixels((3, 3, 20, 30))
    lo, hi = (2, 10) if source == Source.PERMUTATION else default_size(20, 30)
    rule = Rule(batch_key(5, 1), lo, hi, source, *turns)
    assert torch.equal(kernel(images, 2, INDEX, rule), reference(images, 2, INDEX, rule))


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "strided", "expanded"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "bfloat16", "float32", "float64"])
def test_every_dtype_and_layout(dtype, layout, channels_last):
    images = pixels((3, 3, 17, 19), getattr(torch, dtype))
    if layout == "NHWC":
        images = images.contiguous(memory_format=torch.channels_last)
    elif layout == "strided":
        images = pixels((3, 6, 20, 40), images.dtype)[:, ::2, 3:, 1:39:2]
    elif layout == "expanded":
        images = images[:, :1].expand(3, 3, 17, 19)
    rule = Rule(batch_key(1, 0), *default_size(17, 19), Source.CROPS, flip=True)
    made = kernel(images, 2, INDEX, rule, channels_last=channels_last)
    assert made.dtype == images.dtype
    assert torch.equal(made, reference(images, 2, INDEX, rule))
    flat = torch.channels_last if channels_last else torch.contiguous_format
    assert made.flatten(0, 1).is_contiguous(memory_format=flat)


@pytest.mark.parametrize(
    ("shape", "source"),
    [
        ((2, 3, 31, 50), Source.PAPER),
        ((1, 1, 17, 17), Source.DISJOINT),
        ((1, 5, 33, 65), Source.CROPS),
        ((1, 8, 1, 9), Source.CROPS),
        ((1, 2, 9, 1), Source.PAPER),
        ((1, 3, 224, 224), Source.CROPS),
    ],
)
def test_sizes_and_channels(shape, source):
    images = pixels(shape)
    rule = Rule(batch_key(9, 3), *default_size(*shape[2:]), source)
    lo = min(rule.lo, *shape[2:])
    rule = rule._replace(lo=lo, hi=max(lo, min(rule.hi, *shape[2:])))
    index = INDEX[: shape[0]]
    assert torch.equal(kernel(images, 1, index, rule), reference(images, 1, index, rule))


@given(
    shape=st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(1, 40), st.integers(1, 70)),
    ends=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    source=st.sampled_from(Source),
    turns=st.tuples(st.booleans(), st.booleans()),
    channels_last=st.booleans(),
    seed=st.integers(0, 2**64 - 1),
)
@settings(max_examples=25, deadline=None)
def test_any_shape_and_patch_range(shape, ends, source, turns, channels_last, seed):
    side = min(shape[2:])
    lo, hi = sorted(1 + round(end * (side - 1)) for end in ends)
    lo = 1 if source == Source.PERMUTATION and not divisors(*shape[2:], lo, hi) else lo
    rule, index = Rule(batch_key(seed, 0), lo, hi, source, *turns), np.full(shape[0], seed, np.uint64)
    images = pixels(shape, seed=seed)
    made = kernel(images, 2, index, rule, channels_last=channels_last)
    assert torch.equal(made, reference(images, 2, index, rule))


def test_bytes_become_what_the_table_says_in_channels_last():
    images = pixels((3, 3, 20, 31))
    lookup = torch.randn(3, 256, generator=torch.Generator().manual_seed(0)).bfloat16()
    rule = Rule(batch_key(0, 0), 3, 9, Source.CROPS)
    for layout in (torch.contiguous_format, torch.channels_last):
        for last in (False, True):
            source = images.contiguous(memory_format=layout)
            made = kernel(source, 2, INDEX, rule, lookup=lookup.to(DEVICE), channels_last=last)
            moved = reference(images, 2, INDEX, rule).long()
            expected = torch.stack([lookup[c][moved[:, :, c]] for c in range(3)], dim=2)
            assert torch.equal(made.view(torch.int16), expected.view(torch.int16))


@pytest.mark.parametrize("channels_last", [False, True])
def test_images_too_large_for_int32_take_the_same_way_in_int64(monkeypatch, channels_last):
    monkeypatch.setattr(cuda, "_INT32", 1)
    images = pixels((3, 3, 20, 31))
    rule = Rule(batch_key(0, 2), 3, 9, Source.CROPS, rotate=True)
    made = kernel(images, 2, INDEX, rule, channels_last=channels_last)
    assert torch.equal(made, reference(images, 2, INDEX, rule))


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="no CUDA device")
def test_a_batch_of_more_than_two_to_the_31_bytes():
    N = (1 << 31) // (3 * 224 * 224) + 2
    images = torch.zeros(N, 3, 224, 224, dtype=torch.uint8, device=DEVICE)
    images[-1] = pixels((3, 224, 224)).to(DEVICE)
    rule = Rule(batch_key(0, 0), 16, 72, Source.CROPS)
    made = cuda.shuffle(images, 1, torch.arange(N, device=DEVICE), rule)
    expected = reference(images[-1:].cpu(), 1, np.array([N - 1], np.uint64), rule)
    assert torch.equal(made[-1:].cpu(), expected)
    assert not made[:-1].any()


def test_division_by_multiplication_is_exact_up_to_the_most_pixels():
    """`_over`: a // d for all a, d that an image of 2^26 pixels allows, at the places where it could fail."""
    for d in [*range(1, 300), 511, 1000, 2047, 4095, 4096, 8191, 8192]:
        inverse, most = (1 << 30) // d + 1, (1 << 26) // d
        multiples = np.arange(d, most + 1, max(d, most // 5000 // d * d), dtype=np.int64)
        for a in (multiples - 1, multiples, np.array([most])):
            assert np.array_equal((4 * a * inverse) >> 32, a // d)


def test_images_stay_and_carry_no_gradient():
    images = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    before = images.clone()
    images.requires_grad_()
    made = cuda.shuffle(images, 1, torch.arange(2, device=DEVICE), Rule(3, 2, 5, Source.CROPS))
    assert not made.requires_grad
    assert torch.equal(images.detach(), before)


def test_a_device_that_cannot_run_it_is_left_to_torch():
    assert not runs_triton(torch.device("cpu"))
    assert not runs_triton(torch.device("meta"))


@pytest.mark.skipif(DEVICE == "cuda", reason="there is a CUDA device that can")
def test_a_device_that_fails_says_so_once():
    with pytest.warns(RuntimeWarning, match="Triton does not run on cuda:63"):
        assert not runs_triton(torch.device("cuda:63"))
    assert not runs_triton(torch.device("cuda:63"))
