"""NumPy, numba and torch move the same bytes, whatever the layout, the size and the split into batches."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from texneg.layout import array_bytes, tensor_bytes
from texneg.patches import cpu, device, reference
from texneg.patches.patches import patch_negatives, patch_permutation
from texneg.patches.plan import Rule, Source, batch_key, default_size, divisors

SIZES = [(18, 18), (32, 32), (30, 50), (96, 64), (96, 224), (224, 224), (240, 220)]
BYTES = {"uint8": 1, "uint16": 2, "float32": 4}


def pixels(shape, dtype, seed=0):
    draws = np.random.default_rng(seed)
    return draws.integers(0, 256, (*shape[:-1], shape[-1] * np.dtype(dtype).itemsize), np.uint8).view(dtype)


def by_numpy(source, count, index, rule):
    out = np.zeros((len(source), count, *source.shape[1:]), np.uint8)
    reference.shuffle(source, out, index, rule)
    return out


def by_numba(source, count, index, rule):
    out = np.zeros((len(source), count, *source.shape[1:]), np.uint8)
    cpu.shuffle(source, out, index, rule)
    return out


def by_torch(images, count, index, rule):
    return device.shuffle(images, count, torch.from_numpy(index.view(np.int64)), rule)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize("dtype", BYTES)
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_three_executors_agree_in_both_layouts(height, width, dtype, source, turned):
    index = np.array([0, 7, 2**63 + 11], np.uint64)
    rule = Rule(batch_key(5, 1), *default_size(height, width), source, turned, turned)
    interleaved = pixels((3, height, width, 3), dtype)
    expected = by_numpy(array_bytes(interleaved), 2, index, rule)
    assert np.array_equal(by_numba(array_bytes(interleaved), 2, index, rule), expected)

    planar = torch.from_numpy(interleaved).permute(0, 3, 1, 2).contiguous()
    expected_planar = by_numpy(tensor_bytes(planar), 2, index, rule)
    assert np.array_equal(by_numba(tensor_bytes(planar), 2, index, rule), expected_planar)
    gathered = by_torch(planar, 2, index, rule)
    assert np.array_equal(tensor_bytes(gathered), expected_planar)
    back = gathered.permute(0, 1, 3, 4, 2).contiguous().numpy()
    assert np.array_equal(array_bytes(back), expected)


@given(
    shape=st.tuples(st.integers(1, 60), st.integers(1, 60), st.integers(0, 4)),
    ends=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    source=st.sampled_from(Source),
    turns=st.tuples(st.booleans(), st.booleans()),
    seed=st.integers(0, 2**64 - 1),
)
@settings(max_examples=150, deadline=None)
def test_executors_agree_for_any_patch_range(shape, ends, source, turns, seed):
    height, width, _ = shape
    lo, hi = sorted(1 + round(end * (min(height, width) - 1)) for end in ends)
    assume(source != Source.PERMUTATION or divisors(height, width, lo, hi))
    rule, index = Rule(batch_key(seed, 0), lo, hi, source, *turns), np.array([seed], np.uint64)
    images = pixels((1, *shape), np.uint8, seed)
    expected = by_numpy(array_bytes(images), 1, index, rule)
    assert np.array_equal(by_numba(array_bytes(images), 1, index, rule), expected)
    planar = torch.from_numpy(images).permute(0, 3, 1, 2)
    gathered = by_torch(planar, 1, index, rule).permute(0, 1, 3, 4, 2).contiguous()
    assert np.array_equal(array_bytes(gathered.numpy()), expected)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("source", Source)
@pytest.mark.parametrize("side", [18, 50, 64])
def test_compiled_code_writes_only_its_output(side, source, turned):
    guard = 4096
    images = array_bytes(pixels((4, side, side, 3), np.uint8))
    memory = np.full(2 * images.size + 2 * guard, 0xA5, np.uint8)
    out = memory[guard:-guard].reshape(4, 2, *images.shape[1:])
    for lo, hi in [(1, 2), (side, side), (side - 1, side), default_size(side, side)]:
        rule = Rule(3, lo, hi, source, turned, turned)
        cpu.shuffle(images, out, np.arange(4, dtype=np.uint64), rule)
        assert (memory[:guard] == 0xA5).all()
        assert (memory[-guard:] == 0xA5).all()


MODES = {
    "crops": {},
    "paper": {"paper": True},
    "disjoint": {"overlap": False},
    "turned": {"flip": True, "rotate": True},
}


@pytest.mark.parametrize("mode", [*MODES, "permutation"])
@pytest.mark.parametrize("kind", ["array", "tensor"])
def test_pixels_do_not_depend_on_batch_split_or_order(kind, mode):
    images = pixels((9, 40, 32, 3), np.uint8)
    index = np.array([4, 0, 99, 7, 12345678901, 3, 3, 8, 1])
    if kind == "tensor":
        images = torch.from_numpy(images).permute(0, 3, 1, 2)

    def make(images, index, count=2):
        call = patch_permutation if mode == "permutation" else patch_negatives
        options = {"size": (2, 20), "count": count, "seed": 9, "epoch": 4}
        return call(images, index=index, **options, **MODES.get(mode, {}))

    whole = make(images, index)
    parts = [make(images[i:j], index[i:j]) for i, j in [(0, 1), (1, 6), (6, 9)]]
    joined = torch.cat(parts) if kind == "tensor" else np.concatenate(parts)
    assert bool((whole == joined).all())
    order = [5, 2, 8, 0, 1, 7, 3, 6, 4]
    assert bool((make(images[order], index[order]) == whole[order]).all())
    assert bool((make(images, index, count=1)[:, 0] == whole[:, 0]).all())


@pytest.mark.parametrize("mode", [{}, {"flip": True, "rotate": True}, {"overlap": False, "count": 2}])
def test_a_batch_beyond_the_near_cache_is_made_of_the_same_negatives(mode):
    images = pixels((9, 224, 200, 3), np.uint8)
    whole = patch_negatives(images, **mode)
    assert images.size + whole.size > 1 << 21  # beyond this the executor fetches ahead
    for i in range(9):
        assert np.array_equal(patch_negatives(images[i : i + 1], index=[i], **mode)[0], whole[i])
