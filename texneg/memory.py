"""The memory allocator of this process."""

import ctypes
from contextlib import suppress

# Names of glibc's mallopt, and bytes.
M_TRIM_THRESHOLD, KEPT = -1, 2**28
M_MMAP_THRESHOLD, LARGEST_KEPT = -3, 2**25


def tune_allocator() -> None:
    """Let the allocator reuse the memory of one image, or batch, for the next.

    By default, and more so in Dask's workers, it maps every large array anew: a page fault for each 4 kB.
    """
    with suppress(AttributeError, OSError):  # a C library other than glibc
        library = ctypes.CDLL(None)
        library.mallopt(M_TRIM_THRESHOLD, KEPT)
        library.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
