"""Signals as requests to stop, which a loop answers at its next safe point.

Ctrl-C and SIGTERM ask for it, SLURM's warning before the end of a job (SIGUSR1 or SIGUSR2), a lost terminal.
"""

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class StopRequests:
    """The number of requests to stop so far.

    Args:
        patience: requests that only count; the next one interrupts the main thread. None: all only count.
        once: those after that one only count, so that the work it interrupts can tidy up.
    """

    def __init__(self, patience: int | None = None, *, once: bool = False) -> None:
        self.count = 0
        self._patience, self._once = patience, once

    def is_set(self) -> bool:
        """Return True after the first request."""
        return self.count > 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Count a signal; this is the signal handler.

        Raises:
            KeyboardInterrupt: the patience is exhausted.
        """
        self.count += 1
        beyond = 0 if self._patience is None else self.count - self._patience
        if beyond == 1 or (beyond > 1 and not self._once):
            raise KeyboardInterrupt


@contextmanager
def catch_stop_signals(patience: int | None = None, *, once: bool = False) -> Iterator[StopRequests]:
    """Count stop signals inside the block. Outside the main thread no signal can be caught.

    A hang-up that is ignored already, as by nohup, stays ignored.
    """
    requests = StopRequests(patience, once=once)
    if threading.current_thread() is not threading.main_thread():
        yield requests
        return
    old = {number: signal.signal(number, requests) for number in unignored_signals()}
    try:
        yield requests
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def unignored_signals() -> list[signal.Signals]:
    """List the stop signals, without a hang-up that is ignored already."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in STOP_SIGNALS if not (ignored and number == signal.SIGHUP)]


@contextmanager
def block_stop_signals(
    numbers: Iterable[signal.Signals] = STOP_SIGNALS, *, spawning: bool = False
) -> Iterator[None]:
    """Keep stop signals from threads and processes that are started inside: they inherit the mask.

    A terminal, SLURM and systemd send a signal to every process of a run. Workers outlive the one that asks
    their parent to stop, so that what they are at can be finished.

    Args:
        numbers: to block.
        spawning: processes start afresh, not as forks.
    """
    old = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        if spawning:
            resource_tracker.ensure_running()  # outlives them too, but unblocks two here when it starts
            signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def ignore_stop_signals() -> None:
    """Ignore stop signals in a process that was started while they were blocked."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def await_stop_signals() -> None:
    """Count stop signals in a process that was started while they were blocked, until it catches them."""
    requests = StopRequests()
    for number in unignored_signals():
        signal.signal(number, requests)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def early_requests() -> StopRequests | None:
    """Return what `await_stop_signals` counts; None where it was not called."""
    handler = signal.getsignal(signal.SIGTERM)
    return handler if isinstance(handler, StopRequests) else None
