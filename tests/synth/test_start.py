"""Start of a cluster: whatever the site configures and whichever process stands still."""

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import psutil
import pytest

from texneg.errors import RunFailed
from texneg.synth.config import Compute
from texneg.synth.executors import connect as connecting
from texneg.synth.executors import dask as executors
from texneg.synth.executors import local
from texneg.synth.executors.connect import connect
from texneg.synth.executors.dask import DaskExecutor
from texneg.synth.synth import SynthConfig, synth

State = Callable[[Path], Any]
Run = Callable[..., Path]
Startup = Callable[[str], None]
PATIENCE_S = 300
SITE = {
    "scheduler.idle-timeout": "1s",
    "scheduler.no-workers-timeout": "1s",
    "scheduler.worker-ttl": "1s",
    "scheduler.preload": ["nowhere"],
    "scheduler.allowed-failures": 0,
    "scheduler.blocked-handlers": ["register-worker"],
    "worker.lifetime.duration": "1s",
    "worker.lifetime.restart": True,
    "worker.preload": ["nowhere"],
    "worker.memory.terminate": 0.001,
    "worker.memory.pause": 0.001,
    "worker.multiprocessing-method": "fork",
    "nanny.preload": ["nowhere"],
    "nanny.environ": {"OMP_NUM_THREADS": "7", "PYTHONPATH": "/nowhere"},
    "nanny.pre-spawn-environ": {"PYTHONHOME": "/nowhere"},
    "comm.timeouts.connect": "1ms",
    "comm.default-scheme": "ucx",
}
STOPS = """
import os, signal, sys
if "spawn_main" in " ".join(sys.orig_argv):
    for number in range({count}):
        try:
            os.close(os.open(f"{folder}/{{number}}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        os.kill(os.getpid(), signal.{signal})
        break
"""


def config(src: Path, dst: Path, **options: Any) -> SynthConfig:
    parts = {"part_size": 4, "workers": 2, "threads_per_worker": 1}
    return SynthConfig.flat(str(src), str(dst), **{"size": 32, "exemplar_size": 24, **parts, **options})


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def stops(tmp_path: Path, startup: Startup) -> Callable[[int, str], Path]:
    """Send a signal to the first processes of workers that start from now on; each leaves a file before."""

    def install(count: int, name: str) -> Path:
        folder = tmp_path / "stopped"
        folder.mkdir()
        startup(STOPS.format(count=count, folder=folder, signal=name))
        return folder

    return install


def test_the_site_decides_nothing_but_encryption() -> None:
    own: dict[str, Any] = {}
    dask.config.refresh(own, paths=[], env={})
    site = {f"distributed.{name}": value for name, value in SITE.items()}
    with dask.config.set({**site, "distributed.comm.tls.ca-file": "/site.pem"}), local.local_settings():
        for name in site:
            if not name.endswith(("worker-ttl", "allowed-failures", "pre-spawn-environ")):
                assert dask.config.get(name) == dask.config.get(name, config=own), name
        assert "PYTHONHOME" not in dask.config.get("distributed.nanny.pre-spawn-environ")
        assert dask.config.get("distributed.scheduler.worker-ttl") == "60.0 s"
        assert dask.config.get("distributed.comm.tls.ca-file") == "/site.pem"
    assert dask.config.get("distributed.scheduler.idle-timeout") is None


def test_a_run_does_not_notice_the_settings_of_the_site(
    photos: Path, run: Run, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = state(run(photos, "whole"))
    for name, value in SITE.items():
        variable = f"DASK_DISTRIBUTED__{name.replace('.', '__').replace('-', '_').upper()}"
        monkeypatch.setenv(variable, repr(value))
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "site.yaml").write_text("distributed: {worker: {lifetime: {duration: 1s}}}")
    monkeypatch.setenv("DASK_CONFIG", str(tmp_path / "site"))
    with dask.config.set({f"distributed.{name}": value for name, value in SITE.items()}):
        assert synth(config(photos, tmp_path / "out")) == 0
    assert state(tmp_path / "out") == expected


def test_workers_start_whatever_the_site_sets_for_all_processes(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/site.yaml").write_text("distributed: {scheduler: 7}")
    monkeypatch.setenv("DASK_CONFIG", str(tmp_path / "site"))
    monkeypatch.setenv("DASK_DISTRIBUTED__WORKER", "7")
    before = dict(os.environ)
    assert synth(config(photos, tmp_path / "out", workers=1)) == 0
    assert dict(os.environ) == before


def test_settings_of_a_user_that_dask_cannot_use_are_named(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site.yaml").write_text("distributed: {scheduler: 7}")
    monkeypatch.setattr(dask.config, "paths", [str(tmp_path)])
    before = dict(os.environ)
    with pytest.raises(RunFailed, match=rf"Dask cannot use its settings in {tmp_path} .*mend or remove"):
        synth(config(photos, tmp_path / "out"))
    assert dict(os.environ) == before


def test_a_full_shm_is_named_with_the_remedy(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(method: str) -> Any:
        def lock() -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        return SimpleNamespace(Lock=lock)

    monkeypatch.setattr(local, "get_context", full)
    with pytest.raises(RunFailed, match=r"12 semaphores cannot be made in /dev/shm \(No space.*--shm-size"):
        synth(config(photos, tmp_path / "out"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_request_to_stop_ends_the_start(
    photos: Path,
    tmp_path: Path,
    stops: Callable[[int, str], Path],
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    stopped = stops(2, "SIGSTOP")

    def press() -> None:
        wait_for(lambda: len(list(stopped.iterdir())) == 2)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=press)
    thread.start()
    settings = config(photos, tmp_path / "out")
    assert synth(settings) == 130
    thread.join()
    assert f"0 of 24 images are done; resume: {settings.command()}" in capsys.readouterr().err
    assert not [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]


def test_a_request_to_stop_ends_the_wait_for_a_scheduler(photos: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = "tcp://{}:{}".format(*silent.getsockname())
        words = config(photos, tmp_path / "out", scheduler=address).command().split()
        process = subprocess.Popen([sys.executable, "-m", *words], stderr=subprocess.PIPE, text=True)
        silent.accept()
        process.terminate()
        errors = process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == 130
    assert "0 of 24 images are done; resume: texneg synth" in errors
    assert "Traceback" not in errors


def test_the_run_goes_on_without_a_process_that_stands_still(
    photos: Path,
    run: Run,
    state: State,
    tmp_path: Path,
    stops: Callable[[int, str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected = state(run(photos, "whole"))
    stops(1, "SIGSTOP")
    monkeypatch.setattr(local, "LATE_S", 0.0)
    assert synth(config(photos, tmp_path / "out")) == 0
    assert "warning: 1 of 2 workers not ready 0 s after the first (process " in capsys.readouterr().err
    assert state(tmp_path / "out") == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("SIGKILL", r"no worker process starts on this machine \(.*\); resume: texneg synth"),
        ("SIGSTOP", "no worker process has started within 0 s; resume: texneg synth"),
    ],
)
def test_a_start_that_fails_ends_in_one_line(
    photos: Path,
    tmp_path: Path,
    stops: Callable[[int, str], Path],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    message: str,
) -> None:
    stops(2, name)
    if name == "SIGSTOP":
        monkeypatch.setattr(local, "START_S", 0.01)
    with pytest.raises(RunFailed, match=message):
        synth(config(photos, tmp_path / "out"))


@contextmanager
def standing_still(client: Any) -> Iterator[str]:
    """Stop one of the workers; its address."""
    client.wait_for_workers(2)
    address, pid = next(iter(client.run(os.getpid).items()))
    os.kill(pid, signal.SIGSTOP)
    try:
        yield address
    finally:
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGCONT)


def test_a_worker_that_stops_answering_is_replaced_and_its_tasks_are_made(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "SILENCE_S", 1.0)  # Dask waits for ten heartbeats at least, of half a second
    heard: list[Any] = []
    with connect(Compute(workers=2, threads_per_worker=1), on_warning=heard.append) as client:
        with standing_still(client) as address:
            executor = DaskExecutor(client, "run", run=lambda task: task.name)
            for i in range(8):
                executor.submit(SimpleNamespace(name=str(i)))  # type: ignore[arg-type]
            ended: list[Any] = []
            wait_for(lambda: bool(ended.extend(executor.completed(0.1)) or len(ended) == 8))
        assert sorted(result for _, result in ended) == sorted(map(str, range(8)))
        [warning] = heard
        assert f"no answer within 5 s from {address}: replaced, their tasks go to others" == warning.text


def test_a_driver_waits_for_no_worker_of_a_running_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((connecting, "PREPARE_S"), (connecting, "FORGET_S"), (executors, "ANSWER_S")):
        monkeypatch.setattr(module, name, 1.0)
    heard: list[Any] = []
    go_on = tmp_path / "go on"

    def wait(task: Any) -> str:
        Path(task.started).touch()
        while not go_on.exists():
            time.sleep(0.01)
        return "made"

    with ExitStack() as stack:
        cluster = stack.enter_context(connect(Compute(workers=2, threads_per_worker=1)))
        address = stack.enter_context(standing_still(cluster))
        running = Compute(scheduler=cluster.scheduler.address)
        with connect(running, on_warning=heard.append) as client:
            [warning] = heard
            assert warning.text == f"no answer within 1 s from {address}; the run goes on with the others"
            assert not warning.fatal
            executor = DaskExecutor(client, "run", run=wait)
            for i in range(6):
                executor.submit(SimpleNamespace(name=str(i), started=str(tmp_path / f"started {i}")))  # type: ignore[arg-type]
            wait_for(lambda: bool(list(tmp_path.glob("started *"))))
            assert executor.withdraw() == 5  # those of the worker that stands still, too
            go_on.touch()
            ended: list[Any] = []
            wait_for(lambda: bool(ended.extend(executor.completed(0.1)) or ended))
            assert [result for _, result in ended] == ["made"]
