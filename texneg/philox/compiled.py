"""The words of `philox.arrays` in compiled code: one at a time, inlined where they are used, and in bulk."""

import numpy as np

from texneg.jit import compiled
from texneg.philox.arrays import GOLDEN, INCREMENTS, LOW, MIXERS, MULTIPLIERS, ROUNDS, U32

_M0, _M1 = map(np.uint64, MULTIPLIERS)
_W0, _W1 = map(np.uint64, INCREMENTS)
_GOLDEN, (_MIX0, _MIX1) = np.uint64(GOLDEN), map(np.uint64, MIXERS)
_LOW, _32 = np.uint64(LOW), np.uint64(32)


@compiled(inline="always")
def fold_field(key, field):  # type: ignore[no-untyped-def]
    """One more `fold` step of a uint64 key by an integer."""
    z = np.uint64(key) + np.uint64(field) + _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _MIX0
    z = (z ^ (z >> np.uint64(27))) * _MIX1
    return z ^ (z >> np.uint64(31))


@compiled(inline="always")
def philox_words(key, counter):  # type: ignore[no-untyped-def]
    """Four uint64 values below 2^32 for a uint64 key and counter."""
    k0, k1 = key & _LOW, key >> _32
    c0, c1, c2, c3 = counter & _LOW, np.uint64(0), np.uint64(0), np.uint64(0)
    for _ in range(ROUNDS):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ k0, p1 & _LOW, (p0 >> _32) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@compiled(inline="always")
def below(word, bound):  # type: ignore[no-untyped-def]
    """Uniform integer in 0 ... bound - 1 from one word, by multiply and shift (bias under bound / 2^32)."""
    return (word * bound) >> _32


@compiled(error_model="numpy")
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


@compiled(error_model="numpy")
def fill_every_third(words: U32, key: int, first: int) -> None:
    """Fill (n, 4) with the Philox words of the counters first, first + 3, ..."""
    for block in range(len(words)):
        a, b, c, d = philox_words(key, np.uint64(first + 3 * block))
        words[block, 0] = a
        words[block, 1] = b
        words[block, 2] = c
        words[block, 3] = d
