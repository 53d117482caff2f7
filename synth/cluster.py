"""The Dask cluster of a run: embedded and tuned for few long tasks, or somebody else's by address."""

import logging
import multiprocessing.resource_tracker
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from math import ceil
from typing import Any

import dask
import distributed
from distributed.comm import get_address_host_port

from texneg.errors import InputError
from texneg.synth.config import SynthConfig
from texneg.synth.setup import prepare_process

MOST_THREADS = 8  # of one worker process: each process costs background load
CONNECT_S = 20

# One thread per thread: numba and BLAS read these when they are imported.
ENVIRONMENT = {
    "NUMBA_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}

# Few tasks of many seconds: no profiler, no spilling, slow ticks. Idle load falls to about a quarter.
TUNING = {
    "distributed.scheduler.allowed-failures": 3,
    "distributed.scheduler.default-task-durations": {"texneg-shard": "60s"},
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.monitor-interval": "1s",
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.nanny.pre-spawn-environ": ENVIRONMENT,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.system-monitor.gil.enabled": False,
}


class WorkerSetup(distributed.WorkerPlugin):
    """Prepares every worker process before its first task, also after a restart."""

    name = "texneg-setup"

    def setup(self, worker: Any) -> None:
        """Leave Ctrl-C to the driver, one thread for each library, kernel compiled."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        prepare_process()


def layout(cores: int, threads: int = 0) -> tuple[int, int]:
    """Worker processes, and threads in each, that use `cores` cores."""
    processes = ceil(cores / (threads or MOST_THREADS))
    return processes, ceil(cores / processes)


@contextmanager
def connected(config: SynthConfig) -> Iterator[distributed.Client]:
    """A client of the embedded cluster, or of the one at `--scheduler`, with every worker prepared.

    Raises:
        InputError: nothing answers at the address.
    """
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(TUNING))
        stack.enter_context(_quiet("distributed.client"))
        target = config.scheduler or stack.enter_context(_embedded(config))
        try:
            client = stack.enter_context(distributed.Client(target, timeout=CONNECT_S, set_as_default=False))
        except (OSError, ValueError) as error:
            raise InputError(
                f"no Dask scheduler answers at {config.scheduler} ({error});"
                " start one, or leave --scheduler out"
            ) from error
        client.register_plugin(WorkerSetup())
        yield client


def check_address(address: str) -> None:
    """Raise InputError for what cannot be the address of a scheduler; Dask would hang over it."""
    try:
        get_address_host_port(address)
    except (ValueError, NotImplementedError) as error:
        raise InputError(f"--scheduler {address}: {error}; give tcp://host:port") from None


@contextmanager
def _embedded(config: SynthConfig) -> Iterator[distributed.LocalCluster]:
    processes, threads = layout(config.cores, config.threads_per_worker)
    with ExitStack() as stack:
        stack.enter_context(_environment_kept())
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="texneg-dask-"))
        with _sigint_blocked():
            cluster = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=processes,
                    threads_per_worker=threads,
                    processes=True,
                    dashboard_address=None,
                    scheduler_kwargs={
                        "dashboard": False,
                        "dashboard_address": "127.0.0.1:0",
                    },  # no fixed port
                    memory_limit=0,
                    silence_logs=logging.CRITICAL,
                    local_directory=scratch,
                )
            )
        yield cluster


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """A lost scheduler is reported in one line, not by the client's tracebacks."""
    logger = logging.getLogger(name)
    old = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(old)


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Threads and worker processes started inside never receive Ctrl-C: they inherit the mask for good.

    Otherwise the workers die of the Ctrl-C that asks the driver to drain them.
    """
    multiprocessing.resource_tracker.ensure_running()  # started later, it would unblock the signal again
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Dask puts the workers' environment into this process too; take it out again."""
    old = {name: os.environ.get(name) for name in ENVIRONMENT}
    try:
        yield
    finally:
        for name, value in old.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
