"""Ctrl-C and SIGTERM as requests that a run answers when it can."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Set by SIGINT and SIGTERM: the first asks for a drain, the second to leave at once.

    Args:
        patience: signals that whoever works here is given to look; the next one interrupts it.
    """

    def __init__(self, patience: int = 2) -> None:
        self.count = 0
        self._patience = patience

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The signal handler.

        Raises:
            KeyboardInterrupt: nobody looked.
        """
        self.count += 1
        if self.count > self._patience:
            raise KeyboardInterrupt


@contextmanager
def stop_signals(patience: int = 2) -> Iterator[Stop]:
    """Catch SIGINT and SIGTERM inside the block; in a thread that cannot, nothing is caught."""
    stop = Stop(patience)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    old = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
