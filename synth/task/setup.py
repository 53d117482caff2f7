"""What every process that makes textures does first."""

import ctypes
import warnings
from contextlib import suppress

import cv2

from texneg.textures.texture import warm_up

# Names of glibc's mallopt, and bytes.
M_TRIM_THRESHOLD, KEPT = -1, 2**28
M_MMAP_THRESHOLD, LARGEST_KEPT = -3, 2**25


def prepare_process() -> None:
    """One OpenCV thread, no warnings about odd files (the manifest has their status), kernel compiled."""
    cv2.setNumThreads(1)
    warnings.filterwarnings("ignore", module=r"PIL\.")
    keep_memory()
    warm_up()


def keep_memory() -> None:
    """Let the allocator reuse the memory of one image for the next.

    By default, and more so in Dask's workers, it maps every large array anew: a page fault for each 4 kB.
    """
    with suppress(AttributeError, OSError):  # a C library other than glibc
        library = ctypes.CDLL(None)
        library.mallopt(M_TRIM_THRESHOLD, KEPT)
        library.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
