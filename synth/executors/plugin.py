"""Setup of every worker process of a run, before its first task and after a restart."""

import os
import secrets
import signal
import threading
from typing import Any

import distributed

from texneg.datasets.storage.atomic import temporary_name, write_bytes
from texneg.errors import RunFailed
from texneg.synth.ledger.ledger import Ledger
from texneg.synth.ledger.record import Versions, compare_versions


class WorkerSetup(distributed.WorkerPlugin):
    """Leaves Ctrl-C to the driver, compiles the kernel, compares versions, and checks the run's files.

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
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        prepare_process()
        here = f"worker {worker.address} on {os.uname().nodename}"
        try:
            if warning := compare_versions(self._versions, here, strict=self._strict):
                worker.log_event(self.topic, {"text": warning, "fatal": False})
            if self._ledger is not None:
                check_files(self._ledger, here)
        except RunFailed as error:
            worker.log_event(self.topic, {"text": str(error), "fatal": True})
            raise


def check_files(ledger: Ledger, here: str) -> None:
    """Read the run's record and write to its output, as every task will have to.

    Raises:
        RunFailed: naming the process and the failure.
    """
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
