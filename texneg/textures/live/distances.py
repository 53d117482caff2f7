"""Distances of one output pixel to several candidates, as vector code and as the plain loop they equal."""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import config, njit, types
from numba.extending import intrinsic

from texneg.textures.window import GROUP, INT32, INT64, RADIUS, fold_four, plain_distance, window_sums

I16 = npt.NDArray[np.int16]


@njit(nogil=True, cache=True, error_model="numpy")
def plain_distances(
    image: I16, n: int, pitch: int, atlas: I16, candidates: tuple[int, ...], atlas_pitch: int
) -> Any:
    """The distance of each candidate, as loops.

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
    """The same as a tuple; the window is loaded once and four distances are folded together."""
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


# An intrinsic has no Python body, so without compilation the loop takes its place.
distances = plain_distances if config.DISABLE_JIT else vector_distances
