"""Ctrl-C and SIGTERM as requests to stop, which a loop answers at its next safe point."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequests:
    """The number of requests to stop so far.

    Args:
        patience: requests that only count; the next one interrupts the main thread. None: all only count.
    """

    def __init__(self, patience: int | None = None) -> None:
        self.count = 0
        self._patience = patience

    def is_set(self) -> bool:
        """Return True after the first request."""
        return self.count > 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Count a signal; this is the signal handler.

        Raises:
            KeyboardInterrupt: the patience is exhausted.
        """
        self.count += 1
        if self._patience is not None and self.count > self._patience:
            raise KeyboardInterrupt


@contextmanager
def catch_stop_signals(patience: int | None = None) -> Iterator[StopRequests]:
    """Count SIGINT and SIGTERM inside the block. Outside the main thread no signal can be caught."""
    requests = StopRequests(patience)
    if threading.current_thread() is not threading.main_thread():
        yield requests
        return
    old = {number: signal.signal(number, requests) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requests
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
