"""A process of a study: its threads, requests to stop, and an end in time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from threading import Thread

from texneg.cli.signals import StopRequests, await_stop_signals, early_requests

IDLE_S = 5.0  # half the time until a process that was told to stop and has no run ends by itself


def prepare_process(threads: int) -> None:
    """Limit torch in a process before its first run, and count stop signals until that begins."""
    import torch

    torch.set_num_threads(threads)
    await_stop_signals()
    Thread(target=end_in_time, daemon=True).start()


def end_in_time() -> None:
    """End this process when the study's own was killed, or some seconds after it was told to stop.

    Nobody else may find it at work on the same run; and of a pool whose other process was killed it hears no
    more.
    """
    parent, early, rounds = parent_process(), early_requests(), 0
    assert parent is not None
    while parent.is_alive() and rounds < 2:
        parent.join(IDLE_S)
        idle = early is not None and early_requests() is early  # no run has handlers of its own
        rounds = rounds + 1 if idle and early is not None and early.is_set() else 0
    os._exit(1)


@contextmanager
def remember_requests(stop: StopRequests, early: StopRequests | None) -> Iterator[None]:
    """Count the requests of a run as those of its process, which has nothing left to do after them."""
    try:
        yield
    finally:
        if early is not None:
            early.count += stop.count
