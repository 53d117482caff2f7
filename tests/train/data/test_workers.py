"""Loader processes: batches that always arrive, waiting that always ends, and limits that are named."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from torch.utils.data._utils import signal_handling

from texneg.cli.signals import STOP_SIGNALS
from texneg.errors import InputError
from texneg.train.data import workers
from texneg.train.data.augmentations import MocoV2
from texneg.train.data.loader import Batches
from texneg.train.data.workers import END_S, PREFETCH, LoaderFailed, check_workers, load
from texneg.train.negatives import Negatives, Patch

PATCH = Negatives.of(Patch(), count=2)
FULL = """
mount -t tmpfs -o size=64k tmpfs /dev/shm
exec "$@"
"""
LOAD = """
import sys
import numpy as np
from texneg.train.data.loader import Batches
from texneg.train.data.augmentations import MocoV2
from texneg.train.data.workers import load

def picture(i):
    return np.random.default_rng(i).integers(0, 256, (20, 24, 3), dtype=np.uint8)

batches = Batches(image=picture, n=64, augmentation=MocoV2(64), batch=32, seed=1)
made = list(load(batches, range(12), workers=2, pin=False))
print(sum(int(batch.query.sum()) == int(batches.make(batch.step).query.sum()) for batch in made))
"""


def picture(i):
    return np.random.default_rng(i).integers(0, 256, (20, 24, 3), dtype=np.uint8)


def batches(**changes):
    return Batches(**{"image": picture, "n": 22, "augmentation": MocoV2(16), "batch": 4, "seed": 1} | changes)


def assert_equal(a, b):
    assert a.step == b.step
    for mine, theirs in zip(a[:4], b[:4], strict=True):
        assert (mine is None and theirs is None) or torch.equal(mine, theirs)


@pytest.fixture
def loader_processes():
    """A function that lists the processes that were started since."""
    before = set(multiprocessing.active_children())
    yield lambda: sorted(set(multiprocessing.active_children()) - before, key=lambda process: process.pid)
    for process in set(multiprocessing.active_children()) - before:
        process.kill()


@pytest.mark.parametrize("changes", [{}, {"negatives": PATCH}, {"rank": 1, "world": 2}], ids=str)
def test_slots_are_used_again_and_no_batch_that_was_handed_out_changes(changes):
    b, steps = batches(**changes), range(3, 3 + 3 * (PREFETCH + 1))
    loaded = list(load(b, steps, workers=1, pin=False))
    for step, batch in zip(steps, loaded, strict=True):
        assert_equal(batch, b.make(step))
    assert not workers.SLOTS


def test_batches_need_neither_shared_memory_nor_sockets(tmp_path):
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    command = [sys.executable, "-c", LOAD]
    small = ["unshare", "-m", "sh", "-c", FULL, "sh"]
    if subprocess.run([*small, "true"], capture_output=True, check=False).returncode == 0:  # may mount
        command = [*small, *command]
    environment = {**os.environ, "TMPDIR": str(folder)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "12\n", "")


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_process_that_stops_or_dies_ends_the_waiting(loader_processes, number):
    loading = load(batches(), range(500), workers=2, pin=False, patience=0.1)
    next(loading)
    started = loader_processes()
    assert len(started) == 2
    os.kill(started[0].pid, number)
    reason = "killed, perhaps" if number == signal.SIGKILL else "no batch came .* --loader-timeout"
    with pytest.raises(LoaderFailed, match=reason) as found:
        for _ in loading:
            pass
    assert "\n" not in str(found.value)
    assert loader_processes() == []


def test_waiting_ends_when_it_is_asked_to(loader_processes):
    asked = []

    def stop_waiting(waited):
        asked.append(waited)
        return len(asked) == 2

    loading = load(batches(), range(500), workers=1, pin=False, stop_waiting=stop_waiting)
    next(loading)
    os.kill(loader_processes()[0].pid, signal.SIGSTOP)
    assert len(list(loading)) <= PREFETCH + 1
    assert len(asked) == 2
    assert asked[0] < asked[1]
    assert loader_processes() == []


def test_processes_outlive_signals_and_end_with_the_loading(loader_processes):
    b = batches()
    loading = load(b, range(60), workers=2, pin=False)
    assert_equal(next(loading), b.make(0))
    for number in STOP_SIGNALS:
        for process in loader_processes():
            os.kill(process.pid, number)
    assert [batch.step for batch in loading] == list(range(1, 60))
    assert loader_processes() == []


def test_loading_leaves_signals_as_they_were():
    before = {number: signal.getsignal(number) for number in (*STOP_SIGNALS, signal.SIGCHLD)}
    list(load(batches(), range(2), workers=1, pin=False))
    assert before == {number: signal.getsignal(number) for number in before}
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_a_death_is_found_between_steps_where_torchs_own_loaders_ran_before(loader_processes, monkeypatch):
    monkeypatch.setattr(signal_handling, "_SIGCHLD_handler_set", False)
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        list(DataLoader([1, 2], num_workers=1, multiprocessing_context="fork"))
        handler = signal.getsignal(signal.SIGCHLD)
        assert callable(handler)
        loading = load(batches(), range(500), workers=1, pin=False)
        next(loading)
        process = loader_processes()[0]
        process.kill()
        process.join(END_S)  # where the handler would raise
        with pytest.raises(LoaderFailed, match="killed, perhaps"):
            list(loading)
        assert signal.getsignal(signal.SIGCHLD) is handler
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_program_that_forgets_its_loading_ends():
    code = (
        LOAD.partition("made =")[0]
        + "loading = load(batches, range(99), workers=1, pin=False); next(loading)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_memory_that_is_not_there_is_named():
    with pytest.raises(LoaderFailed, match=r"TB for 5 batches cannot be had .*--workers, or 0"):
        next(load(batches(batch=2**38), range(2), workers=1, pin=False))


def test_few_descriptors_are_named():
    code = "from texneg.train.data.workers import check_workers; check_workers(0); check_workers(2)"
    command = ["sh", "-c", f"ulimit -n 32; exec {sys.executable} -c '{code}'"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    last = done.stderr.splitlines()[-1]
    assert "--workers 2: 40 more files cannot be open at a time (Too many open files)" in last
    assert last.endswith("load with --workers 0")


def test_semaphores_that_cannot_be_made_are_named(monkeypatch):
    class Context:
        def Lock(self):  # noqa: N802
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(workers, "get_context", lambda method: Context())
    check_workers(0)
    with pytest.raises(InputError, match=r"--workers 1: 11 semaphores .*No space left.*--shm-size"):
        check_workers(1)
