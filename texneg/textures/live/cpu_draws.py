"""Keys and words of live textures in compiled code."""

import numpy as np
from numba import njit

from texneg.philox.arrays import U32, U64, fold_field, philox_words


@njit(nogil=True, cache=True, inline="always")
def stream(key, purpose):  # type: ignore[no-untyped-def]
    """The key of a stream of one texture: `fold(key, purpose)`."""
    return fold_field(fold_field(0, key), purpose)


@njit(nogil=True, cache=True)
def texture_keys(base: int, index: U64, count: int) -> U64:
    """Keys of every texture, (N * count,): `base` extended by the index and the number of the negative."""
    keys = np.empty(len(index) * count, np.uint64)
    for n in range(len(index)):
        key = fold_field(base, index[n])
        for k in range(count):
            keys[n * count + k] = fold_field(key, k)
    return keys


@njit(nogil=True, cache=True, error_model="numpy")
def fill_every_third(words: U32, key: int, first: int) -> None:
    """Fill (n, 4) with the Philox words of the counters first, first + 3, ..."""
    for block in range(len(words)):
        a, b, c, d = philox_words(key, np.uint64(first + 3 * block))
        words[block, 0] = a
        words[block, 1] = b
        words[block, 2] = c
        words[block, 3] = d
