"""Vector copies of rectangles hold the bytes of the plain loop, and touch no other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from texneg.patches.copy_rows import MOST, WIDTH, plain_rows, vector_rows, vector_rows_fetching


@njit
def vector(target, to, step, source, start, stride, rows, count):
    vector_rows(target, to, step, source, start, stride, rows, count)


@njit
def fetching(target, to, step, source, start, stride, rows, count):
    away = np.uint64(1 << 40)  # a fetch may name any address
    vector_rows_fetching(target, to, step, source, start, stride, rows, count, to + away, start + away)


def copied(copy, to, step, start, stride, rows, count, size=6000):
    source = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    target = np.full(size, 7, np.uint8)
    numbers = [np.uint64(number % 2**64) for number in (to, step, start, stride, rows, count)]
    copy(target, *numbers[:2], source, *numbers[2:])
    return source, target


@pytest.mark.parametrize("copy", [vector, fetching])
@pytest.mark.parametrize("count", [*range(1, WIDTH * MOST + 40), 700])
def test_every_length_of_row_is_copied_whole_and_alone(count, copy):
    source, target = copied(copy, 11, count + 3, 5, count + 1, 3, count)
    expected = np.full_like(target, 7)
    for row in range(3):
        begin = 5 + row * (count + 1)
        expected[11 + row * (count + 3) :][:count] = source[begin : begin + count]
    assert np.array_equal(target, expected)


@given(
    rows=st.integers(1, 20),
    count=st.integers(0, 90),
    stride=st.integers(-120, 120),
    gap=st.integers(0, 9),
)
@settings(max_examples=200, deadline=None)
def test_the_loop_is_the_definition_of_the_vectors(rows, count, stride, gap):
    step = max(1, count + gap)
    _, expected = copied(plain_rows, 3, step, 3000, stride, rows, count)
    for copy in (vector, fetching):
        _, made = copied(copy, 3, step, 3000, stride, rows, count)
        assert np.array_equal(made, expected)


def test_rows_at_the_very_end_of_both_arrays():
    for count in (1, 31, 33, 64, 255, 300):
        size = 2 * count
        source, target = copied(vector, 0, count, 0, count, 2, count, size=size)
        assert np.array_equal(source, target)
