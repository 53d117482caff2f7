"""How many inputs of a run are the bytes of another, in little memory however many there are."""

from math import ceil

import numpy as np
import numpy.typing as npt
import pyarrow as pa

MOST_DIGESTS = 1 << 24  # of 8 bytes each; with more inputs only a share of the contents is counted
WORDS = 4  # of 64 bits in a SHA-256


class Twins:
    """Counts inputs whose bytes an earlier input had, from the `src_sha256` of the manifest's tables.

    Takes the first 64 bits for the whole checksum. Of more than 16 million inputs it keeps those whose
    checksum is divisible by some number: either all copies of a content or none, so that the count of the
    share, times the number, is an unbiased estimate.
    """

    def __init__(self, images: int) -> None:
        self.every = ceil(images / MOST_DIGESTS)
        """1 where the count is exact."""
        self._found: list[npt.NDArray[np.uint64]] = []

    def add(self, table: pa.Table) -> None:
        """Take the inputs of a table."""
        digests = table["src_sha256"].drop_null().combine_chunks()
        words = np.frombuffer(digests.buffers()[1] or b"", "<u8")
        first = words[::WORDS][digests.offset : digests.offset + len(digests)]
        self._found.append(first[first % np.uint64(self.every) == 0])

    def count(self) -> int:
        """Number of inputs less number of different contents."""
        digests = np.concatenate([*self._found, np.empty(0, np.uint64)])
        digests.sort()
        return self.every * int(np.count_nonzero(digests[1:] == digests[:-1]))
