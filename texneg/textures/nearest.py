"""The cheapest of several candidates for one output pixel, as vector code and as the plain loop it equals.

A candidate's key is its cost in the high bits and its own index in the low `NAME_BITS`: the least key names
the cheapest candidate, the first by index where costs are equal, and no branch depends on the comparison.
A cost is a window distance, shifted, and a penalty up to `NEVER`: keys are below 2^63.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from texneg.jit import compiled
from texneg.textures.window import (
    GROUP,
    INT32,
    INT64,
    RADIUS,
    fold_four,
    lanes,
    plain_distance,
    window_sums,
)

NAME_BITS = 24
HEAVIEST = 1 << 37  # largest penalty of a place that may be chosen
NEVER = 3 << 36  # penalty of one that must not be: above HEAVIEST and any distance together

_FOUR = ir.VectorType(INT64, GROUP)

I16 = npt.NDArray[np.int16]
I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]


@compiled(error_model="numpy")
def plain_nearest(
    image: I16,
    n: int,
    pitch: int,
    atlas: I16,
    candidates: tuple[int, ...],
    atlas_pitch: int,
    bins: U32,
    penalty: I64,
    shift: int,
) -> Any:
    """Find the candidate of least key for output pixel n by a loop.

    Args:
        image: flat RGB of the output.
        n: the pixel whose 5 x 5 window is compared.
        pitch: pixels from one row of the output to the next.
        atlas: flat RGB of the exemplars.
        candidates: indices of atlas pixels, below 2^NAME_BITS.
        atlas_pitch: pixels from one row of the atlas to the next.
        bins: bin of each atlas pixel.
        penalty: what a bin adds to a key, `NAME_BITS` to the left.
        shift: bits by which a distance is moved to the left in a key, `NAME_BITS` to `NAME_BITS` + 8.
    """
    corner, atlas_corner = RADIUS * (pitch + 1), RADIUS * (atlas_pitch + 1)
    least = np.int64(2**63 - 1)
    for k in range(len(candidates)):
        candidate = np.int64(candidates[k])
        distance = plain_distance(
            image, 3 * (n - corner), 3 * pitch, atlas, 3 * (candidate - atlas_corner), 3 * atlas_pitch
        )
        extra = penalty[bins[candidate]] | candidate
        least = min(least, (distance << shift) + extra)
    return least & ((1 << NAME_BITS) - 1)


@intrinsic
def vector_nearest(
    context: Any,
    image: Any,
    n: Any,
    pitch: Any,
    atlas: Any,
    candidates: Any,
    atlas_pitch: Any,
    bins: Any,
    penalty: Any,
    shift: Any,
) -> Any:
    """`plain_nearest` in vector code: the window is loaded once, four distances are folded together."""
    signature = types.int64(image, n, pitch, atlas, candidates, atlas_pitch, bins, penalty, shift)
    return signature, _emit_vector_nearest


def _emit_vector_nearest(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    image, n, pitch, atlas, candidates, atlas_pitch, bins, penalty, shift = zip(
        signature.args, arguments, strict=True
    )

    def vector(members: list[Any]) -> Any:
        filled = ir.Constant(_FOUR, ir.Undefined)
        for k, member in enumerate(members):
            filled = builder.insert_element(filled, member, ir.Constant(INT32, k))
        return filled

    def element(array: Any, index: Any) -> Any:
        data = context.make_array(array[0])(context, builder, array[1]).data
        return builder.zext(builder.load(builder.gep(data, [index])), INT64)

    named, sums = window_sums(context, builder, image, n, pitch, atlas, candidates, atlas_pitch)
    extra = [builder.or_(element(penalty, element(bins, candidate)), candidate) for candidate in named]
    left = vector([context.cast(builder, shift[1], shift[0], types.int64)] * GROUP)
    keys = None
    for first in range(0, len(named), GROUP):
        # a last group that is not full repeats its last candidate, which changes no minimum
        chosen = [min(first + k, len(named) - 1) for k in range(GROUP)]
        added = vector([extra[k] for k in chosen])
        distances = builder.zext(fold_four(builder, [sums[k] for k in chosen]), _FOUR)
        group = builder.add(builder.shl(distances, left), added)
        keys = group if keys is None else _least(builder, keys, group)
    keys = _least(builder, lanes(builder, keys, keys, [0, 1]), lanes(builder, keys, keys, [2, 3]))
    keys = _least(builder, lanes(builder, keys, keys, [0]), lanes(builder, keys, keys, [1]))
    return builder.and_(
        builder.extract_element(keys, ir.Constant(INT32, 0)), ir.Constant(INT64, (1 << NAME_BITS) - 1)
    )


def _least(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


@compiled(error_model="numpy")
def plain_distances(
    image: I16, n: int, pitch: int, atlas: I16, candidates: tuple[int, ...], atlas_pitch: int
) -> Any:
    """Compute the distance of each candidate by loops.

    Args:
        image: flat RGB of the output.
        n: the pixel whose 5 x 5 window is compared.
        pitch: pixels from one row of the output to the next.
        atlas: flat RGB of the exemplars.
        candidates: indices of atlas pixels.
        atlas_pitch: pixels from one row of the atlas to the next.
    """
    first = 3 * (n - RADIUS * (pitch + 1))
    corners = [3 * (candidate - RADIUS * (atlas_pitch + 1)) for candidate in candidates]
    return [plain_distance(image, first, 3 * pitch, atlas, corner, 3 * atlas_pitch) for corner in corners]


@intrinsic
def vector_distances(
    context: Any, image: Any, n: Any, pitch: Any, atlas: Any, candidates: Any, atlas_pitch: Any
) -> Any:
    """`plain_distances` in vector code, as a tuple."""
    result = types.UniTuple(types.int64, len(candidates))
    return result(image, n, pitch, atlas, candidates, atlas_pitch), _emit_vector_distances


def _emit_vector_distances(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    _, sums = window_sums(context, builder, *zip(signature.args, arguments, strict=True))
    found = []
    for first in range(0, len(sums), GROUP):
        chosen = [sums[min(first + k, len(sums) - 1)] for k in range(GROUP)]
        four = fold_four(builder, chosen)
        found += [builder.extract_element(four, ir.Constant(INT32, k)) for k in range(GROUP)]
    found = [builder.zext(distance, INT64) for distance in found[: len(sums)]]
    return context.make_tuple(builder, signature.return_type, found)


# An intrinsic has no Python body, so without compilation the loops replace it.
nearest = plain_nearest if config.DISABLE_JIT else vector_nearest
distances = plain_distances if config.DISABLE_JIT else vector_distances
