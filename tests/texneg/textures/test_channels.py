"""Images of any channels and depth as the pictures that a search compares, and textures of them."""

import numpy as np
import pytest

from texneg.textures.channels import compared
from texneg.textures.texture import texture, texture_map


def bands(channels, dtype, seed=0, side=48):
    """Channels that are mixtures of three smooth fields, with noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    fields = np.stack([np.sin(9 * x + 4 * y), np.cos(17 * y), np.sin(31 * x * y)], -1)
    mixed = fields @ random.uniform(-1, 1, (3, channels)) + random.normal(0, 0.05, (side, side, channels))
    mixed = (mixed - mixed.min()) / np.ptp(mixed)
    return (mixed * (np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [2, 4, 8, 16])
def test_the_components_are_those_of_the_correlations(channels, dtype):
    image = bands(channels, dtype)
    (found,) = compared([image])
    pixels = image.reshape(-1, channels).astype(np.float64)
    standard = (pixels - pixels.mean(axis=0)) / pixels.std(axis=0)
    _, _, axes = np.linalg.svd(standard[::4] - standard[::4].mean(axis=0), full_matrices=False)
    count = min(3, channels)
    wanted = standard @ axes[:count].T
    span = np.ptp(wanted, axis=0).max()
    for k, own in enumerate(np.moveaxis(found, 2, 0)[:count]):
        either = [(side - side.min()) / span * 255 for side in (wanted[:, k], -wanted[:, k])]
        assert min(np.abs(own.ravel() - one).mean() for one in either) < 2
    assert not found[..., count:].any()


def test_three_channels_of_eight_bits_are_compared_as_they_are():
    image = bands(3, np.uint8)
    assert np.shares_memory(compared([image])[0], image)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_what_is_not_finite_spoils_no_other_pixel(channels, value):
    image = bands(channels, np.float32)
    image[3, 4] = value
    (found,) = compared([image])
    others = np.ones(image.shape[:2], bool)
    others[3, 4] = False
    assert found[others].std() > 20
    assert found.dtype == np.uint8


@pytest.mark.parametrize("channels", [1, 2, 3, 7])
def test_constant_images_are_constant(channels):
    for dtype in (np.uint8, np.uint16, np.float64):
        (found,) = compared([np.full((16, 16, channels), 5, dtype)])
        assert np.ptp(found) == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 8, 16])
def test_a_texture_has_the_pixels_of_its_exemplars(channels, dtype):
    pair = [bands(channels, dtype, seed) for seed in (0, 1)]
    made, where = texture_map(pair, size=40, seed=3)
    if (channels, dtype) == (1, np.uint8):
        pair = [one.repeat(3, axis=2) for one in pair]
    assert made.dtype == dtype
    assert np.array_equal(made, np.stack(pair)[tuple(np.moveaxis(where, 2, 0))])
    assert abs((where[..., 0] == 0).mean() - 0.5) < 0.1
    assert np.array_equal(texture(pair, size=40, seed=3), made)


def test_depth_alone_changes_no_place():
    pair = [bands(3, np.uint8, seed) for seed in (0, 1)]
    pair[0][0, 0], pair[0][0, 1] = 0, 255
    made = texture(pair, size=64)
    assert np.array_equal(
        texture([one.astype(np.uint16) * 257 for one in pair], size=64), made * np.uint16(257)
    )
    assert np.array_equal(texture([one / np.float64(255) for one in pair], size=64), made / np.float64(255))


def test_units_of_a_channel_do_not_matter():
    pair = [bands(6, np.float64, seed) for seed in (0, 1)]
    units = np.array([1, 2, 4, 0.5, 1024, 0.125])
    assert np.array_equal(texture([one * units for one in pair], size=64), texture(pair, size=64) * units)


def test_two_dimensions_of_another_depth_give_one_channel():
    pair = [bands(1, np.uint16, seed)[..., 0] for seed in (0, 1)]
    assert texture(pair, size=32).shape == (32, 32, 1)
