"""The order in which an epoch visits a data set: a pure function, so that resuming needs no saved state."""

import numpy as np
import numpy.typing as npt

from texneg.philox.arrays import generator
from texneg.philox.streams import Stream


def epoch_order(n: int, *, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """A permutation of 0 ... n - 1 (int64) that depends on (seed, epoch) alone."""
    return generator(seed, epoch, Stream.EPOCH_ORDER).permutation(n)
