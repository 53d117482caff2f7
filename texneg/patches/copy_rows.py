"""Copy the rows of a rectangle between byte arrays: vector code, and the plain loop it equals.

A rectangle is `rows` runs of `count` bytes. Patches are narrow and all of one width, so what a library's
memcpy decides at every row is decided once here: one loop for each number of moves, all of constant size.
"""

from functools import partial
from typing import Any

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from texneg.jit import compiled

WIDTH = 32  # bytes of the widest move
MOST = 8  # moves of a row; longer rows are left to memcpy
LINE = 64  # bytes that memory moves at once

_I32, _I64 = ir.IntType(32), ir.IntType(64)


@compiled()
def plain_rows(target, to, step, source, start, stride, rows, count):  # type: ignore[no-untyped-def]
    """target[to + y * step + b] = source[start + y * stride + b] for y < rows, b < count.

    Arrays are C-contiguous uint8, taken as flat, and do not overlap; numbers are uint64, rows and step at
    least 1, a negative stride modulo 2^64.
    """
    target, source = target.reshape(-1), source.reshape(-1)
    for y in range(rows):
        for b in range(count):
            target[to + y * step + b] = source[start + y * stride + b]


@compiled()
def plain_rows_fetching(  # type: ignore[no-untyped-def]
    target, to, step, source, start, stride, rows, count, next_to, next_start
):
    """`plain_rows` with the arguments of `vector_rows_fetching`: nothing is fetched."""
    plain_rows(target, to, step, source, start, stride, rows, count)


@intrinsic
def vector_rows(
    context: Any, target: Any, to: Any, step: Any, source: Any, start: Any, stride: Any, rows: Any, count: Any
) -> Any:
    """`plain_rows` in vector moves; the last in a row overlaps the one before. No bounds are checked."""
    return types.void(target, to, step, source, start, stride, rows, count), _emit_rows


@intrinsic
def vector_rows_fetching(
    context: Any,
    target: Any,
    to: Any,
    step: Any,
    source: Any,
    start: Any,
    stride: Any,
    rows: Any,
    count: Any,
    next_to: Any,
    next_start: Any,
) -> Any:
    """`vector_rows` that also fetches into the cache, with each row, that of the rectangle copied next.

    A fetch is a hint and reads nothing: the next rectangle may lie outside the arrays.
    """
    arguments = (target, to, step, source, start, stride, rows, count, next_to, next_start)
    return types.void(*arguments), _emit_rows


def _emit_rows(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """A switch over the number of moves, with a loop over the rows in each case."""

    def first_byte(array: int) -> Any:
        data = context.make_array(signature.args[array])(context, builder, arguments[array]).data
        return builder.gep(data, [arguments[array + 1]])

    _, to, step, _, start, stride, rows, count, *ahead = arguments
    first = (first_byte(0), first_byte(3))
    end = builder.gep(first[0], [builder.mul(rows, step)])
    away = [builder.sub(there, here) for there, here in zip(ahead, (to, start), strict=False)]
    done = builder.append_basic_block("done")

    def each_row(copy: Any, most: int) -> None:
        """Copy rows of at most so many bytes.

        The end is an address: LLVM would unroll a counted loop, which costs more than such short loops take.
        """
        before, row = builder.block, builder.append_basic_block("row")
        builder.branch(row)
        builder.position_at_end(row)
        bytes_ = [builder.phi(pointer.type) for pointer in first]
        for i, distance in enumerate(away):
            _fetch(builder, builder.gep(bytes_[i], [distance]), most, write=i == 0)
        copy(*bytes_)
        following = [builder.gep(byte, [pitch]) for byte, pitch in zip(bytes_, (step, stride), strict=True)]
        for i, byte in enumerate(bytes_):
            byte.add_incoming(first[i], before)
            byte.add_incoming(following[i], row)
        builder.cbranch(builder.icmp_unsigned("!=", following[0], end), row, done)

    def last(width: int) -> Any:
        return builder.sub(count, _I64(width))

    short, long = builder.append_basic_block("short"), builder.append_basic_block("long")
    choice = builder.switch(builder.udiv(builder.add(count, _I64(WIDTH - 1)), _I64(WIDTH)), long)
    choice.add_case(_I64(0), done)
    choice.add_case(_I64(1), short)
    for moves in range(2, MOST + 1):
        choice.add_case(_I64(moves), case := builder.append_basic_block(f"moves_{moves}"))
        builder.position_at_end(case)
        offsets = [*(_I64(WIDTH * i) for i in range(moves - 1)), last(WIDTH)]
        each_row(partial(_move, builder, WIDTH, offsets), WIDTH * moves)
    builder.position_at_end(long)
    each_row(partial(_memcpy, builder, count), WIDTH * MOST)

    builder.position_at_end(short)
    for width in (WIDTH >> i for i in range(1, WIDTH.bit_length())):
        wide, narrow = builder.append_basic_block(f"width_{width}"), builder.append_basic_block("narrow")
        builder.cbranch(builder.icmp_unsigned(">=", count, _I64(width)), wide, narrow)
        builder.position_at_end(wide)
        each_row(partial(_move, builder, width, [_I64(0), last(width)]), WIDTH)
        builder.position_at_end(narrow)
    builder.unreachable()
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


def _memcpy(builder: Any, count: Any, to: Any, start: Any) -> None:
    cgutils.raw_memcpy(builder, to, start, count, 1)


def _fetch(builder: Any, byte: Any, most: int, *, write: bool) -> None:
    """Every line of so many bytes, of which the first may lie anywhere in its line."""
    form = ir.FunctionType(ir.VoidType(), [byte.type, _I32, _I32, _I32])
    prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte.type], form)
    for line in range(-(-most // LINE) + 1):
        address = builder.gep(byte, [_I64(LINE * line)])
        builder.call(prefetch, [address, _I32(int(write)), _I32(3), _I32(1)])  # to the first level, for data


# An intrinsic has no Python body and knows no bounds: where either is needed, the loop replaces it.
_PLAIN = config.DISABLE_JIT or config.BOUNDSCHECK
copy_rows = plain_rows if _PLAIN else vector_rows
copy_rows_fetching = plain_rows_fetching if _PLAIN else vector_rows_fetching
