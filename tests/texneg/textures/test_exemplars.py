import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from texneg.textures.exemplars import exemplar_places, exemplars, turn_square, turned_squares


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    size=st.integers(1, 300),
    seed=st.integers(0, 2**64 - 1),
)
def test_both_places_fit(height, width, size, seed):
    size = min(size, height, width)
    centre, random = exemplar_places(height, width, size=size, seed=seed)
    assert centre == (height // 2 - size // 2, width // 2 - size // 2)
    for y, x in (centre, random):
        assert 0 <= y <= height - size
        assert 0 <= x <= width - size


def test_random_place_is_uniform_and_its_coordinates_independent():
    rows, columns = np.array([exemplar_places(99, 100, seed=seed)[1] for seed in range(4000)]).T
    table = np.zeros((4, 5))
    np.add.at(table, (rows, columns), 1)
    expected = 4000 / 20
    chi_square = ((table - expected) ** 2 / expected).sum()
    assert chi_square < 43.8  # 0.1 % quantile at 19 degrees of freedom


def test_exemplars_are_the_pixels_at_the_places():
    image = np.random.default_rng(0).integers(0, 256, (120, 200, 3), dtype=np.uint8)
    patches = exemplars(image, size=48, seed=7)
    for patch, (y, x) in zip(patches, exemplar_places(120, 200, size=48, seed=7), strict=True):
        assert np.array_equal(patch, image[y : y + 48, x : x + 48])
        assert patch.flags.c_contiguous
        assert not np.shares_memory(patch, image)


def test_image_of_the_exemplars_size_gives_it_twice():
    image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    assert all(np.array_equal(patch, image) for patch in exemplars(image, seed=3))


@pytest.mark.parametrize(
    ("shape", "dtype", "size", "seed", "message"),
    [
        ((95, 200, 3), np.uint8, 96, 0, "short side, 95"),
        ((200, 200, 3), np.uint8, 0, 0, "size 0 px"),
        ((200, 200), np.uint8, 96, 0, r"image\[..., None\]"),
        ((200, 200, 17), np.uint8, 96, 0, r"allowed is \(H, W, C\) with C from 1 to 16"),
        ((200, 200, 3), np.int32, 96, 0, "int32"),
        ((200, 200, 3), np.uint8, 96, -1, "seed -1"),
        ((200, 200, 3), np.uint8, 96, 2**64, "allowed is 0 to"),
    ],
)
def test_wrong_input_is_named(shape, dtype, size, seed, message):
    with pytest.raises(ValueError, match=message):
        exemplars(np.zeros(shape, dtype), size=size, seed=seed)


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    size=st.integers(1, 300),
    seed=st.integers(0, 2**64 - 1),
)
def test_turned_squares_fit_and_two_lie_in_the_centre_patch(height, width, size, seed):
    size = min(size, height, width)
    patch = min(2 * size, height, width)
    squares = turned_squares(height, width, size=size, seed=seed)
    for k, (row, column, side, turn) in enumerate(squares):
        assert side == size
        assert 0 <= turn < 8
        for place, length in ((row, height), (column, width)):
            least = length // 2 - patch // 2 if k < 2 else 0
            assert least <= place <= (least + patch if k < 2 else length) - size


def test_turned_squares_are_uniform():
    squares = np.array([turned_squares(60, 60, size=20, seed=seed) for seed in range(4000)])
    assert (abs(squares[:, :, :2].mean(axis=0) - 20) < 0.6).all()
    for k in range(4):
        counts = np.bincount(squares[:, k, 3], minlength=8)
        assert ((counts - 500) ** 2 / 500).sum() < 24.3  # 0.1 % quantile at 7 degrees of freedom


def test_turned_exemplars_are_the_squares_turned():
    image = np.random.default_rng(0).integers(0, 256, (120, 200, 3), dtype=np.uint8)
    patches = exemplars(image, seed=7, turned=True)
    squares = turned_squares(120, 200, seed=7)
    assert len(patches) == 4
    for patch, (row, column, side, turn) in zip(patches, squares, strict=True):
        assert np.array_equal(patch, turn_square(image[row : row + side, column : column + side], turn))
        assert patch.shape == (40, 40, 3)
        assert not np.shares_memory(patch, image)
    with pytest.raises(ValueError, match="short side, 39"):
        exemplars(image[:39], seed=7, turned=True)
