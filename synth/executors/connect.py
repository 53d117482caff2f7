"""A client of the cluster of a run, whoever started it, and every worker of it prepared."""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import dask
import distributed
from distributed.comm import get_address_host_port

from texneg.errors import InputError, RunFailed
from texneg.synth.config import SynthConfig
from texneg.synth.executors.local import embedded
from texneg.synth.executors.plugin import WorkerSetup
from texneg.synth.executors.slurm import submitted
from texneg.synth.executors.tuning import TUNING
from texneg.synth.ledger.versions import versions

CONNECT_S = 20
PROBE = "is anybody listening?"


@contextmanager
def connected(
    config: SynthConfig,
    setup: WorkerSetup | None = None,
    hear: Callable[[Any], None] = lambda event: None,
) -> Iterator[distributed.Client]:
    """A client of the cluster of a run, with every worker prepared, those that come later too.

    Args:
        config: names a scheduler or what to start.
        setup: prepares the workers.
        hear: gets what workers complain of, (time, {"text": ..., "fatal": ...}).

    Raises:
        InputError: nothing answers at the address.
        RunFailed: a worker cannot take part.
    """
    setup = setup or WorkerSetup()
    with ExitStack() as stack:
        stack.enter_context(dask.config.set(TUNING))
        stack.enter_context(_quiet("distributed.client"))
        client = stack.enter_context(_client(config, stack))
        _subscribe(client, setup.topic, hear)
        prepare(client, setup)
        try:
            yield client
        finally:
            # Of a scheduler that is gone, or another one, or of a client that has given it up.
            with suppress(OSError, RuntimeError, ValueError, AttributeError):
                client.unregister_worker_plugin(setup.name)


def prepare(client: distributed.Client, setup: WorkerSetup) -> None:
    """Set every worker up; the scheduler, which opens every task, is asked for texneg, too.

    Raises:
        OSError: the scheduler is gone.
        RunFailed: one of them cannot take part.
    """
    try:
        client.run_on_scheduler(versions)
        client.register_plugin(setup)
    except RunFailed:
        raise
    except Exception as error:  # of an import there, sent back as it is or as text
        found = re.search(r"No module named '[\w.]+'", str(error))
        if found is None:
            raise
        raise RunFailed(
            f"the scheduler or a worker at {client.scheduler.address} cannot take part ({found[0]});"
            " install the same version of texneg there as here"
        ) from error


def _subscribe(client: distributed.Client, topic: str, hear: Callable[[Any], None]) -> None:
    """Hear of a topic's events from now on; a subscription takes effect some time after it is made."""
    heard = threading.Event()
    client.subscribe_topic(topic, lambda event: heard.set() if event[1] == PROBE else hear(event))
    deadline = time.monotonic() + CONNECT_S
    while not heard.wait(0.02) and time.monotonic() < deadline:
        client.log_event(topic, PROBE)


def _client(config: SynthConfig, stack: ExitStack) -> distributed.Client:
    options: dict[str, Any] = {"timeout": CONNECT_S, "set_as_default": False}
    if config.address is None:
        cluster = submitted(config) if config.cluster == "slurm" else embedded(config)
        return distributed.Client(stack.enter_context(cluster), **options)
    options["scheduler_file" if _is_file(config.address) else "address"] = config.address
    try:
        return distributed.Client(**options)
    except (OSError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at {config.address} ({error}); start one, or leave --scheduler out"
        ) from error


def check_address(address: str) -> None:
    """Raise InputError for what cannot be the address or file of a scheduler; Dask would hang over it."""
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
    """A lost scheduler is reported in one line, not by the client's tracebacks."""
    logger = logging.getLogger(name)
    old = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(old)
