"""The live method against its definition, and its executors against each other."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from texneg.philox.arrays import fold, philox
from texneg.philox.streams import Stream
from texneg.textures.atlas import halve, tables
from texneg.textures.exemplars import exemplar_places, turn_square
from texneg.textures.live import cpu, device
from texneg.textures.live.cpu_search import places, starts, texture_keys
from texneg.textures.live.plan import (
    CLASSES,
    COARSEST,
    FINER,
    FINEST,
    LiveOptions,
    batch_key,
    default_exemplar,
    levels,
    passes,
)
from texneg.textures.nearest import distances, plain_distances
from texneg.textures.start import start
from texneg.textures.window import RADIUS, SPARE

LAST = 2**64 - 1
ANY_SIDES = """
import numpy as np
from texneg.textures.live.cpu import maps
from texneg.textures.live.plan import LiveOptions, batch_key
random = np.random.default_rng(0)
for seed in range(100):
    sides = random.integers(16, 80, 2)
    images = random.integers(0, 256, (2, *sides, 3), dtype=np.uint8)
    exemplar = int(random.integers(8, sides.min() + 1))
    found = maps(images, np.arange(2, dtype=np.uint64), LiveOptions(exemplar, 1, batch_key(seed, 0)), 1)
    assert 0 <= found.min() <= found.max() < sides.prod()
"""
DIGEST = "0ccf57c2323a50ffb0db7a3a73f5a9fb811fb39fc413e8fdcfb7a84ad4a220ca"
INDEX = np.array([3, 0, LAST], np.uint64)


def pictures(N, height, width, seed=0):
    """Smooth stripes under noise, (N, H, W, 3) uint8."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    angles = random.uniform(0, np.pi, (N, 1, 1))
    phase = (x * np.cos(angles) + y * np.sin(angles)) * random.uniform(0.2, 1, (N, 1, 1))
    mix = (0.5 + 0.5 * np.sin(phase))[..., None]
    colours = random.uniform(0, 255, (2, N, 1, 1, 3))
    images = mix * colours[0] + (1 - mix) * colours[1] + random.normal(0, 8, (N, height, width, 3))
    return images.clip(0, 255).astype(np.uint8)


@pytest.fixture(autouse=True)
def one_thread():
    """Torch's small operations take longer when they are shared out."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def by_numba(images, options, index=INDEX, threads=1):
    return cpu.maps(images, index[: len(images)], options, threads)


def by_torch(images, options, index=INDEX):
    rows = torch.from_numpy(index[: len(images)].view(np.int64))
    return device.maps(torch.from_numpy(images), rows, options).numpy()


def default_options(side, count=1):
    return LiveOptions(default_exemplar(side, side), count, batch_key(5, 6))


@pytest.mark.parametrize(
    ("side", "N", "count"), [(32, 3, 3), (48, 2, 2), (64, 2, 2), (96, 1, 1), (224, 1, 1)]
)
def test_executors_agree_to_the_byte(side, N, count):
    images, options = pictures(N, side, side), default_options(side, count)
    found = by_numba(images, options)
    assert found.shape == (N, count, side, side)
    assert np.array_equal(found, by_torch(images, options))


@settings(max_examples=10, deadline=None)
@given(
    sides=st.tuples(st.integers(16, 60), st.integers(16, 60)),
    share=st.floats(0, 1),
    count=st.integers(1, 2),
    seed=st.integers(0, LAST),
    flat=st.booleans(),
)
def test_executors_agree_on_any_sides(sides, share, count, seed, flat):
    exemplar = 8 + int(share * (min(sides) - 8))
    images = pictures(2, *sides, seed=seed % 1000) // (255 if flat else 1)
    options = LiveOptions(exemplar, count, batch_key(seed, 0))
    found = by_numba(images, options)
    assert found.min() >= 0
    assert found.max() < sides[0] * sides[1]
    assert np.array_equal(found, by_torch(images, options))


@pytest.mark.parametrize(
    ("sides", "exemplar", "levels"), [((40, 33), 20, None), ((64, 70), 33, 3), ((70, 64), 64, 4)]
)
def test_executors_agree_on_turned_squares_and_on_levels(sides, exemplar, levels):
    images = pictures(3, *sides)
    options = LiveOptions(exemplar, 3, batch_key(5, 6), levels, turn=True)
    found = by_numba(images, options)
    assert np.array_equal(found, by_torch(images, options))
    upright = by_numba(images, options._replace(turn=False))
    assert not np.array_equal(found, upright)


def test_a_turned_square_is_what_the_plan_says():
    square, last = np.arange(49).reshape(7, 7), 6
    for turn in range(8):
        turned = turn_square(square, turn)
        for y, x in np.ndindex(7, 7):
            v, u = (x, y) if turn & 4 else (y, x)
            v, u = (last - v if turn & 1 else v), (last - u if turn & 2 else u)
            assert turned[y, x] == square[v, u]
    assert len({turn_square(square, turn).tobytes() for turn in range(8)}) == 8


@pytest.mark.parametrize("method", ["live", "fast"])
def test_copies_are_turned_as_the_words_say(method):
    """Neighbours in a copy are neighbours in the image, along the axis and in the direction of the turn."""
    images, options = pictures(1, 64, 64), LiveOptions(30, 6, batch_key(0, 0), None, turn=True)
    keys = texture_keys(np.uint64(options.base), INDEX[:1], 6)
    found = cpu.maps(images, INDEX[:1], options, 1, method)[0]
    for key, texture in zip(keys.tolist(), found, strict=True):
        turns = philox(fold(key, Stream.EXEMPLAR_PLACE), 0)[2:] >> 29
        steps = texture[:, 1:] - texture[:, :-1]
        expected = [(64 if turn & 4 else 1) * (-1 if turn & (1 if turn & 4 else 2) else 1) for turn in turns]
        others = list({1, -1, 64, -64} - set(expected))
        assert np.isin(steps, expected).sum() > 2 * np.isin(steps, others).sum()


def test_chunks_of_the_torch_executor_do_not_show(monkeypatch):
    images, options = pictures(3, 32, 32), default_options(32, 3)
    whole = by_torch(images, options)
    monkeypatch.setattr(device, "AT_ONCE", 2 * 32 * 32)
    assert np.array_equal(whole, by_torch(images, options))


@pytest.mark.slow
def test_nothing_is_read_outside_an_array(tmp_path):
    """All sides and exemplars with numba's bounds checks compiled in."""
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", ANY_SIDES], env=environment, check=True)


def test_keys_are_the_folded_fields():
    keys = texture_keys(np.uint64(batch_key(2, 3)), INDEX, 2)
    assert keys.tolist() == [fold(2, 3, Stream.LIVE_TEXTURES, int(n), k) for n in INDEX for k in range(2)]


@pytest.mark.parametrize(("height", "width"), [(64, 64), (32, 57), (16, 16), (224, 224)])
def test_places_and_starts_are_those_of_the_scan_method(height, width):
    exemplar = default_exemplar(height, width)
    keys = texture_keys(np.uint64(batch_key(0, 1)), INDEX, 1)
    corners = places(keys, height, width, exemplar)
    for key, corner in zip(keys, corners, strict=True):
        assert corner.tolist() == [
            list(place) for place in exemplar_places(height, width, size=exemplar, seed=int(key))
        ]
    level = levels(max(height, width), exemplar)[-1]
    table = tables(((exemplar, exemplar),) * 2, level.number)
    found = starts(keys, level)
    for key, source in zip(keys, found, strict=True):
        assert np.array_equal(source, start(table, level.side, int(key)))


@pytest.mark.parametrize("side", [16, 17, 27])
def test_torch_halves_as_the_kernel_does(side):
    image = pictures(1, side, side)[0]
    found = device.halve(torch.from_numpy(image.astype(np.int32)))
    assert np.array_equal(found.numpy(), halve(image.astype(np.int16)))


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_vector_distances_are_those_of_the_loop(count):
    @njit
    def compiled(image, n, pitch, atlas, candidates, atlas_pitch):
        return distances(image, n, pitch, atlas, candidates, atlas_pitch)

    random = np.random.default_rng(count)
    image, atlas = random.integers(0, 256, (2, 3 * 20 * 24 + SPARE)).astype(np.int16)
    for n in random.integers(2 * 20 + 2, 300, 20):
        candidates = tuple(int(place) for place in random.integers(2 * 24 + 2, 380, count))
        expected = plain_distances(image, n, 20, atlas, candidates, 24)
        assert list(compiled(image, n, 20, atlas, candidates, 24)) == expected


def test_pixels_of_a_class_never_meet():
    assert sorted(CLASSES) == [(row, column) for row in range(3) for column in range(3)]
    for rule in (*COARSEST, *FINER, *FINEST):
        assert 1 <= rule.jump <= RADIUS
        assert rule.random + rule.local <= 4


@pytest.mark.parametrize("side", [64, 224])
def test_a_fairly_used_bin_costs_as_promised(side):
    for level in levels(side, default_exemplar(side, side)):
        fair = level.side**2 / level.bins
        assert level.step(10) * fair == pytest.approx(75 * 25 * 10 * 256, rel=0.01)


def test_levels_and_passes():
    assert [len(levels(side, default_exemplar(side, side))) for side in (16, 32, 64, 96, 224)] == [
        1,
        1,
        1,
        2,
        3,
    ]
    assert [len(passes(number, 3)) for number in range(3)] == [1, 2, 3]
    assert passes(0, 1) == COARSEST


def owners(images, options):
    """The exemplar that each pixel of the first texture of each image comes from, and its place in it."""
    side = options.exemplar
    keys = texture_keys(np.uint64(options.base), INDEX[: len(images)], 1)
    corners = places(keys, *images.shape[1:3], side)
    crops = np.array(
        [
            [image[y : y + side, x : x + side] for y, x in pair]
            for image, pair in zip(images, corners, strict=True)
        ]
    )
    scales = levels(max(images.shape[1:3]), side)
    source = cpu.atlas_maps(crops.astype(np.int16), keys, scales)[:, RADIUS:-RADIUS, RADIUS:-RADIUS]
    return source // scales[0].pitch ** 2, source


@pytest.mark.parametrize("side", [32, 64, 96, 224])
def test_both_exemplars_in_about_equal_parts(side):
    shares = owners(pictures(3, side, side), default_options(side))[0].mean(axis=(1, 2))
    assert (abs(shares - 0.5) < 0.2).all()


def test_constant_images_spread_their_use():
    owner, source = owners(np.full((2, 96, 96, 3), 77, np.uint8), default_options(96))
    assert (abs(owner.mean(axis=(1, 2)) - 0.5) < 0.1).all()
    assert min(len(np.unique(one)) for one in source) > 0.6 * 2 * 38**2


def test_bytes_stay():
    """Whoever changes these changes every training run with live textures, and says so in the changelog."""
    values = np.arange(2 * 48 * 56 * 3, dtype=np.int64)
    images = (values * values * 7919 // 1024 % 256).astype(np.uint8).reshape(2, 48, 56, 3)
    found = by_numba(images, LiveOptions(33, 2, batch_key(1, 2)))
    assert hashlib.sha256(found.astype("<i4").tobytes()).hexdigest() == DIGEST
