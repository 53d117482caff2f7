"""A cluster of processes of this machine, with the scheduler in the driver."""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from math import ceil

import dask
import distributed

from texneg.cli.guard import explain_rerun
from texneg.cli.signals import block_stop_signals
from texneg.synth.executors.tuning import ENVIRONMENT

MOST_THREADS = 8  # of one worker process: each process costs background load
DEATHS = 1  # of workers that a task survives: on one machine none is taken away, as nodes of a cluster are


def workers_and_threads(cores: int, threads: int = 0) -> tuple[int, int]:
    """The number of worker processes, and of threads in each, that use `cores` cores."""
    processes = ceil(cores / (threads or MOST_THREADS))
    return processes, ceil(cores / processes)


@contextmanager
def local_cluster(cores: int, threads: int = 0) -> Iterator[distributed.LocalCluster]:
    """A cluster of that many cores, without a dashboard; it ends with the block."""
    processes, threads = workers_and_threads(cores, threads)
    with ExitStack() as stack:
        stack.enter_context(_restore_environment())
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="texneg-dask-"))
        stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": DEATHS}))
        with block_stop_signals(spawning=True), explain_rerun():
            cluster = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=processes,
                    threads_per_worker=threads,
                    processes=True,
                    dashboard_address=None,
                    scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},  # any port
                    memory_limit=0,
                    silence_logs=logging.CRITICAL,
                    local_directory=scratch,
                )
            )
        yield cluster


@contextmanager
def _restore_environment() -> Iterator[None]:
    """Remove the workers' environment from this process afterwards, where Dask puts it too."""
    old = {name: os.environ.get(name) for name in ENVIRONMENT}
    try:
        yield
    finally:
        for name, value in old.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
