"""Memory that is free but still held."""

import ctypes
from contextlib import suppress

import pyarrow as pa


def give_back() -> None:
    """Return what a finished step has freed to the system; otherwise allocators keep it for the whole run."""
    pa.default_memory_pool().release_unused()
    with suppress(AttributeError, OSError):  # a C library other than glibc
        ctypes.CDLL(None).malloc_trim(0)
