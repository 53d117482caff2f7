"""The lock of a run: one driver, which refreshes it while busy and notices its loss."""

import errno
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from texneg.errors import InputError, RunFailed
from texneg.synth.ledger import lease
from texneg.synth.ledger.lease import Holder, Lease, holder, read_lock


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "REFRESH_S", 0.01)


def locked(path: Path) -> Holder:
    """The driver that a lock names."""
    held = read_lock(path)
    assert held is not None
    return held


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_lock_is_renewed_while_its_driver_is_busy(tmp_path: Path) -> None:
    path = tmp_path / "ledger" / "lock"
    with Lease(path) as held:
        first = locked(path).time
        wait_for(lambda: locked(path).time != first)
        held.check()
    assert not path.parent.exists()


def test_a_driver_that_lost_its_lock_ends_and_leaves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "REFRESH_S", 3600.0)  # else the old one may be writing as the new one steals
    path = tmp_path / "lock"
    with Lease(path) as old:
        with Lease(path, steal=True) as new:
            old.renew()
            with pytest.raises(RunFailed, match=f"process {os.getpid()} on .* has taken over"):
                old.check()
            new.check()
            old.__exit__(None, None, None)
            assert path.exists()
        assert not path.exists()


def test_the_thread_of_a_driver_that_lost_its_lock_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"

    def steal() -> bool:
        """Again and again, as the driver may be renewing it at that very moment."""
        path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "time": time.time(), "token": "other"}))
        return not held._thread.is_alive()

    with Lease(path) as held:
        wait_for(steal)
        with pytest.raises(RunFailed, match="process 1 on elsewhere has taken over"):
            held.check()


def test_a_lock_that_cannot_be_read_is_not_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "time": time.time(), "token": "other"}))
    monkeypatch.setattr("texneg.datasets.storage.retries.PAUSES_S", (0.0,))
    fails = iter([OSError(errno.EIO, "a hiccup")])
    original = lease.read_json

    def read(path: Path) -> object:
        if error := next(fails, None):
            raise error
        return original(path)

    monkeypatch.setattr(lease, "read_json", read)
    with pytest.raises(InputError, match="process 1 on elsewhere is working on"), Lease(path):
        pass
    fails = iter([PermissionError(errno.EACCES, "not yours")])
    with pytest.raises(PermissionError), Lease(path):
        pass
    assert locked(path).token == "other"


def test_storage_that_fails_for_a_moment_costs_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    calls = iter(range(10**6))
    original = lease.write_json

    def write(*args: object) -> None:
        if next(calls) < 3:
            raise OSError("a hiccup")
        original(*args)  # type: ignore[arg-type]

    with Lease(path) as held:
        first = locked(path).time
        monkeypatch.setattr(lease, "write_json", write)
        wait_for(lambda: locked(path).time != first)
        held.check()


@pytest.mark.parametrize(
    ("host", "pid", "age", "alive"),
    [
        (os.uname().nodename, os.getppid(), 0, True),
        (os.uname().nodename, os.getppid(), 400, False),
        (os.uname().nodename, 1 << 22, 0, False),
        (os.uname().nodename, os.getpid(), 0, False),
        ("elsewhere", 1, 200, True),
        ("elsewhere", os.getpid(), 0, True),
        ("elsewhere", 1, 400, False),
    ],
)
def test_holders_that_seem_alive(tmp_path: Path, host: str, pid: int, age: float, alive: bool) -> None:
    path = tmp_path / "lock"
    path.write_text(json.dumps({"host": host, "pid": pid, "time": time.time() - age}))
    assert bool(holder(path)) == alive
    if alive:
        with pytest.raises(InputError, match=f"process {pid} on {host} is working on"), Lease(path):
            pass
        assert path.exists()
    else:
        with Lease(path) as held:
            held.check()
        assert not path.exists()


def test_a_lock_that_is_just_being_made_has_a_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock"
    path.touch()
    theirs = json.dumps({"host": "elsewhere", "pid": 1, "time": time.time()})
    monkeypatch.setattr(
        lease, "time", SimpleNamespace(sleep=lambda _: path.write_text(theirs), time=time.time)
    )
    with pytest.raises(InputError, match="process 1 on elsewhere is working on"), Lease(path):
        pass


def test_half_a_lock_has_no_holder(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("{")
    assert holder(tmp_path / "lock") is None
