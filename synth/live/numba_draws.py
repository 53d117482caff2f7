"""Keys and words of live textures in compiled code."""

import numpy as np
from numba import njit

from texneg.philox import U32, U64, philox_words


@njit(nogil=True, cache=True, inline="always")
def extend(key, field):  # type: ignore[no-untyped-def]
    """One more step of `philox.fold`."""
    z = key + np.uint64(field) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(nogil=True, cache=True, inline="always")
def stream(key, purpose):  # type: ignore[no-untyped-def]
    """The key of a stream of one texture: `fold(key, purpose)`."""
    return extend(extend(np.uint64(0), key), np.uint64(purpose))


@njit(nogil=True, cache=True)
def texture_keys(base: int, index: U64, count: int) -> U64:
    """Keys of every texture, (N * count,): `base` extended by the index and the number of the negative."""
    keys = np.empty(len(index) * count, np.uint64)
    for n in range(len(index)):
        key = extend(np.uint64(base), index[n])
        for k in range(count):
            keys[n * count + k] = extend(key, np.uint64(k))
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
