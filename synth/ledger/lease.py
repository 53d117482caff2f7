"""One driver per ledger: a lock file that names its holder, who refreshes it while it lives."""

import os
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from texneg.datasets.storage.json_files import to_json, write_json
from texneg.datasets.storage.places import Place, size_of
from texneg.datasets.storage.retries import with_retries
from texneg.errors import InputError, RunFailed
from texneg.synth.ledger.ledger import read_json

REFRESH_S = 30.0
STALE_S = 300.0
SETTLE_S = 1.0


@dataclass(frozen=True)
class Holder:
    """The driver that a lock names."""

    host: str
    pid: int
    time: float
    """Of the last refresh of the lock, s."""
    token: str = ""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    @property
    def alive(self) -> bool:
        """True if it seems alive: a process of this machine exists, one of another refreshes its lock."""
        if time.time() - self.time >= STALE_S:
            return False
        elsewhere = self.host != os.uname().nodename
        return elsewhere or (self.pid != os.getpid() and Path(f"/proc/{self.pid}").exists())


class Lease:
    """The lock of a ledger, held inside a `with` block and renewed there by a thread.

    Raises:
        InputError: on entry, when another driver that seems alive holds the lock.
    """

    def __init__(self, path: Place, *, steal: bool = False) -> None:
        self._path = path
        self._steal = steal
        self._token = secrets.token_hex(8)
        self._taker: Holder | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="texneg-lease", daemon=True)

    def __enter__(self) -> "Lease":
        if not self._is_first():
            held = holder(self._path)
            if held and not self._steal:
                raise InputError(
                    f"{held} is working on {self._path.parent};"
                    " wait for it, or use --steal-lock if it is gone"
                )
            self._write()
        self._thread.start()
        return self

    def _is_first(self) -> bool:
        """Create the lock where there is none; whether it was created.

        A store cannot do both at once: the lock is read back a moment later, and the last of several drivers
        that begin together holds it.
        """
        if isinstance(self._path, Path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError), self._path.open("xb") as file:
                file.write(to_json(self._own()))
                return True
            if size_of(self._path) == 0:  # another driver is just about to write its name there
                time.sleep(SETTLE_S)
            return False
        if self._path.exists():
            return False
        self._write()
        time.sleep(SETTLE_S)
        return self._is_mine()

    def _is_mine(self) -> bool:
        held = read_lock(self._path)
        return held is not None and held.token == self._token

    def check(self) -> None:
        """Ensure that the lock is still this driver's.

        Raises:
            RunFailed: another driver took it over.
        """
        if self._taker:
            raise RunFailed(
                f"{self._taker} has taken over {self._path.parent}; this run ends, what it finished is safe"
            )

    def _renew(self) -> None:
        """Renew the lock now and then, until the block ends or the lock is another's."""
        while not self._taker and not self._end.wait(REFRESH_S):
            with suppress(Exception):  # storage that fails for a moment has nine more tries
                self.renew()

    def renew(self) -> None:
        """Write the time into the lock, unless another driver has it by now.

        Raises:
            OSError: it cannot be read or written.
        """
        held = read_lock(self._path)
        if held is not None and held.token != self._token:
            self._taker = held
        else:
            self._write()

    def _write(self) -> None:
        write_json(self._path, self._own())

    def _own(self) -> dict[str, object]:
        return asdict(Holder(os.uname().nodename, os.getpid(), time.time(), self._token))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        with suppress(OSError):
            if self._is_mine():
                self._path.unlink()
            if isinstance(self._path, Path):
                self._path.parent.rmdir()  # succeeds only where nothing else was written


def holder(path: Place) -> Holder | None:
    """The driver that holds a lock and seems alive."""
    held = with_retries(lambda: read_lock(path))
    return held if held and held.alive else None


def read_lock(path: Place) -> Holder | None:
    """Read the holder of a lock; None where there is no lock, or only half of one.

    Raises:
        OSError: it cannot be read, which does not mean that it has no holder.
    """
    stored = read_json(path) or {}
    pid, stamp = stored.get("pid"), stored.get("time")
    if not isinstance(pid, int) or not isinstance(stamp, int | float):
        return None
    return Holder(str(stored.get("host")), pid, stamp, str(stored.get("token", "")))
