"""Refinement of a coordinate map by propagation and random search, scan by scan.

Barnes, Shechtman, Finkelstein, Goldman, "PatchMatch", SIGGRAPH 2009, on the coherent maps of Ashikhmin,
"Synthesizing natural textures", I3D 2001. Each output pixel names one atlas pixel and shows its colour. A frame of
two pixels on every side is part of every window and never visited.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from texneg.philox import below
from texneg.synth.atlas import Tables
from texneg.synth.draws import fill_words
from texneg.synth.window import RADIUS, SIDE, SPARE, window_distance

LOCAL_REACH = 3  # px a local candidate may lie from the best so far
FRACTION = 8  # bits after the point in costs, so that a light usage penalty is not rounded away

I16 = npt.NDArray[np.int16]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]


@njit(nogil=True, cache=True, error_model="numpy")
def paint(source: I32, atlas: I16) -> I16:
    """Flat int16 RGB of a framed map, `SPARE` elements longer."""
    image = np.zeros(source.size * 3 + SPARE, np.int16)
    flat = source.ravel()
    for n in range(len(flat)):
        for c in range(3):
            image[3 * n + c] = atlas[3 * flat[n] + c]
    return image


@njit(nogil=True, cache=True, error_model="numpy")
def count_use(source: I32, bins: I32, step: I64) -> I64:
    """Usage penalty of each bin: its step for every pixel it feeds inside the frame."""
    penalty = np.zeros(len(step), np.int64)
    for y in range(RADIUS, source.shape[0] - RADIUS):
        for x in range(RADIUS, source.shape[1] - RADIUS):
            bin_ = bins[source[y, x]]
            penalty[bin_] += step[bin_]
    return penalty


@njit(nogil=True, cache=True, error_model="numpy")
def upsample(coarse: I32, side: int, coarse_pitch: int, fine_pitch: int) -> I32:
    """The framed map of a (side, side) output from the map one level coarser: each pixel's children in place."""
    framed = side + 2 * RADIUS
    fine = np.empty((framed, framed), np.int32)
    for y in range(framed):
        for x in range(framed):
            down, right = (y - RADIUS) & 1, (x - RADIUS) & 1
            source = coarse[(y + RADIUS) >> 1, (x + RADIUS) >> 1]
            row, column = source // coarse_pitch, source % coarse_pitch
            fine[y, x] = (2 * row + down) * fine_pitch + 2 * column + right
    return fine


@njit(nogil=True, cache=True, error_model="numpy")
def continues(source: I32, n: int, pitch: int, atlas_pitch: int, reach: int) -> bool:
    """Whether the eight neighbours of output pixel n at distance `reach` all lie in the same copy as n."""
    here = source[n]
    up, side = reach * pitch, reach
    atlas_up = reach * atlas_pitch
    broken = (source[n - side] - here + side) | (source[n + side] - here - side)
    broken |= (source[n - up] - here + atlas_up) | (source[n + up] - here - atlas_up)
    broken |= (source[n - up - side] - here + atlas_up + side) | (
        source[n + up + side] - here - atlas_up - side
    )
    broken |= (source[n - up + side] - here + atlas_up - side) | (
        source[n + up - side] - here - atlas_up + side
    )
    return broken == 0


@njit(nogil=True, cache=True, error_model="numpy")
def scan(
    framed_source: I32,
    image: I16,
    penalty: I64,
    step: I64,
    table: Tables,
    atlas: I16,
    key: int,
    random: int,
    local: int,
    seam_reach: int,
    backwards: bool,
) -> None:
    """One pass over the map, in place: each pixel takes the cheapest of its candidates at once.

    Candidates: the present source, what the left, upper and upper right neighbours would continue with (mirrored
    when scanning backwards), `random` valid pixels, `local` pixels near the best so far. Cost: window distance plus
    the usage penalty of the candidate's bin; ties keep the earlier. With `seam_reach` > 0 a pixel whose neighbours
    at that distance all continue its copy is skipped.
    """
    pitch = framed_source.shape[1]
    height, width = framed_source.shape[0] - 2 * RADIUS, pitch - 2 * RADIUS
    source = framed_source.ravel()
    atlas_pitch, valid, positions, bins = table.pitch, table.valid, table.positions, table.bins
    corner, atlas_corner = RADIUS * pitch + RADIUS, RADIUS * atlas_pitch + RADIUS
    ahead = -1 if backwards else 1
    draws = random + local
    blocks = -(-draws * width // 4)
    words = np.empty(4 * blocks, np.uint32)
    for scanned in range(height):
        y = height - 1 - scanned if backwards else scanned
        fill_words(words, key, y * blocks)
        for passed in range(width):
            x = width - 1 - passed if backwards else passed
            n = (y + RADIUS) * pitch + x + RADIUS
            if seam_reach and continues(source, n, pitch, atlas_pitch, seam_reach):
                continue
            present = source[n]
            window = 3 * (n - corner)
            best = present
            least = (
                window_distance(
                    image, window, 3 * pitch, atlas, 3 * (present - atlas_corner), 3 * atlas_pitch
                )
                << FRACTION
            ) + penalty[bins[present]]
            for k in range(3 + draws):
                if k == 0:
                    candidate = source[n - ahead] + ahead
                elif k == 1:
                    candidate = source[n - ahead * pitch] + ahead * atlas_pitch
                elif k == 2:
                    candidate = source[n - ahead * pitch + ahead] + ahead * atlas_pitch - ahead
                else:
                    word = np.uint64(words[x * draws + k - 3])
                    if k < 3 + random:
                        candidate = positions[below(word, np.uint64(len(positions)))]
                    else:
                        reach = np.uint64(2 * LOCAL_REACH + 1)
                        down = np.int64(below(word, reach * reach))
                        right = down % (2 * LOCAL_REACH + 1) - LOCAL_REACH
                        down = down // (2 * LOCAL_REACH + 1) - LOCAL_REACH
                        candidate = max(0, min(best + down * atlas_pitch + right, len(valid) - 1))
                if candidate == best or candidate == present or not valid[candidate]:
                    continue
                cost = (
                    window_distance(
                        image, window, 3 * pitch, atlas, 3 * (candidate - atlas_corner), 3 * atlas_pitch
                    )
                    << FRACTION
                ) + penalty[bins[candidate]]
                if cost < least:
                    best, least = candidate, cost
            if best == present:
                continue
            source[n] = best
            for c in range(3):
                image[3 * n + c] = atlas[3 * best + c]
            penalty[bins[present]] -= step[bins[present]]
            penalty[bins[best]] += step[bins[best]]
