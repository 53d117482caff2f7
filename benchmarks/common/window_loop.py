"""A fixed amount of the arithmetic of texture synthesis, against which its time is limited.

Sums of squared differences of windows at scattered places, compiled as the synthesis is. Milliseconds mean
something on one machine only; multiples of this loop's time carry over to processors of another speed. It
must not change, or the limits lose their meaning.
"""

import numpy as np
import numpy.typing as npt

from texneg.jit import compiled

PIXELS, CANDIDATES = 112 * 112, 8  # windows to match, places each is compared with
SIDE, ROWS, RUN = 256, 5, 16  # of the colours that are read; rows of a window, and elements of a row

I16 = npt.NDArray[np.int16]


def make_colours() -> I16:
    """Colours for `match_windows`, flat."""
    return np.random.default_rng(0).integers(0, 256, 3 * SIDE * SIDE, dtype=np.int16)


@compiled(error_model="numpy")
def match_windows(colours: I16) -> int:
    """Compare every window with its candidates; the sum of the smallest differences."""
    pitch, places = 3 * SIDE, np.uint64(3 * SIDE * (SIDE - ROWS) - RUN)
    state, total = np.uint64(1), np.int64(0)
    for pixel in range(PIXELS):
        here = np.uint64(pixel) % places
        least = np.int32(2**31 - 1)
        for _ in range(CANDIDATES):
            state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
            there = ((state >> np.uint64(32)) * places) >> np.uint64(32)
            distance = np.int32(0)
            for row in range(ROWS):
                first, second = here + np.uint64(row * pitch), there + np.uint64(row * pitch)
                for k in range(RUN):
                    own, other = colours[first + np.uint64(k)], colours[second + np.uint64(k)]
                    difference = np.int32(own) - np.int32(other)
                    distance += difference * difference
            least = min(least, distance)
        total += least
    return int(total)
