"""Loader processes, and the way of a batch from them to the trainer.

A process writes its finished batch into memory that all share from the start, and sends the number of a slot.
So batches need neither /dev/shm, which is small in containers, nor sockets, nor descriptors of their own.
"""

import atexit
import math
import mmap
import os
import re
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count
from multiprocessing import active_children, get_context
from threading import Timer, current_thread, main_thread
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.data._utils import signal_handling

from texneg.cli.console import format_bytes
from texneg.cli.signals import block_stop_signals, ignore_stop_signals
from texneg.errors import InputError, RunFailed
from texneg.memory import tune_allocator
from texneg.train.data.loader import Batch, Batches

PREFETCH = 4  # batches a loader process
POLL_S = 0.5  # between two looks at a request to stop, while no batch comes
PATIENCE_S = 600.0  # without a batch, or ...
IMAGE_S = 3.0  # ... so long for each of its images, if that is more
END_S = 2.0  # that processes have to end by themselves; they hold nothing that is wanted
LOCKS, LOCKS_EACH = 8, 3  # semaphores of the loader; of each process
FILES, FILES_EACH = 32, 4  # descriptors of a run; pipes of each process
MOST_FILES = 4096  # that a process opens up to where it may raise its own limit
LOST = re.compile("DataLoader worker .*(killed|exited)|Pin memory thread exited|Too many open files")


class LoaderFailed(RunFailed):
    """No batch comes any more; the trainer itself is whole."""


class Slots:
    """Memory for batches, shared with the processes that are forked from now on.

    Args:
        batches: of the run.
        number: of slots.

    Raises:
        LoaderFailed: there is not as much memory.
    """

    def __init__(self, batches: Batches, number: int) -> None:
        n, side = batches.batch // batches.world, batches.augmentation.image_size
        ready = bool(batches.negatives.kinds) and not batches.deferred
        key = (0 if batches.one_view else n, side, side, 3)
        self._shapes = [(n, side, side, 3), key, (n, batches.negatives.count, side, side, 3)][: 2 + ready]
        self._parts = [n * torch.int64.itemsize, *map(math.prod, self._shapes)]
        self._stride = -(-sum(self._parts) // mmap.PAGESIZE) * mmap.PAGESIZE
        self._number = number
        try:
            self._memory = mmap.mmap(-1, number * self._stride)
        except OSError as error:
            size = format_bytes(number * self._stride)
            raise LoaderFailed(
                f"{size} for {number} batches cannot be had ({error.strerror}); use fewer --workers, or 0"
            ) from error

    def slot(self, place: int) -> int:
        """Return the slot of the batch at this place in the order of loading."""
        return place % self._number

    def batch(self, slot: int, step: int) -> Batch:
        """Return the memory of a slot as the batch of a step."""
        whole = torch.frombuffer(
            self._memory, dtype=torch.uint8, count=sum(self._parts), offset=slot * self._stride
        )
        indices, *pixels = whole.split(self._parts)
        query, key, *negatives = (part.view(shape) for part, shape in zip(pixels, self._shapes, strict=True))
        return Batch(query, key, negatives[0] if negatives else None, indices.view(torch.int64), step)


SLOTS: dict[int, Slots] = {}
"""The memory of every loader that this process has open, or that it works for."""
NUMBERS = count()


@dataclass(frozen=True)
class Arrived:
    """A finished batch that lies in its slot; short enough that half of it is never sent."""

    loader: int
    slot: int
    step: int

    def copy(self, copy: Callable[[Tensor], Tensor] = torch.clone) -> Batch:
        """Copy the batch, so that the slot can take the next one."""
        batch = SLOTS[self.loader].batch(self.slot, self.step)
        negatives = None if batch.negatives is None else copy(batch.negatives)
        return Batch(copy(batch.query), copy(batch.key), negatives, batch.indices.clone(), batch.step)

    def pin_memory(self) -> Batch:
        """Copy the batch to pinned memory; torch calls this in a thread of its own."""
        return self.copy(Tensor.pin_memory)


@dataclass(frozen=True)
class Writer(Dataset[Any]):
    """The batch of every step, written into its slot by a loader process."""

    batches: Batches
    loader: int
    first: int
    """The step that loading begins with."""

    def __getitem__(self, step: int) -> Arrived | InputError:
        """Make a batch and write it, or return the error of an image."""
        made = self.batches[step]
        if isinstance(made, InputError):
            return made
        slots = SLOTS[self.loader]
        slot = slots.slot(step - self.first)
        for memory, tensor in zip(slots.batch(slot, step)[:4], made[:4], strict=True):
            if memory is not None and tensor is not None:
                memory.copy_(tensor)
        return Arrived(self.loader, slot, step)


def check_workers(workers: int) -> None:
    """Try whether this machine has what loader processes need, before a run begins.

    Raises:
        InputError: naming the limit and the remedy.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    files, locks = FILES + FILES_EACH * workers, LOCKS + LOCKS_EACH * workers
    with ExitStack() as stack:
        try:
            for _ in range(files if workers else 0):
                stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            raise InputError(
                f"--workers {workers}: {files} more files cannot be open at a time ({error.strerror}); raise"
                " the limit (ulimit -n 4096), use fewer workers, or load with --workers 0"
            ) from None
    try:
        made = [get_context("fork").Lock() for _ in range(locks if workers else 0)]
        del made
    except OSError as error:
        raise InputError(
            f"--workers {workers}: {locks} semaphores cannot be made in /dev/shm ({error.strerror}); make"
            " room there (docker run --shm-size=64m), or load with --workers 0"
        ) from None


def load(
    batches: Batches,
    steps: range,
    *,
    workers: int,
    pin: bool,
    patience: float = 0,
    stop_waiting: Callable[[float], bool] = lambda waited: False,
) -> Generator[Batch, None, None]:
    """Load the batches of these steps in order, made in `workers` processes (0: in this one).

    Args:
        batches: of the run.
        steps: to load, one after the other.
        workers: loader processes.
        pin: copy batches to pinned memory.
        patience: seconds without a batch that count as a failure; 0 for the usual number.
        stop_waiting: asked now and then while no batch comes, with the seconds waited; True ends the batches.

    Raises:
        InputError: an image that cannot be read.
        LoaderFailed: no batch comes any more.
    """
    tune_allocator()  # of this process and of those that are forked
    patience = patience or max(PATIENCE_S, IMAGE_S * batches.batch / batches.world)
    number = next(NUMBERS)
    if workers:
        # One more than are under way: the last to arrive may not have been copied yet.
        SLOTS[number] = Slots(batches, workers * PREFETCH + 1)
    source: Dataset[Any] = Writer(batches, number, steps.start) if workers else batches
    on_death = signal.getsignal(signal.SIGCHLD)
    loaded, processes = start(source, steps, workers=workers, pin=pin)
    at_exit = partial(kill, processes)  # where nobody closes this generator: Python waits for its children
    atexit.register(at_exit)
    try:
        handle_deaths_by(signal.SIG_DFL if is_torchs(on_death) else on_death)
        while (made := wait(loaded, patience, stop_waiting)) is not None:
            if isinstance(made, Exception):
                raise made
            yield made.copy() if isinstance(made, Arrived) else made
    finally:
        atexit.unregister(at_exit)
        if not sys.is_finalizing():  # else at_exit has killed them, and modules are being taken apart
            late = Timer(END_S, kill, [processes])
            late.start()
            del loaded  # ends and joins them now, even where an error's traceback keeps this frame
            late.cancel()
            kill(processes)  # that are left where the traceback keeps others
            for process in processes:
                process.join(END_S)
            SLOTS.pop(number, None)
            handle_deaths_by(on_death)


def start(source: Dataset[Any], steps: range, *, workers: int, pin: bool) -> tuple[Iterator[Any], set[Any]]:
    """Start loading; returns what will come of each step, and the processes that make it.

    Raises:
        LoaderFailed: no process can be started.
    """
    before = set(active_children())
    with warnings.catch_warnings(), block_stop_signals():
        warnings.filterwarnings("ignore", "This DataLoader will create")  # we warn in one line
        loader: DataLoader[Any] = DataLoader(
            source,
            sampler=steps,
            batch_size=None,
            num_workers=workers,
            collate_fn=keep,
            pin_memory=pin,
            timeout=POLL_S if workers else 0,
            prefetch_factor=PREFETCH if workers else None,
            worker_init_fn=outlive_signals,
            generator=torch.Generator(),
            # Forked workers share slots and resident images; Python 3.14 would start them afresh.
            multiprocessing_context="fork" if workers else None,
        )
        try:
            loaded = iter(loader)
        except OSError as error:
            raise LoaderFailed(
                f"--workers {workers}: loader processes cannot be started ({error}); use fewer, or 0"
            ) from error
    return loaded, set(active_children()) - before


def is_torchs(handler: Any) -> bool:
    """Say whether a handler of SIGCHLD is torch's, which stays from the first DataLoader of a program on.

    It raises a loader's death wherever the trainer is; `wait` finds it between two steps.
    """
    return getattr(handler, "__module__", None) == signal_handling.__name__


def handle_deaths_by(handler: Any) -> None:
    """Set what SIGCHLD does, in the one thread that may; None is a handler that Python did not set."""
    if handler is not None and current_thread() is main_thread():
        signal.signal(signal.SIGCHLD, handler)


def kill(processes: set[Any]) -> None:
    """Kill the processes that have not ended."""
    for process in processes:
        process.kill()


def wait(loaded: Iterator[Any], patience: float, stop_waiting: Callable[[float], bool]) -> Any:
    """Wait for the next batch; None after the last one, and where `stop_waiting` returns True.

    Returns the error where nothing came for `patience` seconds, or a process has died.
    """
    since = time.monotonic()
    while True:
        try:
            return next(loaded, None)
        except RuntimeError as error:
            if LOST.match(str(error)):
                return LoaderFailed(
                    "a loader process was killed, perhaps because the machine ran out of memory; use fewer"
                    " --workers or a smaller --batch"
                )
            if not str(error).startswith("DataLoader timed out"):
                raise
        waited = time.monotonic() - since
        if stop_waiting(waited):
            return None
        if waited > patience:
            return LoaderFailed(
                f"no batch came from the loader processes within {waited:.0f} s; see whether the storage of"
                " the images answers, allow more by --loader-timeout, or load with --workers 0"
            )


def outlive_signals(_: int) -> None:
    """Keep a loader process alive while the trainer saves: terminals and schedulers signal a whole group."""
    ignore_stop_signals()


def keep(made: Any) -> Any:
    """Return a batch as it is, in place of the loader's conversion."""
    return made
