"""One driver per ledger: a lock file that names its holder and is refreshed while the holder lives."""

import os
import secrets
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from texneg.datasets.storage.json_files import to_json, write_json
from texneg.datasets.storage.places import Place, size_of
from texneg.datasets.storage.retries import patiently
from texneg.errors import InputError, RunFailed
from texneg.synth.ledger.ledger import read_json

REFRESH_S = 30.0
STALE_S = 300.0
SETTLE_S = 1.0


class Lease:
    """Held inside a `with` block, and renewed there by a thread, whatever the driver is busy with.

    Raises:
        InputError: on entry, when another driver that seems alive holds the lock.
    """

    def __init__(self, path: Place, *, steal: bool = False) -> None:
        self._path = path
        self._steal = steal
        self._token = secrets.token_hex(8)
        self._taken = ""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="texneg-lease", daemon=True)

    def __enter__(self) -> "Lease":
        if not self._is_first():
            held = holder(self._path)
            if held and not self._steal:
                raise InputError(
                    f"{_who(held)} is working on {self._path.parent};"
                    " wait for it, or use --steal-lock if it is gone"
                )
            self._write()
        self._thread.start()
        return self

    def _is_first(self) -> bool:
        """Make the lock where there is none. A store cannot do both at once: there it is read back a moment
        later, and the last of several drivers that begin together has it.
        """
        if isinstance(self._path, Path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError), self._path.open("xb") as file:
                file.write(to_json(self._own()))
                return True
            if size_of(self._path) == 0:  # of a driver that is just about to write its name there
                time.sleep(SETTLE_S)
            return False
        if self._path.exists():
            return False
        self._write()
        time.sleep(SETTLE_S)
        return read_lock(self._path).get("token") == self._token

    def check(self) -> None:
        """Go on only while the lock is this driver's.

        Raises:
            RunFailed: another driver took it over.
        """
        if self._taken:
            raise RunFailed(
                f"{self._taken} has taken over {self._path.parent}; this run ends, what it finished is safe"
            )

    def _renew(self) -> None:
        """Renew the lock now and then, until the block ends or the lock is another's."""
        while not self._taken and not self._end.wait(REFRESH_S):
            with suppress(Exception):  # storage that fails for a moment has nine more tries
                self.renew()

    def renew(self) -> None:
        """Write the time into the lock, unless it is another's by now.

        Raises:
            OSError: it cannot be read or written.
        """
        held = read_lock(self._path)
        if held.get("token", self._token) != self._token:
            self._taken = _who(held)
        else:
            self._write()

    def _write(self) -> None:
        write_json(self._path, self._own())

    def _own(self) -> dict[str, object]:
        return {
            "host": os.uname().nodename,
            "pid": os.getpid(),
            "time": time.time(),
            "token": self._token,
        }

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        with suppress(OSError):
            if read_lock(self._path).get("token") == self._token:
                self._path.unlink()
            if isinstance(self._path, Path):
                self._path.parent.rmdir()  # succeeds only where nothing else was written


def holder(path: Place) -> dict[str, object]:
    """Host, pid and time of the driver that holds a lock and seems alive; empty where there is none."""
    held = patiently(lambda: read_lock(path))
    return held if _alive(held) else {}


def read_lock(path: Place) -> dict[str, object]:
    """What a lock says; empty where there is none, or only half of one.

    Raises:
        OSError: it cannot be read, which does not make it nobody's.
    """
    return read_json(path) or {}


def _who(held: dict[str, object]) -> str:
    return f"process {held.get('pid')} on {held.get('host')}"


def _alive(held: dict[str, object]) -> bool:
    """A process of this machine is asked for; one of another machine lives while it refreshes its lock."""
    pid, stamp = held.get("pid"), held.get("time")
    if not isinstance(pid, int) or not isinstance(stamp, int | float) or time.time() - stamp >= STALE_S:
        return False
    elsewhere = held.get("host") != os.uname().nodename
    return elsewhere or (pid != os.getpid() and Path(f"/proc/{pid}").exists())
