"""Vector instructions for compiled code, where LLVM makes poor ones of a loop.

Indices are of flat arrays, unsigned; nothing is checked. Sums and products are rounded one by one, so that
processors with other vector units give the same numbers.
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


@intrinsic
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


@intrinsic
def combine_block(
    typing: Any, out: Any, to: Any, weights: Any, first: Any, count: Any, source: Any, at: Any, step: Any
) -> Any:
    """Write BLOCK sums over k from 0 to count of weights[first + k] times the numbers at `at` + k step.

    In float32, or in uint16 with weights of which 2^16 is 1: each product is then cut to a whole number, and
    what that takes on average is added. 8-bit levels are taken times 2^8.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Sequence[Any]) -> Any:
        end, factors, begin = (
            context.make_array(signature.args[i])(context, builder, args[i]) for i in (0, 2, 5)
        )
        number, exact = context.get_data_type(out.dtype), out.dtype == types.float32
        sums = ir.VectorType(number, SIDE)
        wide = ir.VectorType(ir.IntType(32), SIDE)
        values = ir.VectorType(context.get_data_type(source.dtype), SIDE)
        none = ir.Constant(wide, [0] * SIDE)

        def spread(value: Any) -> Any:
            lane = builder.insert_element(ir.Constant(sums, ir.Undefined), value, ir.IntType(32)(0))
            return builder.shuffle_vector(lane, lane, none)

        def multiply(weight: Any, value: Any) -> Any:
            if source.dtype == types.uint8:
                value = builder.shl(builder.zext(value, wide), ir.Constant(wide, [8] * SIDE))
                value = builder.uitofp(value, sums) if exact else builder.trunc(value, sums)
            if exact:
                return builder.fmul(weight, value)
            product = builder.mul(builder.zext(weight, wide), builder.zext(value, wide))
            return builder.trunc(builder.lshr(product, ir.Constant(wide, [16] * SIDE)), sums)

        places = [INDEX(i) for i in range(0, BLOCK, SIDE)]
        totals = [cgutils.alloca_once(builder, sums) for _ in places]
        half = builder.lshr(builder.add(args[4], INDEX(1)), INDEX(1))
        initial = ir.Constant(sums, [0.0] * SIDE) if exact else spread(builder.trunc(half, number))
        for total in totals:
            builder.store(initial, total)
        with cgutils.for_range(builder, args[4], intp=INDEX) as loop:
            weight = spread(builder.load(builder.gep(factors.data, [builder.add(args[3], loop.index)])))
            start = builder.add(args[6], builder.mul(loop.index, args[7]))
            for place, total in zip(places, totals, strict=True):
                value = builder.load(point(begin, values, builder, start, place), align=1)
                add = builder.fadd if exact else builder.add
                builder.store(add(builder.load(total), multiply(weight, value)), total)
        for place, total in zip(places, totals, strict=True):
            builder.store(builder.load(total), point(end, sums, builder, args[1], place), align=1)
        return context.get_dummy_value()

    u = types.uint64
    return types.void(out, u, weights, u, u, source, u, u), generate


@intrinsic
def round_level(typing: Any, value: Any) -> Any:
    """Round a level times 256 to the level."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: Sequence[Any]) -> Any:
        if value == types.float32:
            more = builder.fadd(args[0], ir.FloatType()(128))
            return builder.fptoui(builder.fmul(more, ir.FloatType()(1 / 256)), ir.IntType(8))
        more = builder.add(builder.zext(args[0], ir.IntType(32)), ir.IntType(32)(128))
        return builder.trunc(builder.lshr(more, ir.IntType(32)(8)), ir.IntType(8))

    return types.uint8(value), generate
