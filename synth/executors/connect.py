"""Connect to the cluster of a run, which texneg may have started or not, and prepare every worker."""

import logging
import os
import re
import secrets
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dask
import distributed
from distributed.comm import get_address_host_port

from texneg.cli.signals import STOP_SIGNALS
from texneg.datasets.storage.atomic import temporary_name, write_bytes
from texneg.errors import InputError, RunFailed
from texneg.synth.config import Compute
from texneg.synth.executors.executor import WorkerWarning
from texneg.synth.executors.local import local_cluster, local_workers
from texneg.synth.executors.slurm import slurm_cluster
from texneg.synth.executors.tuning import TUNING
from texneg.synth.ledger.ledger import Ledger
from texneg.synth.ledger.record import Versions, compare_versions, versions

CONNECT_S = 20
PREPARE_S = 60.0  # for all workers of a running cluster, which may have to compile the kernel
FORGET_S = 5.0
PROBE = "probe"
SCHEDULER = "scheduler"  # name of the topic in which Dask's scheduler reports what it does


class WorkerSetup(distributed.WorkerPlugin):
    """Leaves stop signals to the driver, compiles the kernel, compares versions, and checks the run's files.

    Args:
        ledger: of the run; without one nothing is checked.
        versions: of the process that began the run.
        strict: refuse other versions.
    """

    def __init__(
        self, ledger: Ledger | None = None, versions: Versions | None = None, *, strict: bool = False
    ) -> None:
        self.name = self.topic = f"texneg-setup-{secrets.token_hex(8)}"
        """The topic of the events that carry workers' warnings to this driver, and to no other."""
        self._ledger = ledger
        self._versions = versions or {}
        self._strict = strict

    def setup(self, worker: Any) -> None:
        """Prepare a worker.

        Raises:
            RunFailed: this worker cannot take part; the driver receives the reason, too.
        """
        from texneg.synth.task.images import prepare_process  # loads numba, which a driver does not need

        if threading.current_thread() is threading.main_thread():
            for number in set(STOP_SIGNALS) - {signal.SIGTERM}:  # which ends a worker that others started
                signal.signal(number, signal.SIG_IGN)
        prepare_process()
        here = f"worker {worker.address} on {os.uname().nodename}"
        try:
            if warning := compare_versions(self._versions, here, strict=self._strict):
                worker.log_event(self.topic, asdict(WorkerWarning(warning, fatal=False)))
            if self._ledger is not None:
                check_files(self._ledger, here)
        except RunFailed as error:
            worker.log_event(self.topic, asdict(WorkerWarning(str(error), fatal=True)))
            raise


def check_files(ledger: Ledger, here: str) -> None:
    """Read the run's record and write to its output, as every task will have to."""
    if not ledger.is_in_force():
        raise RunFailed(
            f"{here} does not see this run in {ledger.root}: SRC, DST and the ledger must lie on a file"
            " system that every node has under the same path"
        )
    probe = ledger.dst / temporary_name("probe", ledger.tag)
    try:
        write_bytes(probe, b"")
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise RunFailed(f"{here} cannot write to {ledger.dst}: {error}") from error


@contextmanager
def connect(
    compute: Compute,
    setup: WorkerSetup | None = None,
    on_warning: Callable[[WorkerWarning], None] = lambda warning: None,
) -> Iterator[distributed.Client]:
    """Connect to the cluster of a run and prepare every worker, including those that come later.

    Args:
        compute: names a scheduler, or what to start; resolved.
        setup: prepares the workers.
        on_warning: receives the workers' warnings.

    Raises:
        InputError: nothing answers at the address.
        RunFailed: a worker cannot take part.
    """
    setup = setup or WorkerSetup()
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(TUNING))
        stack.enter_context(_quiet("distributed.client"))
        client = stack.enter_context(_client(compute, stack))
        _subscribe(client, setup.topic, on_warning)
        prepare(client, setup, on_warning)
        if compute.on_this_machine:
            stack.enter_context(
                local_workers(client.cluster, compute.cores, compute.threads_per_worker, on_warning)
            )
        try:
            yield client
        finally:
            if not compute.on_this_machine:
                _forget(client, setup)


def prepare(
    client: distributed.Client, setup: WorkerSetup, on_warning: Callable[[WorkerWarning], None]
) -> None:
    """Prepare every worker, and check that the scheduler, which opens every task, can import texneg.

    One that does not answer is not waited for: it is prepared when it does, as those are that come later.

    Raises:
        OSError: the scheduler is gone.
        RunFailed: one of them cannot take part.
    """

    async def ask() -> None:
        await client.run_on_scheduler(versions)

    async def register() -> None:
        await client.register_plugin(setup)

    try:
        _within(CONNECT_S, client, ask)
        begin = time.time()
        try:
            client.sync(register, callback_timeout=PREPARE_S)
        except TimeoutError:
            silent = ", ".join(client.run_on_scheduler(_unseen_since, begin))
            text = f"no answer within {PREPARE_S:.0f} s from {silent or 'some workers'}"
            on_warning(WorkerWarning(f"{text}; the run goes on with the others", fatal=False))
    except RunFailed:
        raise
    except Exception as error:  # an import error there comes back as it is or as text
        found = re.search(r"No module named '[\w.]+'", str(error))
        if found is None:
            raise
        raise RunFailed(
            f"the scheduler or a worker at {client.scheduler.address} cannot take part ({found[0]});"
            " install the same version of texneg there as here"
        ) from error


def _within(seconds: float, client: distributed.Client, ask: Callable[[], Awaitable[None]]) -> None:
    """Ask the scheduler for something that it does at once.

    Raises:
        OSError: it does not.
    """
    try:
        client.sync(ask, callback_timeout=seconds)
    except TimeoutError as error:
        address = client.scheduler.address
        raise OSError(f"the Dask scheduler at {address} gives no answer within {seconds:.0f} s") from error


def _unseen_since(begin: float, dask_scheduler: Any) -> list[str]:
    """The workers from which a scheduler has not heard since then."""
    return [address for address, worker in dask_scheduler.workers.items() if worker.last_seen < begin]


def _forget(client: distributed.Client, setup: WorkerSetup) -> None:
    """Have the workers forget the run, as far as they answer."""

    async def unregister() -> None:
        await client.unregister_worker_plugin(setup.name)

    # The scheduler may be gone or another one, and the client may have given it up.
    with suppress(OSError, RuntimeError, ValueError, AttributeError):
        client.sync(unregister, callback_timeout=FORGET_S)


def _subscribe(client: distributed.Client, topic: str, on_warning: Callable[[WorkerWarning], None]) -> None:
    """Subscribe to the scheduler's and to a topic's events, and wait until that has taken effect."""
    arrived = threading.Event()

    def receive(event: tuple[float, Any]) -> None:
        _, message = event
        if message == PROBE:
            arrived.set()
        else:
            on_warning(WorkerWarning(message["text"], message["fatal"]))  # Dask adds the worker

    def replace_silent(event: tuple[float, Any]) -> None:
        _, message = event
        if message.get("action") == "worker-ttl-timed-out":
            workers, seconds = ", ".join(message["workers"]), message["ttl"]
            text = f"no answer within {seconds:.0f} s from {workers}: replaced, their tasks go to others"
            on_warning(WorkerWarning(text, fatal=False))

    client.subscribe_topic(SCHEDULER, replace_silent)
    client.subscribe_topic(topic, receive)
    deadline = time.monotonic() + CONNECT_S
    while not arrived.wait(0.02) and time.monotonic() < deadline:
        client.log_event(topic, PROBE)


def _client(compute: Compute, stack: ExitStack) -> distributed.Client:
    options: dict[str, Any] = {"timeout": CONNECT_S, "set_as_default": False}
    address = compute.scheduler
    if address is None:
        if compute.cluster == "slurm":
            cluster = stack.enter_context(slurm_cluster(compute.jobs, compute.cluster_option))
        else:
            cluster = stack.enter_context(local_cluster())
        return _new_client(address=cluster, **options)
    options["scheduler_file" if _is_file(address) else "address"] = address
    try:
        return _new_client(**options)
    except Exception as error:  # of any type, where something else answers
        raise InputError(
            f"no Dask scheduler answers at {address} ({error}); start one, or leave --scheduler out"
        ) from error


def _new_client(**options: Any) -> distributed.Client:
    """Make a client in another thread, since Dask waits for one that Ctrl-C interrupts half-made."""
    made: Future[distributed.Client] = Future()

    def make() -> None:
        try:
            made.set_result(distributed.Client(**options))
        except Exception as error:
            made.set_exception(error)

    threading.Thread(target=make, name="texneg-connect", daemon=True).start()
    return made.result()


def check_address(address: str) -> None:
    """Refuse what cannot be the address or file of a scheduler, since Dask would wait for it for ever."""
    if _is_file(address):
        if not Path(address).is_file():
            raise InputError(f"--scheduler {address}: no such file; a running `dask scheduler` writes it")
        return
    try:
        get_address_host_port(address)
    except (ValueError, NotImplementedError) as error:
        raise InputError(
            f"--scheduler {address}: {error}; give tcp://host:port or a scheduler file"
        ) from None


def _is_file(address: str) -> bool:
    return address.endswith(".json")


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Silence a logger, since a lost scheduler is reported in one line and not by the client's tracebacks."""
    logger = logging.getLogger(name)
    old = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(old)
