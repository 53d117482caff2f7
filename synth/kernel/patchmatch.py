"""Refinement of a coordinate map by propagation and random search, scan by scan.

Barnes, Shechtman, Finkelstein, Goldman, "PatchMatch", SIGGRAPH 2009, on the coherent maps of Ashikhmin,
"Synthesizing natural textures", I3D 2001. Each output pixel names one atlas pixel and shows its colour. A
frame of two pixels on every side is part of windows and is never visited.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from texneg.philox import below
from texneg.synth.kernel.atlas import Tables
from texneg.synth.kernel.draws import fill_words
from texneg.synth.kernel.window import RADIUS, SPARE, window_distance

LOCAL_REACH = 3  # px a local candidate may lie from the best so far, in each direction
FRACTION = 8  # bits after the point in costs, so that a light usage penalty is not rounded away

I16 = npt.NDArray[np.int16]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]


class Canvas(NamedTuple):
    """The output at one level; scans change it in place."""

    source: I32
    """(side + 4, side + 4) atlas index of each pixel."""
    image: I16
    """Flat RGB of the same pixels, `SPARE` elements longer."""
    penalty: I64
    """Usage penalty of each bin: its step times the pixels it feeds."""


class Search(NamedTuple):
    """What one scan tries."""

    key: np.uint64
    """Stream of the random candidates; their counter is the pixel."""
    random: int
    """Candidates a pixel from anywhere in the atlas."""
    local: int
    """Candidates a pixel from near the best so far."""
    seam_reach: int
    """Skip pixels whose eight neighbours at this distance continue the same copy; 0 visits all."""
    backwards: bool
    """From the bottom right to the top left."""


@njit(nogil=True, cache=True, error_model="numpy")
def paint(source: I32, atlas: I16) -> I16:
    """Flat RGB of a map, `SPARE` elements longer."""
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
            place = bins[source[y, x]]
            penalty[place] += step[place]
    return penalty


@njit(nogil=True, cache=True, error_model="numpy")
def upsample(coarse: I32, side: int, coarse_pitch: int, fine_pitch: int) -> I32:
    """The framed map of a (side, side) output from the map one level coarser: every pixel becomes four."""
    framed = side + 2 * RADIUS
    fine = np.empty((framed, framed), np.int32)
    for y in range(framed):
        for x in range(framed):
            source = coarse[(y + RADIUS) >> 1, (x + RADIUS) >> 1]
            row = 2 * (source // coarse_pitch) + ((y - RADIUS) & 1)
            column = 2 * (source % coarse_pitch) + ((x - RADIUS) & 1)
            fine[y, x] = row * fine_pitch + column
    return fine


@njit(nogil=True, cache=True, error_model="numpy")
def continues(source: I32, n: int, pitch: int, atlas_pitch: int, reach: int) -> bool:
    """Whether the eight neighbours of output pixel n at distance `reach` all lie in the same copy as n."""
    here, up, atlas_up = source[n], reach * pitch, reach * atlas_pitch
    broken = (source[n - reach] - here + reach) | (source[n + reach] - here - reach)
    for side in (-reach, 0, reach):
        broken |= source[n - up + side] - here + atlas_up - side
        broken |= source[n + up + side] - here - atlas_up - side
    return broken == 0


@njit(nogil=True, cache=True, error_model="numpy")
def scan(canvas: Canvas, table: Tables, atlas: I16, step: I64, search: Search) -> None:
    """One pass over the map, in place: each pixel at once takes the cheapest of its candidates.

    Candidates: the present source; what the left, upper and upper right neighbours would continue with
    (mirrored when scanning backwards); the random and the local ones. Those whose window leaves their
    exemplar are passed over. Cost: window distance plus the usage penalty of the candidate's bin; ties keep
    the earlier.
    """
    source, image, penalty = canvas.source.ravel(), canvas.image, canvas.penalty
    pitch = canvas.source.shape[1]
    height, width = canvas.source.shape[0] - 2 * RADIUS, pitch - 2 * RADIUS
    atlas_pitch, valid, positions, bins = table.pitch, table.valid, table.positions, table.bins
    corner, atlas_corner = RADIUS * (pitch + 1), RADIUS * (atlas_pitch + 1)
    ahead = -1 if search.backwards else 1
    draws = search.random + search.local
    blocks = (draws * width + 3) // 4
    words = np.empty(4 * blocks, np.uint32)
    anywhere, last = np.uint64(len(positions)), np.int64(len(valid) - 1)
    reach = 2 * LOCAL_REACH + 1

    for scanned in range(height):
        y = height - 1 - scanned if search.backwards else scanned
        fill_words(words, search.key, y * blocks)
        for passed in range(width):
            x = width - 1 - passed if search.backwards else passed
            n = (y + RADIUS) * pitch + x + RADIUS
            if search.seam_reach and continues(source, n, pitch, atlas_pitch, search.seam_reach):
                continue
            window = 3 * (n - corner)
            present = best = np.int64(source[n])
            other = 3 * (present - atlas_corner)
            least = window_distance(image, window, 3 * pitch, atlas, other, 3 * atlas_pitch) << FRACTION
            least += penalty[bins[present]]
            for k in range(3 + draws):
                if k == 0:
                    candidate = np.int64(source[n - ahead]) + ahead
                elif k == 1:
                    candidate = source[n - ahead * pitch] + ahead * atlas_pitch
                elif k == 2:
                    candidate = source[n - ahead * (pitch - 1)] + ahead * (atlas_pitch - 1)
                elif k < 3 + search.random:
                    word = np.uint64(words[x * draws + k - 3])
                    candidate = np.int64(positions[below(word, anywhere)])
                else:
                    word = np.uint64(words[x * draws + k - 3])
                    place = np.int64(below(word, np.uint64(reach * reach)))
                    down, right = place // reach - LOCAL_REACH, place % reach - LOCAL_REACH
                    candidate = min(max(best + down * atlas_pitch + right, np.int64(0)), last)
                if candidate in (best, present) or not valid[candidate]:
                    continue
                other = 3 * (candidate - atlas_corner)
                cost = window_distance(image, window, 3 * pitch, atlas, other, 3 * atlas_pitch) << FRACTION
                cost += penalty[bins[candidate]]
                if cost < least:
                    best, least = candidate, cost
            if best == present:
                continue
            source[n] = best
            for c in range(3):
                image[3 * n + c] = atlas[3 * best + c]
            penalty[bins[present]] -= step[bins[present]]
            penalty[bins[best]] += step[bins[best]]
