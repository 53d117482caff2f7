import numpy as np
import pytest
from numba import njit

from texneg.textures.atlas import ground, level_count
from texneg.textures.nearest import HEAVIEST, NAME_BITS, NEVER, nearest, plain_nearest
from texneg.textures.window import RADIUS, SPARE

SHIFT = 8 + NAME_BITS


@njit
def vector(image, n, pitch, atlas, candidates, atlas_pitch, bins, penalty):
    return nearest(image, n, pitch, atlas, candidates, atlas_pitch, bins, penalty, SHIFT)


def windows(pixels, places):
    """(places, 75) of the 5 x 5 windows around (row, column) places."""
    reach = np.arange(-RADIUS, RADIUS + 1)
    y, x = np.asarray(places).T
    return pixels[y[:, None, None] + reach[:, None], x[:, None, None] + reach].reshape(len(y), -1)


@pytest.mark.parametrize("count", range(1, 9))
@pytest.mark.parametrize("seed", range(3))
def test_vector_code_equals_loop_equals_numpy(count, seed):
    random = np.random.default_rng([count, seed])
    image = random.integers(0, 256, (9, 11, 3)).astype(np.int16)
    atlas = random.integers(0, 256, (12, 14, 3)).astype(np.int16)
    bins = random.integers(0, 5, 12 * 14).astype(np.uint32)
    cost = random.integers(0, 400_000_000, 5)
    flat = [np.append(pixels.ravel(), np.zeros(SPARE, np.int16)) for pixels in (image, atlas)]
    places = np.stack([random.integers(2, 10, count), random.integers(2, 12, count)], -1)
    candidates = tuple(int(y) * 14 + int(x) for y, x in places)

    distance = (windows(image.astype(np.int64), [(4, 5)]) - windows(atlas.astype(np.int64), places)) ** 2
    keys = (distance.sum(axis=1) << 8) + cost[bins[list(candidates)]]
    expected = min(zip(keys, candidates, strict=True))[1]
    arguments = (flat[0], 4 * 11 + 5, 11, flat[1], candidates, 14, bins, cost << NAME_BITS)
    assert vector(*arguments) == expected
    assert plain_nearest(*arguments, SHIFT) == expected


def test_equal_costs_take_the_lowest_index():
    flat = np.zeros(3 * 400 + SPARE, np.int16)
    arguments = flat, 210, 20, flat, (190, 250, 170, 171, 230, 172), 20, np.zeros(400, np.uint32)
    assert vector(*arguments, np.zeros(1, np.int64)) == 170


def test_the_worst_allowed_candidate_beats_a_forbidden_one():
    black, white = np.zeros(3 * 400 + SPARE, np.int16), np.full(3 * 400 + SPARE, 255, np.int16)
    black[3 * 210 :] = 255
    bins = np.zeros(400, np.uint32)
    bins[300] = 1
    penalty = np.array([HEAVIEST, NEVER], np.int64) << NAME_BITS
    assert vector(np.zeros_like(white), 210, 20, white, (300, 50), 20, bins, penalty) == 50
    assert (NEVER + (75 * 255**2 << 8)) << NAME_BITS < 2**63
    assert HEAVIEST + (75 * 255**2 << 8) < NEVER


@pytest.mark.parametrize("shapes", [((8, 8),), ((64, 80), (71, 64)), ((200, 9), (9, 200)), ((96, 96),) * 8])
def test_every_window_of_every_candidate_lies_in_the_atlas(shapes):
    for level in range(level_count(shapes, 1024, 4, 8)):
        found = ground(shapes, level)
        reach = found.nearby.max() + RADIUS * (found.pitch + 1)
        assert found.nearby.min() == -found.nearby.max()
        assert found.positions.min() - reach >= 0
        assert found.positions.max() + reach < len(found.bins)
        assert len(np.unique(found.nearby)) == len(found.nearby)
        assert (found.bins[found.positions] < found.bins.max()).all()
