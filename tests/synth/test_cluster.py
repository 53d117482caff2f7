"""Runs on Dask give the bytes of a plain run, through kills and Ctrl-C."""

import os
import random
import re
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

import pytest

from texneg.cli.signals import STOP_SIGNALS
from texneg.errors import InputError, RunFailed
from texneg.synth.config import Compute
from texneg.synth.executors.connect import WorkerSetup, connect, prepare
from texneg.synth.executors.dask import DaskExecutor
from texneg.synth.executors.local import workers_and_threads
from texneg.synth.synth import SynthConfig, synth

State = Callable[[Path], Any]
Expected = Callable[[str], Any]
Gate = Callable[[int], Path]
PATIENCE_S = 300


def config(src: Path, dst: Path, **options: Any) -> SynthConfig:
    return SynthConfig.flat(
        str(src), str(dst), **{"size": 48, "exemplar_size": 24, "part_size": 20, **options}
    )


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A cluster of two processes of this machine."""
    with connect(Compute(workers=2, threads_per_worker=1)) as client:
        client.wait_for_workers(2)
        yield client


@pytest.fixture(scope="module")
def expected(
    many_photos: Path, state: State, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Any]:
    """Files of the run in one process, by format."""
    made: dict[str, Path] = {}

    def make(form: str) -> Any:
        if form not in made:
            made[form] = tmp_path_factory.mktemp("expected") / form
            assert synth(config(many_photos, made[form], format=form, executor="sync", shard_size=250)) == 0
        return state(made[form])

    return make


@pytest.mark.parametrize(
    ("cores", "threads", "processes_and_threads"),
    [(1, 0, (1, 1)), (2, 0, (1, 2)), (2, 1, (2, 1)), (8, 0, (1, 8)), (12, 0, (2, 6)), (64, 0, (8, 8))],
)
def test_workers_and_threads(cores: int, threads: int, processes_and_threads: tuple[int, int]) -> None:
    assert workers_and_threads(cores, threads) == processes_and_threads


def test_a_driver_loads_neither_decoders_nor_compilers() -> None:
    modules = ["run", "executors.connect", "executors.dask"]
    script = f"import sys, {', '.join(f'texneg.synth.{name}' for name in modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert not {"cv2", "numba", "torch", "pyarrow.compute"} & set(done.stdout.split())


def test_workers_use_one_thread_each_and_outlive_signals(client: Any) -> None:
    def look() -> tuple[int, int, bool]:
        import cv2
        import numba

        blocked = set(STOP_SIGNALS) <= signal.pthread_sigmask(signal.SIG_BLOCK, [])
        return numba.config.NUMBA_NUM_THREADS, cv2.getNumThreads(), blocked

    assert set(client.run(look).values()) == {(1, 1, True)}
    assert len(client.nthreads()) == 2


def test_no_port_is_fixed_and_none_is_public(client: Any) -> None:
    def listens(dask_scheduler: Any) -> tuple[str, int]:
        return dask_scheduler.http_server.address, dask_scheduler.http_server.port

    address, port = client.run_on_scheduler(listens)
    assert address == "127.0.0.1"
    assert port != 8787


def test_two_workers_make_the_bytes_of_one_process(
    client: Any, many_photos: Path, expected: Expected, state: State, tmp_path: Path
) -> None:
    for form in ("folder", "webdataset"):
        dst = tmp_path / form
        address = client.scheduler.address
        assert synth(config(many_photos, dst, format=form, scheduler=address, shard_size=250)) == 0
        assert state(dst) == expected(form)


def test_runs_with_equal_settings_share_a_scheduler(
    client: Any, many_photos: Path, expected: Expected, state: State, tmp_path: Path
) -> None:
    ends: dict[str, int] = {}

    def make(name: str) -> None:
        settings = config(many_photos, tmp_path / name, scheduler=client.scheduler.address, shard_size=250)
        ends[name] = synth(settings)

    threads = [threading.Thread(target=make, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == {"one": 0, "two": 0}
    assert state(tmp_path / "one") == state(tmp_path / "two") == expected("folder")


def test_tasks_that_nobody_has_begun_are_taken_back(client: Any, tmp_path: Path) -> None:
    go_on = tmp_path / "go on"

    def wait(task: Any) -> dict[str, Any]:
        Path(task.started).touch()
        while not go_on.exists():
            time.sleep(0.01)
        return {"n": 1}

    executor = DaskExecutor(client, "run", run=wait)
    for i in range(6):
        executor.submit(SimpleNamespace(name=str(i), started=str(tmp_path / f"started {i}")))  # type: ignore[arg-type]

    def settled() -> bool:
        """True if the scheduler knows all tasks, and the workers know those assigned to them."""
        keys = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks))
        given = sum(len(keys) for keys in client.processing().values())
        held = client.run(lambda dask_worker: len(dask_worker.state.tasks))
        return sum("-shard-run-" in key for key in keys) == 6 and given == sum(held.values())

    wait_for(lambda: len(list(tmp_path.glob("started *"))) == 2 and settled())
    assert executor.withdraw() == 4
    wait_for(lambda: set(client.run(lambda dask_worker: len(dask_worker.state.tasks)).values()) == {1})
    go_on.touch()
    ended: list[Any] = []
    wait_for(lambda: ended.extend(executor.completed(0.1)) or len(ended) == 2)
    assert [result for _, result in ended] == [{"n": 1}] * 2
    assert len(list(tmp_path.glob("started *"))) == 2


def test_a_scheduler_without_texneg_is_named(many_photos: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['texneg'] = None\n")
    with scheduler(PYTHONPATH=str(tmp_path)) as (address, _):
        settings = config(many_photos, tmp_path / "out", scheduler=address)
        with pytest.raises(RunFailed, match=r"cannot take part \(No module named 'texneg.*install the same"):
            synth(settings)


def test_a_killed_worker_costs_nothing_but_its_part(
    client: Any, many_photos: Path, expected: Expected, state: State, tmp_path: Path
) -> None:
    victim = next(iter(client.run(os.getpid).values()))
    dst = tmp_path / "out"

    def kill() -> None:
        wait_for(lambda: finished_parts(dst) >= 2)
        os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    address = client.scheduler.address
    assert synth(config(many_photos, dst, format="webdataset", scheduler=address, shard_size=250)) == 0
    killer.join()
    assert state(dst) == expected("webdataset")


def test_no_scheduler_at_the_address(
    many_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("texneg.synth.executors.connect.CONNECT_S", 1)
    with pytest.raises(InputError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        synth(config(many_photos, tmp_path / "out", scheduler="tcp://127.0.0.1:9"))


def test_something_else_at_the_address(many_photos: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 8)

        threading.Thread(target=answer, daemon=True).start()
        address = "tcp://{}:{}".format(*server.getsockname())
        with pytest.raises(InputError, match=f"no Dask scheduler answers at {address}"):
            synth(config(many_photos, tmp_path / "out", scheduler=address))


def test_settings_of_dask_that_cannot_be_read(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("distributed: [")
    environment = {**os.environ, "DASK_CONFIG": str(tmp_path / "site.yaml")}
    words = config(photos, tmp_path / "out").command().split()
    ended = subprocess.run(
        [sys.executable, "-m", *words], check=False, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert re.fullmatch(
        r"texneg synth: .*site\.yaml.* is malformed; mend Dask's settings, or .*\n", ended.stderr
    )
    assert not (tmp_path / "out").exists()


def test_a_lost_scheduler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("texneg.synth.executors.connect.CONNECT_S", PATIENCE_S)
    with scheduler() as (address, process), connect(Compute(scheduler=address)) as client:
        executor = DaskExecutor(client, "run", prepare=lambda: prepare(client, WorkerSetup(), print))
        assert executor.capacity() == 0
        executor.submit(SimpleNamespace(name="a"))  # type: ignore[arg-type]
        client._timeout = client.rpc.timeout = 1  # of a scheduler that is there, none is too slow
        process.kill()
        process.wait()
        with pytest.raises(OSError, match=f"the Dask scheduler at {address} is gone"):
            while executor.capacity() == 0:
                time.sleep(0.05)
        with pytest.raises(OSError, match=f"the Dask scheduler at {address} is gone"):
            wait_for(lambda: bool(executor.completed(0.1)))


def test_a_client_that_has_given_its_scheduler_up_does_not_crash() -> None:
    class Closed:
        """As Dask's client is then, whose scheduler is None."""

        status = "closed"
        scheduler: Any = SimpleNamespace(address="tcp://127.0.0.1:1")

        def fail(self, *args: Any, **options: Any) -> Any:
            raise AttributeError("'NoneType' object has no attribute")

        nthreads = processing = submit = cancel = fail

    client = Closed()
    executor = DaskExecutor(client, "run")
    client.scheduler = None
    for ask in (executor.capacity, lambda: executor.submit(SimpleNamespace(name="a"))):  # type: ignore[arg-type]
        with pytest.raises(OSError, match=r"the Dask scheduler at tcp://127\.0\.0\.1:1 is gone"):
            ask()
    assert executor.withdraw() == 0
    executor.close()


def test_a_scheduler_that_was_started_again_is_prepared_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("texneg.synth.executors.connect.CONNECT_S", PATIENCE_S)
    prepared: list[int] = []
    with (
        ExitStack() as again,  # outlives the client, which would wait for it in vain
        scheduler() as (address, first),
        connect(Compute(scheduler=address)) as client,
    ):
        executor = DaskExecutor(client, "run", prepare=lambda: prepared.append(1))
        task: Any = SimpleNamespace(name="a")
        executor.submit(task)
        assert executor.completed(0.1) == []
        first.kill()
        first.wait()
        again.enter_context(scheduler(address))
        ended: list[Any] = []
        wait_for(lambda: bool(ended.extend(executor.completed(0.1)) or ended))
        assert prepared == [1]
        assert [type(result).__name__ for _, result in ended] == ["FutureCancelledError"]
        assert executor.capacity() == 0


@contextmanager
def scheduler(
    address: str = "tcp://127.0.0.1:0", **environment: str
) -> "Iterator[tuple[str, subprocess.Popen[str]]]":
    """A scheduler without workers; its address and its process."""
    words = f"-m distributed.cli.dask_scheduler --host {address} --no-dashboard --dashboard-address :0"
    process = subprocess.Popen(
        [sys.executable, *words.split()],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    found = (re.search(r"Scheduler at: +(tcp://\S+)", line) for line in process.stderr)
    try:
        yield next(match[1] for match in found if match), process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_a_signal_to_all_processes_drains_and_the_run_resumes(
    many_photos: Path,
    expected: Expected,
    state: State,
    tmp_path: Path,
    gate: Gate,
    number: signal.Signals,
) -> None:
    dst, go_on = tmp_path / "out", gate(70)
    command = config(many_photos, dst, shard_size=250, workers=2)
    process = start(command)
    assert process.stderr is not None
    wait_for(lambda: len(list(go_on.parent.glob("*.waits"))) == 2 or process.poll() is not None)
    os.killpg(process.pid, number)
    errors = ""
    while "stopping: " not in errors and (line := process.stderr.readline()):
        errors += line
    go_on.touch()
    errors += process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == 130, errors
    assert f"resume: {command.command()}" in errors
    assert "Traceback" not in errors
    assert 40 <= finished_images(errors) < 600
    assert len(list((tmp_path / "out.texneg/log").iterdir())) == 1  # of a worker that nobody had to replace
    assert synth(config(many_photos, dst, shard_size=250, executor="sync")) == 0
    assert state(dst) == expected("folder")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["folder", "webdataset"])
def test_kill_of_everything_at_random_moments(
    many_photos: Path, expected: Expected, state: State, tmp_path: Path, gate: Gate, form: str
) -> None:
    dst = tmp_path / "out"
    gate(150)  # a quarter of the images: none of the runs comes to its end
    dice = random.Random(form)
    command = config(many_photos, dst, format=form, shard_size=250, workers=2)
    for _ in range(3):
        process = start(command)
        enough = finished_parts(dst) + dice.randint(1, 5)
        wait_for(lambda: finished_parts(dst) >= enough or process.poll() is not None)  # noqa: B023
        time.sleep(dice.uniform(0, 0.05))
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert synth(config(many_photos, dst, format=form, shard_size=250, executor="sync")) == 0
    assert state(dst) == expected(form)


def start(command: SynthConfig) -> "subprocess.Popen[str]":
    """The run as a process group of its own."""
    words = [sys.executable, "-m", *command.command().split()]
    return subprocess.Popen(
        words, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def finished_parts(dst: Path) -> int:
    """Markers of parts and shards, a shard counted as the many parts that it is."""
    parts, shards = (
        sum(name.endswith(".json") for _, _, names in os.walk(f"{dst}.texneg/{folder}") for name in names)
        for folder in ("parts", "done")
    )
    return parts + 100 * shards


def finished_images(errors: str) -> int:
    line = next(line for line in errors.splitlines() if line.startswith("interrupted: "))
    return int(line.split()[1])
