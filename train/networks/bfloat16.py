"""Elements of float arrays in compiled code, where an array of uint16 holds bfloat16.

NumPy and numba have no such type. It is the upper half of a float32; arithmetic is done in float32.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload
from torch import Tensor

NAN = 0x7FC0
WORD, FLOAT = ir.IntType(32), ir.FloatType()


def as_array(x: Tensor) -> npt.NDArray[Any]:
    """Return the values in the order of their memory, without a copy; bfloat16 as uint16."""
    x = x.detach()
    x = x.view(torch.uint16) if x.dtype == torch.bfloat16 else x
    return (x if x.is_contiguous() else x.as_strided((x.numel(),), (1,))).numpy().reshape(-1)


def load(values: npt.NDArray[Any], i: Any) -> Any:
    """Return element i as a float."""
    if values.dtype != np.uint16:
        return values[i]
    return (np.uint32(values[i]) << np.uint32(16)).view(np.float32)


def store(values: npt.NDArray[Any], i: Any, value: Any) -> None:
    """Write element i; bfloat16 is rounded to nearest, ties to even."""
    if values.dtype != np.uint16:
        values[i] = value
    elif np.isnan(value):
        values[i] = NAN
    else:
        bits = np.float32(value).view(np.uint32)
        values[i] = (int(bits) + 0x7FFF + (int(bits) >> 16 & 1)) >> 16


# The same in LLVM's 32-bit integers; numba's are of 64 bits, and half as fast.


@intrinsic
def widen(typing, bits):  # type: ignore[no-untyped-def]
    """Return the float32 of the bits of a bfloat16."""

    def build(context, builder, signature, values):  # type: ignore[no-untyped-def]
        word = builder.zext(values[0], WORD)
        return builder.bitcast(builder.shl(word, WORD(16)), FLOAT)

    return types.float32(types.uint16), build


@intrinsic
def narrow(typing, value):  # type: ignore[no-untyped-def]
    """Return the bits of the bfloat16 that is nearest to a float32."""

    def build(context, builder, signature, values):  # type: ignore[no-untyped-def]
        bits = builder.bitcast(values[0], WORD)
        odd = builder.and_(builder.lshr(bits, WORD(16)), WORD(1))
        rounded = builder.lshr(builder.add(bits, builder.add(odd, WORD(0x7FFF))), WORD(16))
        is_nan = builder.fcmp_unordered("uno", values[0], values[0])
        return builder.trunc(builder.select(is_nan, WORD(NAN), rounded), ir.IntType(16))

    return types.uint16(types.float32), build


@overload(load, inline="always")
def _compile_load(values, i):  # type: ignore[no-untyped-def]
    if values.dtype == types.uint16:
        return lambda values, i: widen(values[i])
    return lambda values, i: values[i]


@overload(store, inline="always")
def _compile_store(values, i, value):  # type: ignore[no-untyped-def]
    def rounded(values, i, value):  # type: ignore[no-untyped-def]
        values[i] = narrow(np.float32(value))

    def exact(values, i, value):  # type: ignore[no-untyped-def]
        values[i] = value

    return rounded if values.dtype == types.uint16 else exact
