"""Copy the rows of a rectangle between flat byte arrays: vector code, and the plain loop it equals.

A rectangle is `rows` runs of `count` bytes. Patches are short and all of one width, so what a library's
memcpy decides at every call is decided once here: one loop for each number of moves, all of constant size.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from llvmlite import ir
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

WIDTH = 32  # bytes of the widest move
MOST = 8  # moves of a row; longer rows are left to memcpy

_I64 = ir.IntType(64)


@njit(nogil=True, cache=True)
def plain_rows(target, to, step, source, start, stride, rows, count):  # type: ignore[no-untyped-def]
    """target[to + y * step + b] = source[start + y * stride + b] for y < rows, b < count, all uint64.

    The arrays do not overlap; rows, count and step are at least 1. A negative stride is given modulo 2^64.
    """
    target, source = target.reshape(-1), source.reshape(-1)
    for y in range(rows):
        for b in range(count):
            target[to + y * step + b] = source[start + y * stride + b]


@intrinsic
def vector_rows(
    context: Any,
    target: Any,
    to: Any,
    step: Any,
    source: Any,
    start: Any,
    stride: Any,
    rows: Any,
    count: Any,
) -> Any:
    """The same as loops of vector moves, of which the last overlaps the one before. No bounds are checked."""
    return types.void(target, to, step, source, start, stride, rows, count), _emit_vector_rows


def _emit_vector_rows(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    def address(array: int, offset: int) -> Any:
        data = context.make_array(signature.args[array])(context, builder, arguments[array]).data
        return builder.gep(data, [arguments[offset]])

    target, source = address(0, 1), address(3, 4)
    _, _, step, _, _, stride, rows, count = arguments
    end = builder.gep(target, [builder.mul(rows, step)])
    done = builder.append_basic_block("done")

    def each_row(copy: Callable[[Any, Any], None]) -> None:
        """Ends by address: a counted loop would be unrolled, which costs more than such short rows."""
        before, row = builder.block, builder.append_basic_block("row")
        builder.branch(row)
        builder.position_at_end(row)
        to, start = builder.phi(target.type), builder.phi(source.type)
        copy(to, start)
        next_to, next_start = builder.gep(to, [step]), builder.gep(start, [stride])
        for phi, first, following in ((to, target, next_to), (start, source, next_start)):
            phi.add_incoming(first, before)
            phi.add_incoming(following, row)
        builder.cbranch(builder.icmp_unsigned("!=", next_to, end), row, done)

    def block(name: str) -> Any:
        return builder.append_basic_block(name)

    long, short = block("long"), block("short")
    blocks = builder.udiv(builder.add(count, _I64(WIDTH - 1)), _I64(WIDTH))
    choice = builder.switch(blocks, long)
    choice.add_case(_I64(1), short)
    for moves in range(2, MOST + 1):
        builder.position_at_end(here := block(f"moves_{moves}"))
        choice.add_case(_I64(moves), here)
        offsets = [*(_I64(WIDTH * i) for i in range(moves - 1)), builder.sub(count, _I64(WIDTH))]
        each_row(partial(_move, builder, WIDTH, offsets))
    builder.position_at_end(long)
    each_row(lambda to, start: cgutils.raw_memcpy(builder, to, start, count, 1))
    builder.position_at_end(short)
    width = WIDTH
    while width:
        fits, shorter = block(f"width_{width}"), block("shorter")
        builder.cbranch(builder.icmp_unsigned(">=", count, _I64(width)), fits, shorter)
        builder.position_at_end(fits)
        each_row(partial(_move, builder, width, [_I64(0), builder.sub(count, _I64(width))]))
        builder.position_at_end(shorter)
        width //= 2
    builder.branch(done)
    builder.position_at_end(done)
    return context.get_dummy_value()


def _move(builder: Any, width: int, offsets: list[Any], to: Any, start: Any) -> None:
    """Bytes [offset, offset + width) for every offset: all loads, then all stores."""
    vector = ir.VectorType(ir.IntType(8), width).as_pointer()
    values = []
    for offset in offsets:
        value = builder.load(builder.bitcast(builder.gep(start, [offset]), vector))
        value.align = 1
        values.append(value)
    for offset, value in zip(offsets, values, strict=True):
        builder.store(value, builder.bitcast(builder.gep(to, [offset]), vector)).align = 1


# An intrinsic has no Python body and knows no bounds: where either is asked for, the loop takes its place.
copy_rows = plain_rows if config.DISABLE_JIT or config.BOUNDSCHECK else vector_rows
