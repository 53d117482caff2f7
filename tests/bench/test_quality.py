import dataclasses
import math

import numpy as np
import pytest

from texneg.bench.common.quality import (
    blur,
    coverage,
    imbalance,
    laplacian,
    quality,
    sliced_wasserstein,
    verbatim,
)
from texneg.textures.texture import texture_map


def noise(seed, side=96):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def identity(side, exemplar=0):
    """The map of a plain copy."""
    y, x = np.mgrid[:side, :side]
    return np.stack([np.full_like(y, exemplar), y, x], -1).astype(np.int32)


def test_a_copy_is_perfect_and_one_piece():
    image = noise(0)
    found = quality(image, identity(96), [image])
    assert found.gradient_w1 == 0
    assert found.gradient_tail == pytest.approx(1, abs=0.02)
    assert math.isnan(found.seam_ratio)
    assert found.largest_verbatim == found.mean_verbatim == 96 * 96
    assert found.imbalance == 0
    assert found.coverage == 1
    assert max(found.swd[:3]) < 4


def test_shuffled_pixels_are_told_from_the_exemplar():
    image = np.repeat(np.repeat(noise(0, 12), 8, axis=0), 8, axis=1)
    place = np.random.default_rng(1).permutation(96 * 96).reshape(96, 96)
    shuffled = image.reshape(-1, 3)[place]
    where = np.stack([np.zeros_like(place), place // 96, place % 96], -1).astype(np.int32)
    good, bad = quality(image, identity(96), [image]), quality(shuffled, where, [image])
    assert all(b > 2 * a for a, b in zip(good.swd, bad.swd, strict=True))
    assert bad.gradient_w1 > 20
    assert bad.seam_ratio > 3
    assert bad.largest_verbatim < 10
    assert bad.coverage == 1


def test_two_flat_colours_a_level_apart_differ_in_the_low_pass_only():
    flat = np.full((96, 96, 3), 100, np.uint8)
    distances = sliced_wasserstein(np.full((224, 224, 3), 110, np.uint8), [flat])
    assert max(distances[:3]) < 1e-3
    # a unit vector of 147 parts sums to N(0, 1) in good approximation: mean |sum| = sqrt(2 / pi)
    assert distances[3] == pytest.approx(10 * math.sqrt(2 / math.pi), rel=0.15)


def test_laplacian_pyramid_can_be_undone():
    image = noise(3)
    bands = laplacian(image)
    assert [band.shape[0] for band in bands] == [96, 48, 24, 12]
    fine = bands[-1]
    for band in reversed(bands[:-1]):
        fine = blur(fine.repeat(2, axis=0).repeat(2, axis=1)[: band.shape[0], : band.shape[1]]) + band
    assert np.allclose(fine, image, atol=1e-3)


def test_verbatim_regions_by_hand():
    where = identity(6)
    where[:, 3:, 2] += 10  # two halves of 18 pixels, then one pixel cut out of the left one
    assert verbatim(where) == (18, 18.0)
    where[5, 0] = (1, 50, 50)
    assert verbatim(where) == (18, pytest.approx((18**2 + 17**2 + 1) / 36))
    where[:, 3:, 0] = 1
    assert verbatim(where)[0] == 18


def test_regions_that_meet_late_are_one():
    where = np.full((3, 3, 3), 0, np.int32)
    where[..., 1], where[..., 2] = np.mgrid[:3, :3]
    where[0, 1], where[1, 1] = (0, 40, 0), (0, 60, 0)  # a U around a stem of two single pixels
    assert verbatim(where)[0] == 7


@pytest.mark.parametrize(("share", "expected"), [(0, 1), (0.25, 0.5), (0.5, 0), (1, 1)])
def test_imbalance_of_two(share, expected):
    where = np.zeros((8, 8, 3), np.int32)
    where.reshape(-1, 3)[: int(64 * share), 0] = 1
    assert imbalance(where, 2) == pytest.approx(expected)


def test_coverage_counts_each_place_once():
    where = np.zeros((8, 8, 3), np.int32)
    where[0, 0] = (1, 2, 3)
    assert coverage(where, [np.zeros((4, 4, 3), np.uint8)] * 2) == 2 / 32


def test_small_exemplars_and_every_field_a_number():
    exemplars = [noise(0, 8), noise(1, 20)]
    found = quality(*texture_map(exemplars, size=32), exemplars)
    values = np.hstack([*dataclasses.asdict(found).values()])
    assert np.isfinite(values).all()
