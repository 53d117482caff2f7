"""Textures shared out over threads; the work holds no GIL."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def share(make: Callable[[slice], None], count: int, at_most: int, threads: int) -> None:
    """Call `make` for slices of range(count) of up to `at_most`, enough of them for `threads` workers."""
    size = max(1, min(at_most, -(-count // threads)))
    parts = [slice(first, min(first + size, count)) for first in range(0, count, size)]
    if len(parts) <= 1 or threads == 1:
        for part in parts:
            make(part)
        return
    with ThreadPoolExecutor(min(threads, len(parts))) as pool:
        for _ in pool.map(make, parts):
            pass
