"""Vector instructions for compiled code, where LLVM makes poor ones of a loop.

Indices are of flat arrays, unsigned; nothing is checked. Sums and products are rounded one by one, so processors
with other vector units give the same numbers.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

SIDE = 16
"""Numbers in a vector; rows and columns of a block to transpose."""
BLOCK = 4 * SIDE
"""Numbers that `combine_block` makes at once."""
INDEX = ir.IntType(64)


def point(array: Any, vector: ir.VectorType, builder: ir.IRBuilder, start: Any, more: Any) -> Any:
    """Build a pointer to the vector at start + more of an array."""
    at = builder.gep(array.data, [builder.add(start, more)])
    return builder.bitcast(at, vector.as_pointer())


@intrinsic  # type: ignore[misc]
def transpose_block(typing: Any, source: Any, at: Any, step: Any, out: Any, to: Any, stride: Any) -> Any:
    """Copy SIDE rows of SIDE numbers, `step` apart, as columns to rows `stride` apart."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Sequence[Any]) -> Any:
        begin, end = (context.make_array(signature.args[i])(context, builder, args[i]) for i in (0, 3))
        vector, half = ir.VectorType(context.get_data_type(source.dtype), SIDE), SIDE // 2

        def row(array: Any, start: Any, apart: Any, i: int) -> Any:
            return point(array, vector, builder, start, builder.mul(apart, INDEX(i)))

        rows = [builder.load(row(begin, args[1], args[2], i), align=1) for i in range(SIDE)]
        masks = [
            ir.Constant(
                ir.VectorType(ir.IntType(32), SIDE), [k // 2 + k % 2 * SIDE + k0 for k in range(SIDE)]
            )
            for k0 in (0, half)
        ]
        for _ in range(half.bit_length()):  # each time row i and row i + half are interleaved
            pairs = [(rows[i], rows[i + half]) for i in range(half)]
            rows = [builder.shuffle_vector(*pair, mask) for pair in pairs for mask in masks]
        for i in range(SIDE):
            builder.store(rows[i], row(end, args[4], args[5], i), align=1)
        return context.get_dummy_value()

    u = types.uint64
    return types.void(source, u, u, out, u, u), generate


@intrinsic  # type: ignore[misc]
def combine_block(
    typing: Any, out: Any, to: Any, weights: Any, count: Any, source: Any, at: Any, step: Any
) -> Any:
    """Write BLOCK sums over k from 0 to count of weights[k] times the number at `at` + k step, in float32."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Sequence[Any]) -> Any:
        end, factors, begin = (
            context.make_array(signature.args[i])(context, builder, args[i]) for i in (0, 2, 4)
        )
        sums = ir.VectorType(ir.FloatType(), SIDE)
        wide, values = (
            ir.VectorType(ir.IntType(32), SIDE),
            ir.VectorType(context.get_data_type(source.dtype), SIDE),
        )
        places = [INDEX(i) for i in range(0, BLOCK, SIDE)]
        totals = [cgutils.alloca_once(builder, sums) for _ in places]
        zeros = ir.Constant(wide, [0] * SIDE)
        for total in totals:
            builder.store(ir.Constant(sums, [0.0] * SIDE), total)
        with cgutils.for_range(builder, args[3], intp=INDEX) as loop:
            weight = builder.load(builder.gep(factors.data, [loop.index]))
            first = builder.insert_element(ir.Constant(sums, ir.Undefined), weight, ir.IntType(32)(0))
            spread = builder.shuffle_vector(first, first, zeros)
            start = builder.add(args[5], builder.mul(loop.index, args[6]))
            for place, total in zip(places, totals, strict=True):
                value = builder.load(point(begin, values, builder, start, place), align=1)
                if isinstance(source.dtype, types.Integer):
                    value = builder.sitofp(builder.zext(value, wide), sums)
                builder.store(builder.fadd(builder.load(total), builder.fmul(spread, value)), total)
        for place, total in zip(places, totals, strict=True):
            builder.store(builder.load(total), point(end, sums, builder, args[1], place), align=1)
        return context.get_dummy_value()

    u = types.uint64
    return types.void(out, u, weights, u, source, u, u), generate
