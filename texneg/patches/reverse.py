"""Copy a run of pixels in reverse order: vector code, and the plain loop it equals."""

from functools import partial
from typing import Any

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from texneg.jit import compiled

PIXELS = 16  # of a vector
SIZES = (1, 3, 4)  # bytes of a pixel that vectors hold

_I32, _I64 = ir.IntType(32), ir.IntType(64)


@compiled()
def plain_reversed(memory, to, last, count, size):  # type: ignore[no-untyped-def]
    """memory[to + i * size + b] = memory[last - i * size + b] for i < count, b < size, the size of a pixel.

    The array is flat uint8, the two runs do not overlap, and numbers are uint64.
    """
    for i in range(count):
        for b in range(size):
            memory[to + i * size + b] = memory[last - i * size + b]


@intrinsic
def vector_reversed(context: Any, memory: Any, to: Any, last: Any, count: Any, size: Any) -> Any:
    """`plain_reversed` of 16 pixels or more, each of 1, 3 or 4 bytes; no bounds are checked."""
    return types.void(memory, to, last, count, size), _emit


def _emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """A loop over vectors for each size; the last vector overlaps the one before."""
    memory, to, last, count, size = arguments
    data = context.make_array(signature.args[0])(context, builder, memory).data
    done = builder.append_basic_block("done")
    choice = builder.switch(size, done)
    for pixel in SIZES:
        choice.add_case(_I64(pixel), case := builder.append_basic_block(f"pixels_of_{pixel}"))
        builder.position_at_end(case)
        move = partial(_move, builder, data, to, last, pixel)
        final = builder.sub(count, _I64(PIXELS))
        with cgutils.for_range_slice(builder, _I64(0), final, _I64(PIXELS), intp=_I64) as (i, _):
            move(i)
        move(final)
        builder.branch(done)
    builder.position_at_end(done)
    return context.get_dummy_value()


def _move(builder: Any, data: Any, to: Any, last: Any, size: int, i: Any) -> None:
    """Copy the pixels i ... i + 15."""
    kind = ir.VectorType(ir.IntType(8), PIXELS * size)
    offset = builder.mul(i, _I64(size))
    first = builder.sub(builder.sub(last, offset), _I64((PIXELS - 1) * size))
    source = builder.bitcast(builder.gep(data, [first]), kind.as_pointer())
    values = builder.load(source)
    values.align = 1
    lanes = [_I32((PIXELS - 1 - i) * size + b) for i in range(PIXELS) for b in range(size)]
    mask = ir.Constant(ir.VectorType(_I32, len(lanes)), lanes)
    turned = builder.shuffle_vector(values, ir.Constant(kind, ir.Undefined), mask)
    target = builder.bitcast(builder.gep(data, [builder.add(to, offset)]), kind.as_pointer())
    builder.store(turned, target).align = 1


# An intrinsic has no Python body and knows no bounds: where either is needed, the loop replaces it.
copy_reversed = plain_reversed if config.DISABLE_JIT or config.BOUNDSCHECK else vector_reversed
