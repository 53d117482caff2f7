import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from texneg.textures.atlas import halve, level_count
from texneg.textures.presets import METHODS, PRESETS
from texneg.textures.start import shares
from texneg.textures.texture import texture, texture_map

TINY = """
import hashlib, numpy as np
from texneg.textures.texture import texture
random = np.random.default_rng(5)
pair = [random.integers(0, 256, shape, dtype=np.uint8) for shape in ((9, 12, 3), (16, 8, 3))]
digest = hashlib.sha256()
for size, levels in ((16, None), (17, 2)):
    digest.update(texture(pair, size=size, seed=2**63 + 1, method="fast", levels=levels).tobytes())
print(digest.hexdigest())
"""


def waves(seed, height=96, width=96):
    """Something like a photograph: smooth stripes of two colours under noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    angle, period = random.uniform(0, np.pi), random.uniform(6, 30)
    mix = 0.5 + 0.5 * np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)
    colours = random.uniform(0, 255, (2, 3))
    image = (
        mix[..., None] * colours[0]
        + (1 - mix[..., None]) * colours[1]
        + random.normal(0, 8, (height, width, 3))
    )
    return image.clip(0, 255).astype(np.uint8)


def assert_made_of(image, coordinates, exemplars):
    """Every pixel has exactly the colour of the exemplar pixel it names."""
    for number, exemplar in enumerate(exemplars):
        owned = coordinates[..., 0] == number
        y, x = coordinates[owned][:, 1:].T
        assert y.min(initial=0) >= 0
        assert x.min(initial=0) >= 0
        assert np.array_equal(image[owned], exemplar[y, x])
    assert ((coordinates[..., 0] >= 0) & (coordinates[..., 0] < len(exemplars))).all()


@pytest.mark.parametrize("method", METHODS)
def test_pixels_come_from_the_exemplars_in_about_equal_parts(method):
    for seed in range(4):
        pair = [waves(2 * seed), waves(2 * seed + 1)]
        image, coordinates = texture_map(pair, seed=seed, method=method)
        assert image.shape == (224, 224, 3)
        assert image.dtype == np.uint8
        assert_made_of(image, coordinates, pair)
        assert 0.35 < coordinates[..., 0].mean() < 0.65
        assert len(np.unique(coordinates.reshape(-1, 3), axis=0)) > 0.4 * 2 * 96 * 96
        assert np.array_equal(image, texture(pair, seed=seed, method=method))


@settings(max_examples=25, deadline=None)
@given(
    sides=st.lists(st.tuples(st.integers(8, 60), st.integers(8, 60)), min_size=1, max_size=8),
    size=st.integers(16, 90),
    seed=st.integers(0, 2**64 - 1),
    method=st.sampled_from(METHODS),
    levels=st.none() | st.integers(1, 4),
)
def test_any_exemplars_and_any_size(sides, size, seed, method, levels):
    exemplars = [waves(number, *side) for number, side in enumerate(sides)]
    image, coordinates = texture_map(exemplars, size=size, seed=seed, method=method, levels=levels)
    assert image.shape == (size, size, 3)
    assert_made_of(image, coordinates, exemplars)


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_levels(levels):
    pair = [waves(0), waves(1)]
    image, coordinates = texture_map(pair, size=160, levels=levels)
    assert_made_of(image, coordinates, pair)
    if levels == 3:
        assert np.array_equal(image, texture(pair, size=160))
    else:
        assert not np.array_equal(image, texture(pair, size=160))


def test_level_count():
    assert level_count(((96, 96), (96, 96)), 224, 3, 16) == 3
    assert level_count(((48, 48), (96, 96)), 224, 3, 16) == 2
    assert level_count(((8, 96),), 224, 3, 16) == 1
    assert level_count(((96, 96),), 16, 3, 16) == 1
    assert level_count(((96, 96),), 224, 2, 16) == 2
    assert level_count(((96, 96),), 224, 4, 8) == 4


def test_largest_output():
    pair = [waves(0), waves(1)]
    image, coordinates = texture_map(pair, size=1024, method="fast")
    assert_made_of(image, coordinates, pair)
    assert 0.4 < coordinates[..., 0].mean() < 0.6


def test_eight_exemplars_share_equally():
    exemplars = [waves(number, 64, 64) for number in range(8)]
    _, coordinates = texture_map(exemplars, seed=1)
    shares_ = np.bincount(coordinates[..., 0].ravel(), minlength=8) / 224**2
    assert shares_.min() > 0.06
    assert shares_.max() < 0.22


def test_exemplars_of_unequal_size_share_equally():
    _, coordinates = texture_map([waves(0, 96, 96), waves(0, 32, 48)], size=160, seed=1)
    assert 0.35 < coordinates[..., 0].mean() < 0.65


def test_constant_colors_stay_and_use_is_spread():
    pair = [np.full((96, 96, 3), 40, np.uint8), np.full((96, 96, 3), 200, np.uint8)]
    image, coordinates = texture_map(pair)
    assert set(np.unique(image)) == {40, 200}
    assert 0.4 < coordinates[..., 0].mean() < 0.6
    one, coordinates = texture_map([pair[0]])
    assert (one == 40).all()
    assert len(np.unique(coordinates.reshape(-1, 3), axis=0)) > 0.8 * 92 * 92


def test_noise_and_gray():
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    grey = np.repeat(waves(3)[..., :1], 3, axis=2)
    image, coordinates = texture_map([noise, grey], size=96)
    assert_made_of(image, coordinates, [noise, grey])
    only_grey = texture([grey, grey[::-1]], size=96)
    assert (only_grey == only_grey[..., :1]).all()


def test_same_seed_same_bytes_and_other_seed_other_bytes():
    pair = [waves(0), waves(1)]
    first = texture(pair, seed=11)
    texture(pair, seed=12, size=64)
    assert np.array_equal(first, texture(pair, seed=11))
    assert not np.array_equal(first, texture(pair, seed=12))
    assert not np.array_equal(first, texture(pair, seed=11 + 2**32))


def test_memory_layout_of_the_input_does_not_matter():
    pair = [waves(0), waves(1)]
    views = [np.asfortranarray(pair[0]), np.repeat(pair[1], 2, axis=1)[:, ::2]]
    before = [view.copy() for view in views]
    assert np.array_equal(texture(pair, size=64), texture(views, size=64))
    assert all(np.array_equal(a, b) for a, b in zip(before, views, strict=True))


def test_several_threads_at_once():
    pairs = [[waves(2 * k), waves(2 * k + 1)] for k in range(4)]
    alone = [texture(pair, seed=k, size=128) for k, pair in enumerate(pairs)]
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(texture, pairs[k % 4], seed=k % 4, size=128) for k in range(16)]
    for k, job in enumerate(jobs):
        assert np.array_equal(job.result(), alone[k % 4])


@pytest.mark.parametrize("setting", [{"NUMBA_CPU_NAME": "generic"}, {"NUMBA_DISABLE_JIT": "1"}])
def test_plain_machine_and_plain_python_give_the_same_bytes(setting, tmp_path):
    here = _digest({})
    there = _digest({**setting, "NUMBA_CACHE_DIR": str(tmp_path)})
    assert len(here) == len(hashlib.sha256().hexdigest())
    assert here == there


def _digest(setting):
    run = subprocess.run(
        [sys.executable, "-c", TINY],
        capture_output=True,
        text=True,
        env={**os.environ, **setting},
        check=True,
    )
    return run.stdout.strip()


@pytest.mark.parametrize(
    ("method", "version", "digest"),
    [
        ("fast", 2, "b7ea430024a09b48 b99c69b278a58476"),
        ("default", 2, "befd52aaec0536ac bd5867024598cf11"),
        ("quality", 3, "88a1d5255c143eeb e3c6dae33561f3d1"),
    ],
)
def test_bytes_of_each_method_version(method, version, digest):
    """A change here means other textures for every user: raise the preset's version with it."""
    digests = []
    for side, steep in ((40, 5), (96, 2)):
        y, x = np.mgrid[:side, :side]
        pair = [
            np.stack([y * steep, x * steep, y * x % 251], -1).astype(np.uint8),
            np.stack([x, y, x ^ y], -1).astype(np.uint8),
        ]
        made = texture(pair, size=100, seed=1, method=method)
        digests.append(hashlib.sha256(made.tobytes()).hexdigest()[:16])
    assert " ".join(digests) == digest
    assert PRESETS[method].version == version


@pytest.mark.parametrize("count", range(1, 9))
def test_shares_are_equal_to_a_pixel(count):
    labels = shares(count, 56, seed=count)
    sizes = np.bincount(labels.ravel(), minlength=count)
    assert len(sizes) == count
    assert sizes.max() - sizes.min() <= 3


def test_shares_are_smooth():
    labels = shares(2, 56, seed=0)
    borders = (np.diff(labels, axis=0) != 0).mean() + (np.diff(labels, axis=1) != 0).mean()
    assert borders < 0.2


@pytest.mark.parametrize("shape", [(8, 8), (9, 13), (96, 31)])
def test_halve_is_the_rounded_filter(shape):
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype(np.int16)
    padded = np.pad(image, ((1, 2), (1, 2), (0, 0)), mode="edge").astype(np.float64)
    for axis in (0, 1):
        lines = np.moveaxis(padded, axis, 0)
        n = shape[axis] // 2
        lines = (lines[0 : 2 * n : 2] + 3 * lines[1 : 2 * n + 1 : 2] + 3 * lines[2 : 2 * n + 2 : 2]) + lines[
            3::2
        ][:n]
        padded = np.moveaxis(lines / 8, 0, axis)
    assert np.array_equal(halve(image), np.floor(padded + 0.5))


PAIR = [np.zeros((96, 96, 3), np.uint8)] * 2


@pytest.mark.parametrize(
    ("exemplars", "options", "message"),
    [
        ([], {}, "0 exemplars"),
        (PAIR * 5, {}, "10 exemplars: allowed are 1 to 8"),
        ([PAIR[0], np.zeros((7, 96, 3), np.uint8)], {}, "exemplar 1 of 7 x 96 px"),
        ([np.zeros((96, 96, 17), np.uint8)], {}, r"\(h, w, C\) with C from 1 to 16"),
        ([np.zeros(96, np.uint8)], {}, r"arrays of \(h, w\)"),
        (
            [PAIR[0], np.zeros((96, 96, 4), np.uint8)],
            {},
            "exemplars differ: uint8 of 3 and uint8 of 4 channels",
        ),
        ([PAIR[0], np.zeros((96, 96, 3), np.uint16)], {}, "differ: uint16 of 3 and uint8 of 3 channels"),
        ([np.broadcast_to(np.uint8(0), (4100, 4100, 3))], {}, "allowed are 16777216 px"),
        (PAIR, {"weights": [1]}, "2 positive numbers"),
        (PAIR, {"weights": [1, 0]}, r"weights \(1, 0\)"),
        (PAIR, {"weights": [1, float("nan")]}, "positive numbers"),
        ([np.zeros((96, 96, 3), np.int32)], {}, "int32: allowed"),
        (PAIR, {"size": 15}, "size 15 px: allowed is 16 to 1024"),
        (PAIR, {"size": 1025}, "size 1025"),
        (PAIR, {"seed": -1}, "seed -1"),
        (PAIR, {"seed": 2**64}, "allowed is 0 to"),
        (PAIR, {"method": "best"}, "allowed are fast, default, quality"),
        (PAIR, {"levels": 0}, "levels 0: allowed is 1 to 4"),
        (PAIR, {"levels": 5}, "levels 5"),
    ],
)
def test_wrong_input_is_named(exemplars, options, message):
    with pytest.raises(ValueError, match=message):
        texture(exemplars, **options)
