"""Failures during a run: transient storage errors, images that kill, workers that hang or do not fit."""

import errno
import importlib.metadata
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from texneg.cli.progress import Progress
from texneg.cli.signals import StopRequests
from texneg.datasets.storage.retries import is_transient, with_retries
from texneg.errors import RunFailed
from texneg.synth.config import Compute, Policy
from texneg.synth.driver.loop import StallWatch, run_tasks
from texneg.synth.driver.queue import TaskQueue
from texneg.synth.executors.connect import WorkerSetup, connect
from texneg.synth.executors.dask import DaskExecutor
from texneg.synth.executors.executor import SyncExecutor, WorkerLost
from texneg.synth.ledger.ledger import Commit
from texneg.synth.ledger.record import Run as PlannedRun
from texneg.synth.ledger.record import compare_versions, versions
from texneg.synth.run import open_run, specify
from texneg.synth.synth import SynthConfig, synth
from texneg.synth.task import part, run_task, sandbox
from texneg.synth.task.images import PartResult
from texneg.synth.task.part import SourceChanged, make_part
from texneg.synth.task.task import Task

Run = Callable[..., Path]
State = Callable[[Path], Any]
Rows = Callable[[Path], list[dict[str, Any]]]
POISON = b"kills its process"
SLEEPER = b"never comes to an end"
HANGS = "hook/sitecustomize.py.hangs"  # is there when the sleeper sleeps
HOOK = f"""
import os, signal, time
import texneg.datasets.decode as module
original = module.decode
def decode(data, **options):
    if {POISON!r} in data:
        os.kill(os.getpid(), signal.SIGKILL)
    if {SLEEPER!r} in data:
        open(__file__ + ".hangs", "w").close()
        time.sleep(600)
    return original(data, **options)
module.decode = decode
"""


def config(src: Path, dst: Path, **options: Any) -> SynthConfig:
    return SynthConfig.flat(str(src), str(dst), **{"size": 32, "exemplar_size": 24, **options})


class Answer(OSError):
    """An error of a store's client library."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class Throttled(Exception):
    """An error of botocore."""

    def __init__(self) -> None:
        self.response = {"ResponseMetadata": {"HTTPStatusCode": 503}}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.EIO, "I/O error"), True),
        (OSError(errno.ESTALE, "stale handle"), True),
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (Answer(500), True),
        (Answer(429), True),
        (Answer(403), False),
        (Throttled(), True),
        (OSError(errno.ENOSPC, "full"), False),
        (OSError(errno.EACCES, "not yours"), False),
        (FileNotFoundError(), False),
        (SourceChanged(errno.ESTALE, "changed"), False),
        (ValueError(), False),
    ],
)
def test_which_errors_are_worth_another_try(error: Exception, expected: bool) -> None:
    assert is_transient(error) == expected
    wrapped = OSError("the store refused")
    wrapped.__cause__ = error
    assert is_transient(wrapped) == (expected and isinstance(error, Answer | Throttled))


def test_another_try_comes_after_1_4_and_16_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("texneg.datasets.storage.retries.time", SimpleNamespace(sleep=slept.append))
    outcomes = iter([OSError(errno.EIO, "one"), TimeoutError(), ConnectionError()])

    def call() -> str:
        if error := next(outcomes, None):
            raise error
        return "read"

    assert with_retries(call) == "read"
    assert slept == [1, 4, 16]

    def never() -> str:
        raise OSError(errno.EIO, "for good")

    with pytest.raises(OSError, match="for good"):
        with_retries(never)
    assert slept == [1, 4, 16] * 2


def test_a_run_outlasts_hiccups_of_input_and_output(
    photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("texneg.datasets.storage.retries.time", SimpleNamespace(sleep=slept.append))
    expected = {path.name: path.read_bytes() for path in run(photos, "whole").rglob("*.webp")}

    def often(function: Callable[..., Any], every: int) -> Callable[..., Any]:
        calls = iter(range(10**6))

        def call(*args: Any, **options: Any) -> Any:
            if next(calls) % every == 0:
                raise OSError(errno.EIO, "I/O error", "/nfs")
            return function(*args, **options)

        return call

    monkeypatch.setattr(part, "_read", often(part._read, 5))
    monkeypatch.setattr(run_task, "write_bytes", often(run_task.write_bytes, 3))
    dst = run(photos, "shaken", part_size=6)
    assert {path.name: path.read_bytes() for path in dst.rglob("*.webp")} == expected
    assert slept
    assert set(slept) <= {1.0, 4.0}


@pytest.fixture
def hook(startup: Callable[[str], None]) -> None:
    """Make every Python process started from now on die of one image and hang over another."""
    startup(HOOK)


@pytest.fixture
def poisoned(photos: Path, tmp_path: Path) -> Path:
    """The photographs, and one that kills whoever decodes it."""
    copy = Path(shutil.copytree(photos, tmp_path / "poisoned"))
    (copy / "bee/bee.0035.JPEG").write_bytes((copy / "bee/bee.003.JPEG").read_bytes() + POISON)
    return copy


def begin(settings: SynthConfig) -> PlannedRun:
    """The run of a command, before its first task."""
    return open_run(settings, specify(settings, settings.compute))


def first_task(settings: SynthConfig) -> Task:
    run = begin(settings)
    task = Task.of(run, run.plan.shards[0], 0)
    return replace(task, parts=1, part_size=task.shard.n, isolated=True)


def test_images_that_kill_or_hang_are_named_and_their_neighbours_made(
    poisoned: Path, tmp_path: Path, hook: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Impatient(threading.Timer):
        """Waits for all images but the tenth, however slow they are."""

        def run(self) -> None:
            while not self.finished.wait(0.01):
                if self.interval == sandbox.IMAGE_S and rows == 9:
                    self.function()
                    return

    def add(whole: PartResult, made: PartResult) -> None:
        nonlocal rows
        original(whole, made)
        rows = len(whole.rows)

    rows, original = 0, PartResult.add
    monkeypatch.setattr(PartResult, "add", add)
    monkeypatch.setattr(sandbox, "Timer", Impatient)
    (poisoned / "cow/cow.0015.JPEG").write_bytes((poisoned / "cow/cow.001.JPEG").read_bytes() + SLEEPER)
    one = first_task(config(poisoned, tmp_path / "out"))
    result = sandbox.make_part_isolated(one, 10, 22)
    bad = {row.key: (row.status, row.error) for row in result.rows if not row.ok}
    assert bad == {
        "bee/bee.0035": ("worker_killed", "its process ended with signal 9"),
        "cow/cow.0015": ("timeout", "nothing came of it within 60 s"),
    }
    assert [row.index for row in result.rows] == list(range(10, 22))
    assert (len(result.rows), len(result.textures)) == (12, 10)
    assert result.textures[:2] == make_part(one, 10, 12).textures


def test_an_image_that_needs_all_memory_is_named(
    photos: Path, tmp_path: Path, startup: Callable[[str], None]
) -> None:
    one = first_task(config(photos, tmp_path / "out"))
    startup(HOOK.replace("time.sleep(600)", "bytearray(64 << 30)").replace(repr(SLEEPER), "b''"))
    [row] = sandbox.make_part_isolated(one, 0, 1).rows
    assert row.status == "worker_killed"
    assert row.error == "its process ended with exit status 1"


def test_memory_that_ran_out_once_loses_no_image(
    photos: Path, run: Run, tmp_path: Path, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **options: Any) -> Any:
        monkeypatch.undo()
        raise MemoryError

    expected = state(run(photos, "expected"))
    monkeypatch.setattr("PIL.Image.open", fail)
    assert state(run(photos)) == expected


def test_a_process_that_hangs_dies_with_its_worker(photos: Path, tmp_path: Path, hook: None) -> None:
    copy = Path(shutil.copytree(photos, tmp_path / "copy"))
    (copy / "ant/ant.000.JPEG").write_bytes((copy / "ant/ant.000.JPEG").read_bytes() + SLEEPER)
    one = pickle.dumps(first_task(config(copy, tmp_path / "out")))
    script = "import pickle, sys; from texneg.synth.task.sandbox import make_part_isolated as make;"
    script += "make(pickle.load(sys.stdin.buffer), 0, 1)"
    worker = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE)
    assert worker.stdin is not None
    worker.stdin.write(one)
    worker.stdin.close()
    wait_for((tmp_path / HANGS).exists)
    [child] = psutil.Process(worker.pid).children()
    worker.kill()
    worker.wait()
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_an_input_that_changed_ends_the_part(photos: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(photos, tmp_path / "copy"))
    one = first_task(config(copy, tmp_path / "out"))
    (copy / "ant/ant.001.JPEG").write_bytes(b"other")
    with pytest.raises(SourceChanged):
        sandbox.make_part_isolated(one, 0, 3)


def test_a_fault_of_the_program_ends_the_part(photos: Path, tmp_path: Path) -> None:
    one = first_task(config(photos, tmp_path / "out"))
    broken = replace(one, settings=replace(one.settings, encoding="nonsense"))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="nonsense"):
        sandbox.make_part_isolated(broken, 0, 3)


def test_a_poison_image_costs_one_row(
    poisoned: Path, photos: Path, run: Run, tmp_path: Path, hook: None, manifest: Rows
) -> None:
    dst = tmp_path / "out"
    assert synth(config(poisoned, dst, workers=2, threads_per_worker=1, part_size=7)) == 0
    assert {row["key"]: row["status"] for row in manifest(dst) if row["status"] != "ok"} == {
        "bee/bee.0035": "worker_killed"
    }
    expected = {path.name: path.read_bytes() for path in run(photos, "whole").rglob("*.webp")}
    assert {path.name: path.read_bytes() for path in dst.rglob("*.webp")} == expected


def test_silence_counts_from_ten_times_the_usual_task() -> None:
    now = 0.0
    watch = StallWatch(clock=lambda: now)
    now = 599
    assert not watch.stalled()
    now = 601
    assert watch.stalled()
    for _ in range(3):
        watch.reset(100)
    now += 999
    assert not watch.stalled()
    now += 2
    assert watch.stalled()
    watch.reset()
    assert not watch.stalled()


def test_the_first_task_may_take_as_long_as_its_images() -> None:
    now = 0.0
    watch = StallWatch(1000, clock=lambda: now)
    now = 2999
    assert not watch.stalled()
    now = 3001
    assert watch.stalled()
    watch.reset(20)
    now += 601
    assert watch.stalled()


def test_a_lost_worker_is_not_a_retry(photos: Path, tmp_path: Path) -> None:
    queue = queue_of(config(photos, tmp_path / "out", part_size=24))
    task = queue.tasks.popleft()
    for error in (WorkerLost("dead"), OSError("slow"), WorkerLost("dead")):
        queue.fail(task, error, retries=2)
        task = queue.tasks.popleft()
        assert task.isolated
    queue.fail(task, OSError("slow"), retries=2)
    assert not queue.tasks
    assert queue.failed == {"all/000/000000": "OSError: slow"}


def queue_of(settings: SynthConfig) -> TaskQueue:
    """The task queue of a run, before its first task."""
    run = begin(settings)
    queue = TaskQueue(run, run.ledger.metrics)
    queue.resume()
    return queue


@pytest.fixture
def hung(photos: Path, tmp_path: Path) -> Iterator[tuple[Any, str, TaskQueue]]:
    """A cluster of two processes, the address of one that is stopped, and tasks for both."""
    settings = config(photos, tmp_path / "out", workers=2, threads_per_worker=1, part_size=4)
    queue = queue_of(settings)
    with connect(settings.compute) as client:
        client.wait_for_workers(2)
        address, pid = next(iter(client.run(os.getpid).items()))
        os.kill(pid, signal.SIGSTOP)
        yield client, address, queue


def test_a_worker_that_hangs_is_replaced(
    hung: tuple[Any, str, TaskQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, stopped, queue = hung

    class Watch(StallWatch):
        """Loses its patience when only the worker that is stopped has anything to do."""

        def stalled(self) -> bool:
            return [address for address, keys in client.processing().items() if keys] == [stopped]

    printed: list[str] = []
    monkeypatch.setattr("texneg.synth.driver.loop.info", printed.append)
    monkeypatch.setattr("texneg.synth.executors.dask.info", printed.append)
    executor, stop = DaskExecutor(client, "run"), StopRequests()
    verdict = run_tasks(queue, executor, Policy(), stop=stop, progress=Progress(24), watch=Watch())
    assert verdict == "complete"
    assert queue.statuses == {"ok": 24}
    assert any("nothing finished for" in line for line in printed)
    assert any("has all/000/000000." in line for line in printed)
    wait_for(lambda: len(client.nthreads()) == 2)


class Deserted(SyncExecutor):
    """A cluster without workers."""

    def capacity(self) -> int:
        return 0

    def completed(self, timeout: float) -> list[Any]:
        return []


def test_workers_of_this_machine_that_do_not_come_back_end_the_run(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("texneg.synth.driver.loop.GONE_S", 0.0)
    queue, stop = queue_of(config(photos, tmp_path / "out")), StopRequests()
    with pytest.raises(OSError, match="none came back, finished parts are safe"):
        run_tasks(queue, Deserted(), Policy(), stop=stop, progress=Progress(24), own_workers=True)


def test_a_drain_makes_nothing_new(photos: Path, tmp_path: Path) -> None:
    queue, stop = queue_of(config(photos, tmp_path / "out", part_size=3)), StopRequests()

    class Pressed(SyncExecutor):
        """Ctrl-C in the middle of the second task."""

        def completed(self, timeout: float) -> list[Any]:
            stop.count = int(queue.images > 0)
            return super().completed(timeout)

    verdict = run_tasks(queue, Pressed(), Policy(), stop=stop, progress=Progress(24))
    assert (verdict, queue.images) == ("interrupted", 6)


def test_ctrl_c_again_leaves_a_drain_for_another_reason(photos: Path, tmp_path: Path) -> None:
    queue, stop = queue_of(config(photos, tmp_path / "out", part_size=3)), StopRequests()

    class Busy(SyncExecutor):
        """An executor whose tasks never end."""

        def withdraw(self) -> int:
            return 0

        def completed(self, timeout: float) -> list[Any]:
            stop.count += 1
            return []

    executor = Busy()

    def heartbeat() -> None:
        queue.storage = "full" if executor._queue else ""

    verdict = run_tasks(queue, executor, Policy(), stop=stop, progress=Progress(24), heartbeat=heartbeat)
    assert verdict == "storage"
    assert stop.count == 2


def test_a_second_ctrl_c_interrupts_a_task_of_this_process(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, calls = part.make_outputs, iter(range(2))

    def press(*args: Any, **options: Any) -> Any:
        if next(calls) == 0:
            return whole(*args, **options)
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
        pytest.fail("it went on")

    monkeypatch.setattr(part, "make_outputs", press)
    settings = config(photos, tmp_path / "out", executor="sync", part_size=6)
    assert synth(settings) == 130
    assert f"6 of 24 images are done; resume: {settings.command()}" in capsys.readouterr().err
    ledger = tmp_path / "out.texneg"
    assert not (ledger / "lock").exists()
    [call] = json.loads((ledger / "stats.json").read_bytes())["calls"]
    assert call["images"] == 6
    assert call["seconds"] > 0


def test_closed_output_does_not_end_a_run(photos: Path, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    words = config(photos, tmp_path / "out", executor="sync").command().split()
    done = subprocess.run([sys.executable, "-m", *words], check=False, stdout=write, stderr=write)
    os.close(write)
    assert done.returncode == 0
    assert (tmp_path / "out.texneg" / "SHA256SUMS").exists()


def test_a_result_that_died_with_its_worker_is_waited_for() -> None:
    class Lost:
        """A future that is done, and then is not done for a while."""

        status, results = "finished", iter([TimeoutError(), {"n": 1}])

        def result(self, timeout: float) -> Any:
            if isinstance(found := next(self.results), Exception):
                raise found
            return found

        def add_done_callback(self, call: Callable[[Any], None]) -> None:
            call(self)

        def release(self) -> None:
            pass

    class Client:
        """A client that knows one future."""

        scheduler = SimpleNamespace(address="tcp://127.0.0.1:1")

        def submit(self, *args: Any, **options: Any) -> Lost:
            return Lost()

    executor = DaskExecutor(Client(), "run")
    task: Any = SimpleNamespace(name="a")
    executor.submit(task)
    assert executor.completed(0.0) == []
    assert executor.completed(0.0) == [(task, {"n": 1})]


def test_a_shard_that_another_finishes_meanwhile_is_done(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = replace(first_task(config(photos, tmp_path / "out")), isolated=False)

    def overtaken(*args: Any, **options: Any) -> Any:
        monkeypatch.undo()
        run_task.run_task(one)
        raise FileNotFoundError(errno.ENOENT, "swept by who finished the run", "temporary")

    monkeypatch.setattr(run_task, "write_many", overtaken)
    assert isinstance(run_task.run_task(one), Commit)


def test_workers_of_a_cluster_are_waited_for(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("GONE_S", "ALONE_S"):
        monkeypatch.setattr(f"texneg.synth.driver.loop.{limit}", 0.0)
    printed: list[str] = []
    queue, stop = queue_of(config(photos, tmp_path / "out")), StopRequests()
    monkeypatch.setattr("texneg.synth.driver.loop.info", printed.append)
    beats = iter([0, 0, 0, 2])

    def heartbeat() -> None:
        stop.count = next(beats)

    verdict = run_tasks(queue, Deserted(), Policy(), stop=stop, progress=Progress(24), heartbeat=heartbeat)
    assert verdict == "interrupted"
    assert printed == ["there are no workers; waiting for some, Ctrl-C ends the run"]


def test_other_versions_are_named() -> None:
    own = versions()
    assert compare_versions(own, "worker a", strict=True) == ""
    assert compare_versions({}, "worker a", strict=True) == ""
    line = compare_versions({**own, "numba": "0.1"}, "worker a", strict=False)
    assert line.startswith(
        f"worker a has other versions than the run began with: numba {own['numba']} (run: 0.1)"
    )
    with pytest.raises(RunFailed, match="install the same, or leave --strict-versions out"):
        compare_versions({**own, "numba": "0.1"}, "worker a", strict=True)


def test_a_resumed_run_names_other_versions(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = config(photos, tmp_path / "out", executor="sync")
    assert synth(settings) == 0
    original = importlib.metadata.version
    old = lambda name: "1.0" if name == "pillow" else original(name)  # noqa: E731
    monkeypatch.setattr("texneg.synth.ledger.record.version", old)
    assert synth(settings) == 0
    assert "this process has other versions than the run began with: pillow 1.0" in capsys.readouterr().err
    with pytest.raises(RunFailed, match=r"pillow 1\.0"):
        synth(settings.with_flags(strict_versions=True))


def test_workers_that_do_not_fit_are_named(photos: Path, tmp_path: Path) -> None:
    run = begin(config(photos, tmp_path / "out"))
    heard: list[Any] = []
    with connect(Compute(workers=1)) as client:
        other = Compute(scheduler=client.scheduler.address)
        old = WorkerSetup(run.ledger, {**run.versions, "numpy": "1.0"})
        with connect(other, old, heard.append):
            wait_for(lambda: bool(heard))
        assert "numpy" in heard[0].text
        assert not heard[0].fatal
        with (
            pytest.raises(RunFailed, match=r"worker tcp://127.* has other versions"),
            connect(other, WorkerSetup(run.ledger, {"numpy": "1.0"}, strict=True)),
        ):
            pass
        elsewhere = replace(run.ledger, root=tmp_path / "unseen")
        with (
            pytest.raises(RunFailed, match=r"does not see this run in .*unseen: SRC, DST and the ledger"),
            connect(other, WorkerSetup(elsewhere)),
        ):
            pass
        heard.clear()
        with connect(other, WorkerSetup(run.ledger, run.versions), heard.append) as second:
            shutil.rmtree(run.ledger.root)  # what a worker that comes later finds
            client.restart_workers(list(client.nthreads()), raise_for_error=False)
            executor = DaskExecutor(second, "run")
            wait_for(lambda: bool(heard))
            executor._warnings.put(heard[0])
            with pytest.raises(RunFailed, match="does not see this run"):
                executor.completed(0)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_task_left_behind_writes_nothing_into_the_run_that_followed(
    photos: Path, run: Run, tmp_path: Path, state: State
) -> None:
    left = replace(first_task(config(photos, tmp_path / "out", seed=1)), isolated=False)
    before = state(run(photos, seed=2, overwrite=True))
    with pytest.raises(RuntimeError, match="no longer holds the run that this task is of"):
        run_task.run_task(left)
    assert state(tmp_path / "out") == before


def test_done_work_is_not_made_again_in_isolation(photos: Path, tmp_path: Path) -> None:
    one = first_task(config(photos, tmp_path / "out"))
    assert isinstance(run_task.run_task(replace(one, isolated=False)), Commit)
    assert isinstance(run_task.run_task(one), Commit)
