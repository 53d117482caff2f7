"""One driver per ledger: a lock file that names its holder and is refreshed while the holder lives."""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from texneg.datasets.atomic import to_json, write_json
from texneg.datasets.store import Place
from texneg.errors import InputError

REFRESH_S = 30.0
STALE_S = 300.0
SETTLE_S = 1.0


class Lease:
    """Held inside a `with` block; call `refresh` now and then.

    Raises:
        InputError: on entry, when another driver that seems alive holds the lock.
    """

    def __init__(self, path: Place, *, steal: bool = False) -> None:
        self._path = path
        self._steal = steal
        self._refreshed = 0.0

    def __enter__(self) -> "Lease":
        if not self._is_first():
            held = holder(self._path)
            if held and not self._steal:
                raise InputError(
                    f"process {held.get('pid')} on {held.get('host')} is working on {self._path.parent};"
                    " wait for it, or use --steal-lock if it is gone"
                )
            write_json(self._path, _self())
        self._refreshed = time.monotonic()
        return self

    def _is_first(self) -> bool:
        """Make the lock where there is none. A store cannot do both at once: there it is read back a moment
        later, and the last of several drivers that begin together has it.
        """
        if isinstance(self._path, Path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError), self._path.open("xb") as file:
                file.write(to_json(_self()))
                return True
            return False
        if self._path.exists():
            return False
        write_json(self._path, _self())
        time.sleep(SETTLE_S)
        return _is_own(read_lock(self._path))

    def refresh(self) -> None:
        """Renew the time in the lock file when it is due."""
        if time.monotonic() - self._refreshed >= REFRESH_S:
            write_json(self._path, _self())
            self._refreshed = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._path.unlink()
            if isinstance(self._path, Path):
                self._path.parent.rmdir()  # succeeds only where nothing else was written


def _self() -> dict[str, object]:
    return {"host": os.uname().nodename, "pid": os.getpid(), "time": time.time()}


def holder(path: Place) -> dict[str, object]:
    """Host, pid and time of the driver that holds a lock and seems alive; empty where there is none."""
    held = read_lock(path)
    return held if _alive(held) else {}


def read_lock(path: Place) -> dict[str, object]:
    """What a lock says; empty where there is none."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, json.JSONDecodeError):
        return {}


def _is_own(held: dict[str, object]) -> bool:
    return (held.get("host"), held.get("pid")) == (os.uname().nodename, os.getpid())


def _alive(held: dict[str, object]) -> bool:
    """A process of this machine is asked for; one of another machine lives while it refreshes its lock."""
    pid, stamp = held.get("pid"), held.get("time")
    if not isinstance(pid, int) or not isinstance(stamp, int | float) or pid == os.getpid():
        return False
    if held.get("host") != os.uname().nodename:
        return time.time() - stamp < STALE_S
    return Path(f"/proc/{pid}").exists() and time.time() - stamp < STALE_S
