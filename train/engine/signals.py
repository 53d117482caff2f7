"""Stopping at a step's end when the terminal or the scheduler asks to."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from texneg.train.networks.batch_norm import processes


@contextmanager
def stop_requested() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; in a thread, where signals cannot be caught, nothing sets it."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    numbers = signal.SIGINT, signal.SIGTERM
    before = [signal.signal(number, lambda *_: event.set()) for number in numbers]
    try:
        yield event
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def agreed(stop: bool, device: torch.device, *, ask: bool) -> bool:
    """Whether to stop here: one process alone must not, so several ask each other at every line."""
    if processes() == 1:
        return stop
    if not ask:
        return False
    wish = torch.tensor(float(stop), device=device)
    dist.all_reduce(wish)
    return bool(wish.item() > 0)
