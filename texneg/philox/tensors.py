"""The words of `philox.arrays` in torch integer operations, on any device, without a wait for the host.

Torch has no full set of unsigned 64-bit operations: words live in int64, whose products wrap to the right low
64 bits, and every right shift is masked to be a logical one. Keys are the same 64 bits, read as signed.
"""

import torch
from torch import Tensor

from texneg.philox.arrays import GOLDEN, INCREMENTS, LOW, MIXERS, MULTIPLIERS, ROUNDS


def signed(value: int) -> int:
    """The int64 with the bits of an unsigned 64-bit integer."""
    return value - (1 << 64) if value >> 63 else value


(_M0, _M1), (_W0, _W1) = MULTIPLIERS, INCREMENTS
_GOLDEN, _MIX0, _MIX1 = map(signed, (GOLDEN, *MIXERS))


def fold_tensor(key: Tensor | int, field: Tensor) -> Tensor:
    """One more `fold` step, elementwise: int64 keys extended by an int64 tensor."""
    z = field + key + _GOLDEN
    z = (z ^ _shift(z, 30)) * _MIX0
    z = (z ^ _shift(z, 27)) * _MIX1
    return z ^ _shift(z, 31)


def philox_tensor(key: Tensor, counter: Tensor) -> Tensor:
    """Philox words of every (key, counter) pair, broadcast together: (..., 4) int64 in 0 ... 2^32 - 1."""
    key, counter = torch.broadcast_tensors(key, counter)
    k0, k1 = key & LOW, _shift(key, 32)
    c0, c1, c2, c3 = counter & LOW, torch.zeros_like(key), torch.zeros_like(key), torch.zeros_like(key)
    for _ in range(ROUNDS):
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = _shift(p1, 32) ^ c1 ^ k0, p1 & LOW, _shift(p0, 32) ^ c3 ^ k1, p0 & LOW
        k0, k1 = (k0 + _W0) & LOW, (k1 + _W1) & LOW
    return torch.stack([c0, c1, c2, c3], dim=-1)


def below_tensor(word: Tensor, bound: Tensor | int) -> Tensor:
    """Uniform integer in 0 ... bound - 1 from each word, by multiply and shift; bound < 2^31."""
    return (word * bound) >> 32


def _shift(z: Tensor, bits: int) -> Tensor:
    return (z >> bits) & ((1 << (64 - bits)) - 1)
