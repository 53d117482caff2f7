"""Grey exemplars, weights, tiling, sizes, and exemplars that are hardly textures."""

import numpy as np
import pytest

from texneg.textures.nearest import HEAVIEST
from texneg.textures.presets import PRESETS
from texneg.textures.texture import _steps, texture, texture_map


def stripes(seed, height=96, width=96):
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    angle = random.uniform(0, np.pi)
    mix = 0.5 + 0.5 * np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / random.uniform(8, 24))
    colours = random.uniform(0, 255, (2, 3))
    return (mix[..., None] * colours[0] + (1 - mix[..., None]) * colours[1]).astype(np.uint8)


def clouds(seed, side=96):
    """Noise smoothed over 5 x 5 pixels, of full contrast."""
    random = np.random.default_rng(seed)
    noise = random.standard_normal((side + 4, side + 4, 3)) + random.standard_normal((side + 4, side + 4, 1))
    smooth = np.lib.stride_tricks.sliding_window_view(noise, (5, 5), axis=(0, 1)).mean(axis=(3, 4))
    return (128 + 60 * smooth / smooth.std()).clip(0, 255).astype(np.uint8)


def test_gray_counts_as_three_equal_channels():
    grey = stripes(0)[..., 0]
    coloured = np.repeat(grey[..., None], 3, axis=2)
    expected = texture([coloured, stripes(1)], size=64)
    assert np.array_equal(texture([grey, stripes(1)], size=64), expected)
    assert np.array_equal(texture([grey[..., None], stripes(1)], size=64), expected)


@pytest.mark.parametrize("weights", [(3, 1), (1, 9), (1, 2, 1)])
def test_weights_are_the_shares(weights):
    exemplars = [stripes(k) for k in range(len(weights))]
    _, where = texture_map(exemplars, weights=weights, seed=2)
    shares = np.bincount(where[..., 0].ravel(), minlength=len(weights)) / where[..., 0].size
    assert np.abs(shares - np.array(weights) / sum(weights)).max() < 0.08


def test_equal_weights_change_nothing_and_only_their_ratio_counts():
    pair = [stripes(0), stripes(1)]
    assert np.array_equal(texture(pair, size=64, weights=(0.2, 0.2)), texture(pair, size=64))
    assert np.array_equal(texture(pair, size=64, weights=(1, 3)), texture(pair, size=64, weights=(2.5, 7.5)))


def test_a_weight_close_to_nothing():
    _, where = texture_map([stripes(0), stripes(1), stripes(2)], weights=(1, 1e-9, 1), size=48)
    assert (where[..., 0] == 1).mean() < 0.05


def border_step(image):
    """Mean colour step across the two borders where copies would meet."""
    values = image.astype(np.float64)
    return np.abs(np.concatenate([values[0] - values[-1], values[:, 0] - values[:, -1]])).mean()


@pytest.mark.parametrize("size", [64, 97, 130])
def test_tiles_continue_across_their_borders(size):
    pair = [clouds(3), clouds(4)]
    tiled = [texture(pair, size=size, seed=seed, tile=True) for seed in range(4)]
    plain = [texture(pair, size=size, seed=seed) for seed in range(4)]
    steps = np.mean([np.abs(np.diff(image.astype(np.float64), axis=0)).mean() for image in tiled])
    assert np.mean([border_step(image) for image in tiled]) < 1.6 * steps
    assert np.mean([border_step(image) for image in plain]) > 1.8 * steps


def test_copies_run_on_across_the_border_of_a_tile():
    _, where = texture_map([clouds(3), clouds(4)], tile=True)
    across = where[:, 0] - where[:, -1] == (0, 0, 1)
    inside = where[:, 100] - where[:, 99] == (0, 0, 1)
    assert across.all(axis=1).sum() > inside.all(axis=1).sum() / 2


@pytest.mark.parametrize("size", [32, 33, 500, 512])
def test_sizes(size):
    image = texture([stripes(0), stripes(1)], size=size, method="fast")
    assert image.shape == (size, size, 3)


def test_two_colors_stay_two_and_mix():
    board = np.where(np.indices((64, 64)).sum(axis=0)[..., None] // 4 % 2, (255, 0, 0), (0, 0, 255))
    image = texture([board.astype(np.uint8)] * 2, size=96)
    assert len(np.unique(image.reshape(-1, 3), axis=0)) == 2
    assert 0.35 < (image[..., 0] == 255).mean() < 0.65


def test_one_row_of_noise_in_a_constant_exemplar():
    exemplar = np.full((96, 96, 3), 90, np.uint8)
    exemplar[50] = np.random.default_rng(0).integers(0, 256, (96, 3))
    image, where = texture_map([exemplar, exemplar[:, ::-1]])
    flat = (image == 90).all(axis=2)
    assert 0.9 < flat.mean() < 1
    assert 0.4 < where[..., 0].mean() < 0.6
    rows = np.flatnonzero(~flat.all(axis=1))
    assert (~flat).sum() / len(rows) > 8  # the noise stays in runs along rows


def test_smallest_exemplar_beside_a_large_one():
    pair = [stripes(0, 8, 8), stripes(1, 200, 150)]
    image, where = texture_map(pair, size=100)
    assert 0.3 < where[..., 0].mean() < 0.7
    assert image.shape == (100, 100, 3)


@pytest.mark.parametrize("method", PRESETS)
@pytest.mark.parametrize("shapes", [((8, 8),), ((96, 96),) * 2, ((1400, 1400),) * 8])
def test_use_never_outweighs_what_a_key_can_hold(shapes, method):
    for side in (16, 224, 1024):
        steps = _steps(shapes, 0, (1,) * len(shapes), max(PRESETS[method].balance), side)
        assert steps[-1] == 0
        assert steps[:-1].min() > 0
        assert steps.max() * side * side <= HEAVIEST
