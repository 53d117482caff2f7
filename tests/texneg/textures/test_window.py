import numpy as np
import pytest
from numba import njit

from texneg.textures.nearest import distances
from texneg.textures.window import RADIUS, SPARE, plain_distance


@njit
def of_pixels(a, n, a_pitch, b, candidate, b_pitch):
    return distances(a, n, a_pitch, b, (candidate,), b_pitch)[0]


def vector(a, i, a_pitch, b, j, b_pitch):
    """The same, where indices and pitches in elements are whole pixels."""
    n, candidate = (f // 3 + RADIUS * (p // 3 + 1) for f, p in ((i, a_pitch), (j, b_pitch)))
    return of_pixels(a, n, a_pitch // 3, b, candidate, b_pitch // 3)


def reference(a, i, a_pitch, b, j, b_pitch):
    rows = np.arange(5)[:, None], np.arange(15)
    left = a[i + rows[0] * a_pitch + rows[1]].astype(np.int64)
    right = b[j + rows[0] * b_pitch + rows[1]].astype(np.int64)
    return ((left - right) ** 2).sum()


@pytest.mark.parametrize("seed", range(20))
def test_vector_code_equals_loop_equals_numpy(seed):
    random = np.random.default_rng(seed)
    a_pitch, b_pitch = 3 * random.integers(5, 40, 2)
    a = random.integers(0, 256, 6 * a_pitch + SPARE).astype(np.int16)
    b = random.integers(0, 256, 6 * b_pitch + SPARE).astype(np.int16)
    i, j = 3 * random.integers(0, a_pitch // 3), 3 * random.integers(0, b_pitch // 3)
    expected = reference(a, i, a_pitch, b, j, b_pitch)
    assert vector(a, i, a_pitch, b, j, b_pitch) == expected
    assert plain_distance(a, i, a_pitch, b, j, b_pitch) == expected


def test_largest_possible_distance():
    black, white = np.zeros(75 + SPARE, np.int16), np.full(75 + SPARE, 255, np.int16)
    assert vector(black, 0, 15, white, 0, 15) == 75 * 255**2
    assert vector(white, 0, 15, black, 0, 15) == 75 * 255**2


def test_the_lane_after_a_row_does_not_count():
    a, b = np.zeros(5 * 18 + SPARE, np.int16), np.zeros(5 * 18 + SPARE, np.int16)
    b[15::18] = 255
    assert vector(a, 0, 18, b, 0, 18) == 0


def test_narrow_index_types():
    a = np.arange(200, dtype=np.int16)
    assert of_pixels(a, np.int32(13), np.int32(5), a, np.uint8(12), np.int64(5)) == 75 * 9
