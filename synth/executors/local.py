"""A cluster of processes of this machine, with the scheduler in the driver."""

import asyncio
import logging
import os
import signal
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from math import ceil
from multiprocessing import get_context
from typing import Any

import dask
import distributed

from texneg.cli.console import plural
from texneg.cli.guard import explain_rerun
from texneg.cli.signals import block_stop_signals
from texneg.errors import RunFailed
from texneg.synth.executors.executor import WorkerWarning
from texneg.synth.executors.tuning import ENVIRONMENT, TUNING

MOST_THREADS = 8  # of one worker process: each process costs background load
DEATHS = 1  # of workers that a task survives: on one machine none is taken away, as nodes of a cluster are
SILENCE_S = 60.0  # after which a worker that does not answer is replaced
START_S = 600.0  # for the first worker, which may have to compile the kernel on a busy machine
LATE_S = 10.0  # after the first worker, until those that have not started are mentioned
CLOSE_S = 30.0
POLL_S = 0.05
SEMAPHORES = 6  # of one worker process: two queues of its nanny
INHERITED = "DASK_INTERNAL_INHERIT_CONFIG"  # Dask's variable for settings that a process takes over


class Preparation(distributed.WorkerPlugin):
    """Compiles the kernel before a worker joins: while that keeps it from answering, nobody waits for it."""

    def setup(self, worker: Any) -> None:
        """Prepare the process."""
        from texneg.synth.task.images import prepare_process  # loads numba, which a driver does not need

        prepare_process()


def workers_and_threads(cores: int, threads: int = 0) -> tuple[int, int]:
    """The number of worker processes, and of threads in each, that use `cores` cores."""
    processes = ceil(cores / (threads or MOST_THREADS))
    return processes, ceil(cores / processes)


@contextmanager
def local_settings() -> Iterator[None]:
    """Dask's own settings with ours, without those of the site, which are meant for its clusters.

    An idle time-out or a lifetime would end this one, and a preload or an environment could change it. What
    the site says of encryption stays.
    """
    own: dict[str, Any] = {}
    dask.config.refresh(own, paths=[], env={})
    settings = own["distributed"]
    for name in ("tls", "require-encryption"):
        settings["comm"][name] = dask.config.get(f"distributed.comm.{name}")
    pinned = {
        **TUNING,
        "distributed.scheduler.allowed-failures": DEATHS,
        "distributed.scheduler.worker-ttl": f"{SILENCE_S} s",
    }
    with dask.config.set({"distributed": settings}), dask.config.set(pinned):
        yield


@contextmanager
def local_cluster() -> Iterator[distributed.LocalCluster]:
    """A cluster without workers and without a dashboard, to be filled by `local_workers`."""
    with ExitStack() as stack:
        stack.enter_context(_restore_environment())
        stack.enter_context(local_settings())
        _replace_settings_of_children()
        with block_stop_signals(spawning=True):
            cluster = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=0,
                    processes=True,
                    dashboard_address=None,
                    scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},  # any port
                    silence_logs=logging.CRITICAL,
                )
            )
        yield cluster


@contextmanager
def local_workers(
    cluster: distributed.LocalCluster,
    cores: int,
    threads: int,
    on_warning: Callable[[WorkerWarning], None],
) -> Iterator[None]:
    """Worker processes for `local_cluster`, each started by itself; the first that is ready is waited for.

    Args:
        cluster: the scheduler.
        cores: that they use.
        threads: of one process; 0 chooses.
        on_warning: receives a line about each process that does not start.

    Raises:
        OSError: no process starts, or none in time.
    """
    processes, threads = workers_and_threads(cores, threads)
    check_semaphores(processes)
    with tempfile.TemporaryDirectory(prefix="texneg-dask-", ignore_cleanup_errors=True) as scratch:
        pool = _Pool(cluster, on_warning)
        try:
            with explain_rerun():
                pool.run(pool.start(processes, threads, scratch))
                pool.run(pool.first())
            yield
        finally:
            pool.run(pool.close())


def check_semaphores(processes: int) -> None:
    """Try whether this machine has the semaphores that worker processes need.

    Raises:
        OSError: naming the limit and the remedy; without a number, which would be taken for one of DST.
    """
    count = SEMAPHORES * processes
    try:
        made = [get_context("spawn").Lock() for _ in range(count)]
        del made
    except OSError as error:
        raise OSError(
            f"no worker process starts on this machine: {count} semaphores cannot be made in /dev/shm"
            f" ({error.strerror}); make room there (docker run --shm-size=64m), or use --executor sync"
        ) from None


class _Pool:
    """Worker processes, each below a nanny, which runs in the event loop of the cluster."""

    def __init__(
        self, cluster: distributed.LocalCluster, on_warning: Callable[[WorkerWarning], None]
    ) -> None:
        self._cluster = cluster
        self._on_warning = on_warning
        self._starts: dict[distributed.Nanny, asyncio.Task[str]] = {}
        self._joined = False

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine of this class in the event loop of the cluster."""
        asyncio.run_coroutine_threadsafe(work, self._cluster.loop.asyncio_loop).result()

    async def start(self, processes: int, threads: int, scratch: str) -> None:
        """Begin to start all processes."""
        for number in range(processes):
            nanny = distributed.Nanny(
                self._cluster.scheduler_address,
                name=number,
                nthreads=threads,
                host="127.0.0.1",
                memory_limit=0,
                security=self._cluster.security,
                silence_logs=logging.CRITICAL,
                local_directory=scratch,
                dashboard=False,
                plugins=(Preparation(),),
            )
            self._starts[nanny] = asyncio.create_task(self._watch_start(nanny))

    async def _watch_start(self, nanny: distributed.Nanny) -> str:
        """Wait until a process has joined; the error, which is reported, of one that fails."""
        try:
            await nanny
        except Exception as error:
            if self._joined:
                self._report_failure(error)
            return str(error) or type(error).__name__
        return ""

    def _report_failure(self, error: object) -> None:
        text = f"a worker process did not start ({error}); the run goes on without it"
        self._on_warning(WorkerWarning(text, fatal=False))

    async def first(self) -> None:
        """Wait until a process has joined.

        Raises:
            OSError: none has, in time.
        """
        pending, end = set(self._starts.values()), time.monotonic() + START_S
        errors: list[str] = []
        while pending:
            done, pending = await asyncio.wait(
                pending, timeout=end - time.monotonic(), return_when=asyncio.FIRST_COMPLETED
            )
            errors += [task.result() for task in done]
            if "" in errors:
                self._joined = True
                for error in filter(None, errors):
                    self._report_failure(error)
                self._report = asyncio.create_task(self._report_late())
                return
            if not done:
                raise OSError(f"no worker process has started within {START_S:.0f} s")
        raise OSError(f"no worker process starts on this machine ({errors[0]})")

    async def _report_late(self) -> None:
        """Report the processes that have not started a while after the first."""
        await asyncio.sleep(LATE_S)
        late = [str(nanny.pid) for nanny, start in self._starts.items() if not start.done()]
        if late:
            count = f"{len(late)} of {plural(len(self._starts), 'worker')}"
            pids = f"process {', '.join(late)}"
            text = f"{count} not ready {LATE_S:.0f} s after the first ({pids}); the run goes on without"
            self._on_warning(WorkerWarning(text, fatal=False))

    async def close(self) -> None:
        """End all processes, also those that are just starting, or stopped."""
        self._on_warning = lambda warning: None
        await asyncio.gather(*(self._close(nanny, start) for nanny, start in self._starts.items()))

    async def _close(self, nanny: distributed.Nanny, start: "asyncio.Task[str]") -> None:
        while not start.done():
            _kill(nanny)
            await asyncio.sleep(POLL_S)
        closing = asyncio.ensure_future(nanny.close())
        await asyncio.wait({closing}, timeout=CLOSE_S)
        if not closing.done():
            _kill(nanny)
            await asyncio.wait({closing}, timeout=CLOSE_S)


def _kill(nanny: distributed.Nanny) -> None:
    """Kill the process of a nanny, if there is one."""
    if (pid := nanny.pid) is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _replace_settings_of_children() -> None:
    """Give our settings to the processes that start from now on, which read those of the site by themselves.

    The files in a user's and an environment's folder are still read there, and overridden.

    Raises:
        RunFailed: they cannot be read.
    """
    hidden = {os.environ.get("DASK_CONFIG"), os.environ.get("DASK_ROOT_CONFIG", "/etc/dask")}
    for name in _dask_variables():
        del os.environ[name]
    os.environ["DASK_ROOT_CONFIG"] = ""
    os.environ[INHERITED] = dask.config.serialize({"distributed": dask.config.get("distributed")})
    paths = [path for path in dask.config.paths if path not in hidden]
    try:
        dask.config.collect(paths=paths)
    except Exception as error:  # of whatever kind; Dask does not check what it reads
        there = " or ".join(filter(os.path.exists, paths))
        raise RunFailed(f"Dask cannot use its settings in {there} ({error}); mend or remove them") from error


def _dask_variables() -> list[str]:
    return [name for name in os.environ if name.startswith("DASK_")]


@contextmanager
def _restore_environment() -> Iterator[None]:
    """Remove the workers' environment from this process afterwards, where Dask puts it too."""
    names = {*ENVIRONMENT, INHERITED, "DASK_ROOT_CONFIG", *_dask_variables()}
    old = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in old.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
