"""Counter-based randomness: Philox4x32-10 words selected by (key, counter), never by call order.

Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. A key is 64 bits mixed
from the fields that name a stream (seed, epoch, index, ...); its low and high half are the two Philox key
words. The counter is (i, 0, 0, 0) with a 32-bit i, which is the layout of Triton's `randint4x`.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

ROUNDS = 10
MASK64 = (1 << 64) - 1

U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]

MULTIPLIERS, INCREMENTS = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)  # of Philox4x32, of its keys
GOLDEN, MIXERS = 0x9E3779B97F4A7C15, (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # of splitmix64
LOW = 0xFFFFFFFF

_M0, _M1 = map(np.uint64, MULTIPLIERS)
_W0, _W1 = map(np.uint64, INCREMENTS)
_MIX0, _MIX1 = MIXERS
_LOW, _32 = np.uint64(LOW), np.uint64(32)


def fold(*fields: int) -> int:
    """Mix integers into one 64-bit key: the splitmix64 finaliser chained once per field.

    Fields are taken modulo 2^64. The order matters. Changing this function changes every experiment.
    """
    key = 0
    for field in fields:
        z = (key + field + GOLDEN) & MASK64
        z = ((z ^ (z >> 30)) * _MIX0) & MASK64
        z = ((z ^ (z >> 27)) * _MIX1) & MASK64
        key = z ^ (z >> 31)
    return key


def fold_array(key: U64 | int, field: npt.NDArray[Any]) -> U64:
    """One more `fold` step, elementwise: (..., ) uint64 keys extended by an integer array."""
    with np.errstate(over="ignore"):
        z = np.asarray(key, dtype=np.uint64) + field.astype(np.uint64) + np.uint64(GOLDEN)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(_MIX0)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(_MIX1)
        return z ^ (z >> np.uint64(31))


def philox(key: U64 | int, counter: npt.NDArray[Any] | int) -> U32:
    """Philox words of every (key, counter) pair, broadcast together: (..., 4) uint32."""
    key, counter = np.asarray(key, np.uint64), np.asarray(counter, np.uint64) & _LOW
    k0, k1 = key & _LOW, key >> _32
    shape = np.broadcast_shapes(key.shape, counter.shape)
    c0, c1, c2, c3 = (np.zeros(shape, np.uint64) for _ in range(4))
    c0 += counter
    for _ in range(ROUNDS):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ k0, p1 & _LOW, (p0 >> _32) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def generator(*fields: int) -> np.random.Generator:
    """A NumPy generator on its own Philox stream, for draws outside of compiled code and kernels."""
    return np.random.Generator(np.random.Philox(key=fold(*fields)))
