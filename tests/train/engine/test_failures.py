"""Failures around a run: bad images, a full disk, changed textures, signals to the whole group."""

import errno
import os
import pickle
import re
import signal
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from texneg.errors import InputError, RunFailed
from texneg.train import pretrain as verb
from texneg.train.engine import checkpoint, loop, writers
from texneg.train.flags import change
from texneg.train.pretrain import run_pretraining


def write_images(root, *, seed=0, side=24):
    """16 images of 2 classes."""
    draw = np.random.default_rng(seed)
    for i in range(16):
        path = root / f"class{i % 2}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path)
    return root


@pytest.fixture
def config(tiny, tmp_path):
    return change(tiny, data=str(write_images(tmp_path / "images")), out=str(tmp_path / "run"))


NO_MEMORY = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you"


def silent(_):
    """No progress lines."""


@pytest.mark.parametrize("changes", [{}, {"workers": 1}, {"resident": 16}, {"knn_every": 1}], ids=str)
def test_an_image_that_cannot_be_read_is_named(config, tmp_path, changes):
    image = tmp_path / "images" / "class1" / "7.png"
    image.write_bytes(image.read_bytes()[:200])
    with pytest.raises(InputError, match=r"truncated: class1/7\.\w+ of .*images.*replace this image"):
        run_pretraining(change(config, **changes), log=silent)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_vanishes_is_named(config, tmp_path, monkeypatch, workers):
    image = tmp_path / "images" / "class1" / "7.png"
    monkeypatch.setattr(verb, "train", lambda run: (image.unlink(), loop.train(run)))
    with pytest.raises(InputError, match=r"No such file.*7\.png.*replace this image"):
        run_pretraining(change(config, workers=workers), log=silent)


@pytest.mark.parametrize("file", ["checkpoint.pt", "metrics.jsonl", "encoder.pt", "config.json"])
def test_a_full_disk_ends_in_one_line_and_the_next_call_finishes(config, tmp_path, monkeypatch, file):
    before = change(config, stop_after=2)
    run_pretraining(before, log=silent)
    folder = tmp_path / "run"
    kept = (folder / "checkpoint.pt").read_bytes()

    def full(write):
        def shim(path, *arguments, **options):
            if path.name == file:
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            return write(path, *arguments, **options)

        return shim

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "write_bytes", full(checkpoint.write_bytes))
        patched.setattr(writers, "append_json_line", full(writers.append_json_line))
        patched.setattr(verb, "write_json", full(verb.write_json))
        with pytest.raises(
            RunFailed, match=rf"{file} cannot be written \(No space left on device\); .*same command"
        ):
            run_pretraining(config, log=silent)
    if file != "encoder.pt":
        assert (folder / "checkpoint.pt").read_bytes() == kept
    assert not (folder / "encoder.pt").exists()
    assert not list(folder.glob(".*tmp"))
    run_pretraining(config, log=silent)
    whole = run_pretraining(change(config, out=str(tmp_path / "whole")), log=silent)
    one, two = (torch.load(path / "encoder.pt", weights_only=True) for path in (folder, whole))
    assert all(torch.equal(one["network"][name], two["network"][name]) for name in one["network"])


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA"), MemoryError(), RuntimeError(NO_MEMORY)])
def test_exhausted_memory_names_what_to_lower(config, monkeypatch, error):
    def fail(training):
        raise error

    monkeypatch.setattr(verb, "train", fail)
    with pytest.raises(
        RunFailed, match=r"out of memory on cpu: make steps in parts \(--accumulate 2\), or use"
    ):
        run_pretraining(config, log=silent)
    error = RuntimeError("something else")
    with pytest.raises(RuntimeError, match="something else"):
        run_pretraining(config, log=silent)


def test_remade_textures_are_refused(config, tmp_path):
    textures = write_images(tmp_path / "textures", seed=1)
    arm = change(config, negatives="texture", textures=str(textures), stop_after=1)
    run_pretraining(arm, log=silent)
    write_images(textures, seed=1, side=20)
    with pytest.raises(InputError, match="--textures holds other files"):
        run_pretraining(arm, log=silent)
    write_images(textures, seed=1)
    run_pretraining(arm, log=silent)


@pytest.mark.parametrize("numbers", [[signal.SIGTERM], [signal.SIGUSR1, signal.SIGHUP, signal.SIGINT]])
def test_signals_to_the_whole_group_reach_the_trainer_alone(config, tmp_path, numbers, start_until):
    """As Ctrl-C in a terminal and a batch scheduler send them: to the loaders as well."""
    code = (
        "import pickle, sys; from texneg.train.pretrain import run_pretraining\n"
        f"config = pickle.loads({pickle.dumps(change(config, epochs=5000, workers=2))!r})\n"
        "try: run_pretraining(config, log=lambda _: None)\n"
        "except KeyboardInterrupt: sys.exit(130)"
    )
    metrics = tmp_path / "run" / "metrics.jsonl"

    def both_loaders_work():
        return metrics.is_file() and metrics.read_text().count("\n") >= 2

    run = start_until([sys.executable, "-c", code], both_loaders_work)
    for number in numbers:
        os.killpg(run.pid, number)
    _, told = run.communicate(timeout=600)
    assert (run.returncode, told) == (130, "")
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"] > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2])
def test_a_signal_while_no_batch_comes_saves_and_stops(config, tmp_path, monkeypatch, number):
    def stall(batches, steps, *, stop_waiting, **_):
        yield from (batches.make(step) for step in steps[:3])
        assert not stop_waiting(100.0)
        signal.raise_signal(number)
        assert stop_waiting(0.1)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "load", stall)
        with pytest.raises(KeyboardInterrupt):
            run_pretraining(change(config, checkpoint_every=50), log=silent)
    assert_goes_on(config, tmp_path, step=3)


def test_a_stuck_loader_ends_the_run_with_its_state_saved(config, tmp_path):
    """An image that turns into a pipe nobody writes to stands for storage that does not answer."""
    stuck = tmp_path / "images" / "class1" / "7.png"
    content = stuck.read_bytes()

    def block(text):
        if text.startswith("step 1/"):
            stuck.unlink()
            os.mkfifo(stuck)

    endless = change(config, epochs=50)
    with pytest.raises(RunFailed, match="no batch came from the loader processes within"):
        run_pretraining(change(endless, workers=1, loader_timeout=1, checkpoint_every=500), log=block)
    stuck.unlink()
    stuck.write_bytes(content)
    step = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"]
    assert step >= 1
    assert_goes_on(endless, tmp_path, step=step, steps=step + 2)


def assert_goes_on(config, tmp_path, *, step, steps=None):
    """The state of this step was saved, and what follows is that of a run that nothing stopped."""
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"] == step
    run_pretraining(change(config, stop_after=steps and steps - step), log=silent)
    run_pretraining(change(config, out=str(tmp_path / "whole"), stop_after=steps), log=silent)
    one, two = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("run", "whole"))
    assert one["step"] == two["step"] > step
    assert all(torch.equal(one["method"][name], two["method"][name]) for name in one["method"])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"eqco": 0}, "--eqco 0"),
        ({"dim": 0}, "--dim"),
        ({"hidden": 0}, "--hidden"),
        ({"layers": (1, 0, 1, 1)}, "--layers"),
        ({"lr": 0.0}, "--lr"),
        ({"lr": float("nan")}, "--lr"),
        ({"alpha": float("nan")}, "--alpha"),
        ({"temperature": float("inf")}, "--temperature"),
        ({"warmup": 3.0}, "--warmup"),
        ({"weight_decay": -1.0}, "--weight-decay"),
    ],
    ids=str,
)
def test_numbers_that_cannot_train_are_refused(tiny, wrong, message):
    with pytest.raises(InputError, match=message):
        change(tiny, data="x", **wrong).check()


@pytest.mark.parametrize(
    ("queue", "batch", "said"),
    [
        (64, 8, ""),
        (100, 8, ""),
        (128, 8, "--queue 128 > half of data set size 200: 20 % .* with --queue 64 5 %"),
        (128, 128, ""),
    ],
)
def test_a_queue_near_the_data_set_is_warned_of(tiny, queue, batch, said):
    warning = change(tiny, queue=queue, batch=batch).check_images(200)
    assert bool(warning) == bool(said)
    assert change(tiny, method="byol", batch=batch).check_images(200) == ""
    assert re.match(said, warning)


def test_a_queue_as_large_as_the_data_set_gets_a_remedy_that_works(tiny):
    for queue, batch, n in ((64, 32, 50), (200, 8, 60)):
        with pytest.raises(InputError, match=r"use --queue \d+") as found:
            change(tiny, queue=queue, batch=batch).check_images(n)
        change(tiny, queue=int(str(found.value).split()[-1]), batch=batch).check_images(n)
    with pytest.raises(InputError, match="use --queue 16 and --batch 16 at most"):
        change(tiny, queue=64, batch=32).check_images(32)
