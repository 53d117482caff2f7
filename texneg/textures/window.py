"""Distance of two 5 x 5 windows of RGB pixels: a plain loop, and the pieces of vector code that equals it.

Images are flat int16 arrays of interleaved RGB, values 0 to 255, with `SPARE` more elements at the end. A
window is named by the index of its first element; `pitch` is the number of elements from one row to the next.
The result is the sum of 75 squared differences, at most 75 * 255^2 < 2^31, the same integer on every machine.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types

from texneg.jit import compiled

RADIUS = 2
SIDE = 2 * RADIUS + 1
ROW = 3 * SIDE
SPARE = 16  # a row is loaded as 16 elements, one more than it has
GROUP = 4  # distances folded together

I16 = npt.NDArray[np.int16]

INT16, INT32, INT64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_ROW_OF_16, _ROW_OF_32 = ir.VectorType(INT16, 16), ir.VectorType(INT32, 16)
_COUNTED = ir.Constant(_ROW_OF_16, [-1] * ROW + [0])


@compiled(error_model="numpy")
def plain_distance(a: I16, i: int, a_pitch: int, b: I16, j: int, b_pitch: int) -> Any:
    """Sum by a loop: the reference, also used where nothing is compiled."""
    total = np.int64(0)
    for row in range(SIDE):
        for k in range(ROW):
            step = np.int64(a[i + row * a_pitch + k]) - np.int64(b[j + row * b_pitch + k])
            total += step * step
    return total


def window_sums(
    context: Any, builder: Any, image: Any, n: Any, pitch: Any, atlas: Any, candidates: Any, atlas_pitch: Any
) -> tuple[list[Any], list[Any]]:
    """The candidates of pixel n as int64, and of each the squared differences to n's window as <8 x i32>.

    Arguments are pairs of a numba type and an LLVM value; indices and pitches count pixels. The window of n
    is loaded once. Generic vector operations, which LLVM fits to the machine: five times as fast as the loop.
    """

    def integer(pair: Any) -> Any:
        return context.cast(builder, pair[1], pair[0], types.int64)

    def window(array: Any, index: Any, row: Any) -> Any:
        corner = builder.mul(ir.Constant(INT64, RADIUS), builder.add(row, ir.Constant(INT64, 1)))
        first = builder.mul(builder.sub(index, corner), ir.Constant(INT64, 3))
        return load_window(context, builder, array, first, builder.mul(row, ir.Constant(INT64, 3)))

    row, atlas_row = integer(pitch), integer(atlas_pitch)
    own = window(image, integer(n), row)
    named = [integer((of, builder.extract_value(candidates[1], k))) for k, of in enumerate(candidates[0])]
    return named, [squares(builder, own, window(atlas, candidate, atlas_row)) for candidate in named]


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
    """The squared differences of two windows, added up to <8 x i32>.

    Each row of 15 elements was loaded as 16: it is subtracted, its last lane cleared, widened, squared and
    added in pairs; five rows are summed.
    """
    sums = []
    for own, other in zip(a, b, strict=True):
        wide = builder.sext(builder.and_(builder.sub(own, other), _COUNTED), _ROW_OF_32)
        square = builder.mul(wide, wide)
        even, odd = list(range(0, 16, 2)), list(range(1, 16, 2))
        sums.append(builder.add(lanes(builder, square, square, even), lanes(builder, square, square, odd)))
    while len(sums) > 1:
        sums = [*sums[2:], builder.add(sums[0], sums[1])]
    return sums[0]


def fold_four(builder: Any, sums: list[Any]) -> Any:
    """Four <8 x i32> to the <4 x i32> of their totals, by shuffles inside halves of eight lanes."""
    even, odd = [0, 2, 8, 10, 4, 6, 12, 14], [1, 3, 9, 11, 5, 7, 13, 15]

    def pairs(a: Any, b: Any) -> Any:
        return builder.add(lanes(builder, a, b, even), lanes(builder, a, b, odd))

    halves = pairs(pairs(sums[0], sums[1]), pairs(sums[2], sums[3]))
    low, high = lanes(builder, halves, halves, [0, 1, 2, 3]), lanes(builder, halves, halves, [4, 5, 6, 7])
    return builder.add(low, high)


def lanes(builder: Any, a: Any, b: Any, picked: list[int]) -> Any:
    """The picked lanes of two vectors, those of b counted on from those of a."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT32, len(picked)), picked))
