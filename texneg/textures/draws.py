"""Random words addressed by (key, block), written in bulk so that the compiler can vectorise them."""

import numpy as np
import numpy.typing as npt
from numba import njit

from texneg.philox.arrays import philox_words

U32 = npt.NDArray[np.uint32]


@njit(nogil=True, cache=True, error_model="numpy")
def fill_words(words: U32, key: int, first: int) -> None:
    """Fill a (4 n,) array with the Philox words of the counters first ... first + n - 1."""
    for block in range(len(words) // 4):
        a, b, c, d = philox_words(np.uint64(key), np.uint64(first + block))
        words[4 * block] = a
        words[4 * block + 1] = b
        words[4 * block + 2] = c
        words[4 * block + 3] = d


def words(key: int, count: int) -> U32:
    """The first `count` words of a stream."""
    drawn = np.empty(-(-count // 4) * 4, np.uint32)
    fill_words(drawn, np.uint64(key), 0)
    return drawn[:count]
