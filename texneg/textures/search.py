"""Refinement of a coordinate map by propagation and random search, scan by scan.

Barnes, Shechtman, Finkelstein, Goldman, "PatchMatch", SIGGRAPH 2009, on the coherent maps of Ashikhmin,
"Synthesizing natural textures", I3D 2001. Each output pixel names one atlas pixel and shows its colour. A
frame of two pixels on every side is part of windows and is never visited.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from texneg.jit import compiled
from texneg.philox.compiled import below, fill_words
from texneg.textures.atlas import Ground
from texneg.textures.nearest import NAME_BITS, NEVER, nearest
from texneg.textures.window import RADIUS, SPARE

FRACTION = 8  # bits after the point in costs, so that a light usage penalty is not rounded away
ROWS, SKEW = 2, RADIUS + 1  # rows scanned together, each so many pixels behind the one before it

I16 = npt.NDArray[np.int16]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]


class Search(NamedTuple):
    """The scans of one level."""

    key: np.uint64
    """Stream of the random candidates; their counter is the scan and the pixel."""
    passes: int
    """Scans, forwards and backwards in turn."""
    far: bool
    """Two of a pixel's candidates come from anywhere in the atlas instead of close by."""
    seams_only: bool
    """Skip pixels whose eight neighbours continue the same copy."""
    tile: bool
    """Opposite sides meet: the frame repeats them."""


@compiled(error_model="numpy")
def refine(source: I32, ground: Ground, atlas: I16, step: I64, search: Search) -> I16:
    """All scans of one level, in place; returns the flat RGB of the map, `SPARE` elements longer.

    Args:
        source: (side + 4, side + 4) atlas index of each pixel.
        ground: what the search knows of the atlas.
        atlas: its colours, flat.
        step: (bins + 1,) what one use of a bin adds to its cost; the last, for `NEVER`, is 0.
        search: how many scans, and what they try.
    """
    pitch = source.shape[1]
    if search.tile:
        wrap(source)
    image = paint(source, atlas)
    penalty = np.zeros(len(step), np.int64)
    for y in range(RADIUS, pitch - RADIUS):
        for x in range(RADIUS, pitch - RADIUS):
            place = ground.bins[np.uintp(source[y, x])]
            penalty[place] += step[place] << NAME_BITS
    penalty[len(step) - 1] = np.int64(NEVER) << NAME_BITS

    for number in range(search.passes):
        scan(source, image, penalty, ground, atlas, step, search, number)
        if search.tile:
            wrap(source)
            image = paint(source, atlas)
    return image


@compiled(error_model="numpy")
def scan(
    source: I32, image: I16, penalty: I64, ground: Ground, atlas: I16, step: I64, search: Search, number: int
) -> None:
    """One pass over the map, in place: each pixel at once takes the cheapest of its candidates.

    Candidates: the present source; what the left, upper and upper right neighbours would continue with
    (mirrored in odd passes, which scan backwards); a place near the left neighbour's and one near the
    present; and two from anywhere, or else a place near the upper neighbour's and what the upper left would
    continue with. Cost: window distance and the usage penalty of the candidate's bin.

    Rows are scanned in pairs, the lower one `SKEW` pixels behind: its windows hold nothing the upper one has
    still to write, and the processor can work on both.
    """
    flat, pitch = source.ravel(), source.shape[1]
    side, last = pitch - 2 * RADIUS, pitch - 2 * RADIUS - 1
    bins, positions, nearby, atlas_pitch = ground.bins, ground.positions, ground.nearby, ground.pitch
    backwards = number % 2 == 1
    ahead = -1 if backwards else 1
    up, atlas_up = ahead * pitch, ahead * atlas_pitch
    anywhere, around = np.uint64(len(positions)), np.uint64(len(nearby))
    drawn, shift = 3 if search.far else 2, FRACTION + NAME_BITS
    blocks = (drawn * side + 3) // 4
    words = np.empty((ROWS, 4 * blocks), np.uint32)

    for band in range(0, side, ROWS):
        rows = min(ROWS, side - band)
        for row in range(rows):
            fill_words(words[row], search.key, (number * side + band + row) * blocks)
        for slot in range(side + SKEW * (rows - 1)):
            for row in range(rows):
                passed = slot - SKEW * row
                if passed < 0 or passed > last:
                    continue
                y = last - band - row if backwards else band + row
                x = last - passed if backwards else passed
                n = (y + RADIUS) * pitch + x + RADIUS
                if search.seams_only and continues(flat, n, pitch, atlas_pitch, 1):
                    continue
                here = np.int64(flat[np.uintp(n)])
                left = flat[np.uintp(n - ahead)] + ahead
                above = flat[np.uintp(n - up)] + atlas_up
                beyond = flat[np.uintp(n - up + ahead)] + atlas_up - ahead
                word = np.uint64(words[row, np.uintp(drawn * passed)])
                half = word & np.uint64(0xFFFF)
                by_left = left + nearby[(half * around) >> np.uint64(16)]
                by_here = here + nearby[below(word, around)]
                second = np.uint64(words[row, np.uintp(drawn * passed + 1)])
                if search.far:
                    third = np.uint64(words[row, np.uintp(drawn * passed + 2)])
                    one = np.int64(positions[below(second, anywhere)])
                    two = np.int64(positions[below(third, anywhere)])
                else:
                    one = np.int64(above) + nearby[below(second, around)]
                    two = np.int64(flat[np.uintp(n - up - ahead)]) + atlas_up + ahead
                candidates = (here, left, above, beyond, by_left, by_here, one, two)
                best = nearest(image, n, pitch, atlas, candidates, atlas_pitch, bins, penalty, shift)
                # written even where nothing changes: a branch would be guessed wrong too often
                flat[np.uintp(n)] = best
                for c in range(3):
                    image[np.uintp(3 * n + c)] = atlas[np.uintp(3 * best + c)]
                before, after = bins[np.uintp(here)], bins[np.uintp(best)]
                penalty[before] -= step[before] << NAME_BITS
                penalty[after] += step[after] << NAME_BITS


@compiled(error_model="numpy")
def wrap(source: I32) -> None:
    """Make the frame of a map repeat its opposite sides."""
    side = source.shape[0] - 2 * RADIUS
    for k in range(RADIUS):
        source[k], source[side + RADIUS + k] = source[side + k], source[RADIUS + k]
    for k in range(RADIUS):
        source[:, k], source[:, side + RADIUS + k] = source[:, side + k], source[:, RADIUS + k]


@compiled(error_model="numpy")
def paint(source: I32, atlas: I16) -> I16:
    """Flat RGB of a map, `SPARE` elements longer."""
    flat = source.ravel()
    image = np.empty(3 * len(flat) + SPARE, np.int16)
    image[3 * len(flat) :] = 0
    for n in range(len(flat)):
        for c in range(3):
            image[np.uintp(3 * n + c)] = atlas[np.uintp(3 * flat[n] + c)]
    return image


@compiled(error_model="numpy")
def upsample(coarse: I32, side: int, coarse_pitch: int, fine_pitch: int) -> I32:
    """The framed map of a (side, side) output from the map one level coarser: every pixel becomes four."""
    framed = side + 2 * RADIUS
    fine = np.empty((framed, framed), np.int32)
    doubled = np.empty_like(coarse)
    for n in range(coarse.size):
        row = coarse.flat[n] // coarse_pitch
        doubled.flat[n] = 2 * (row * fine_pitch + coarse.flat[n] - row * coarse_pitch)
    for y in range(framed):
        for x in range(framed):
            child = (y - RADIUS & 1) * fine_pitch + (x - RADIUS & 1)
            fine[y, x] = doubled[(y + RADIUS) >> 1, (x + RADIUS) >> 1] + child
    return fine


@compiled(error_model="numpy")
def continues(source: I32, n: int, pitch: int, atlas_pitch: int, reach: int) -> bool:
    """True if the eight neighbours of output pixel n at distance `reach` all lie in the same copy as n."""
    here, up, atlas_up = source[np.uintp(n)], reach * pitch, reach * atlas_pitch
    broken = (source[np.uintp(n - reach)] - here + reach) | (source[np.uintp(n + reach)] - here - reach)
    for side in (-reach, 0, reach):
        broken |= source[np.uintp(n - up + side)] - here + atlas_up - side
        broken |= source[np.uintp(n + up + side)] - here - atlas_up - side
    return broken == 0
