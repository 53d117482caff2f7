"""A whole short training: images a second of the trainer's own loop, its wait for data, shares of its parts.

First the loop as it is, where loading overlaps with training; then the same steps part by part, where on a
GPU each part waits for the device, so that their shares are those of the work and not of a run.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from texneg.bench.common.phases import WAIT, Phases, train_step, watch, watch_loading
from texneg.bench.common.ratios import Row, report
from texneg.bench.common.results import RatioConfig
from texneg.bench.gpu import device_clock
from texneg.datasets.toy.embedded import EmbeddedConfig, write_embedded
from texneg.errors import InputError
from texneg.train.assemble import assemble
from texneg.train.config import PretrainConfig
from texneg.train.data.loader import Batch
from texneg.train.data.splits import open_train
from texneg.train.data.workers import load
from texneg.train.device import pick_device
from texneg.train.engine.run import Training
from texneg.train.engine.step import advance, move
from texneg.train.flags import change
from texneg.train.recipes import find_recipe

RATE, SHARE, WAITED = "images a second", "share", "share of waiting for data"
WHOLE = "the trainer's loop"


@dataclass(frozen=True)
class E2EConfig(RatioConfig):
    """Train a few steps of a recipe as `texneg pretrain` does."""

    recipe: str = "demo"
    """a recipe of texneg pretrain"""
    data: Path | None = None
    """training images; none: the embedded data set"""
    steps: int = 40
    """steps of each of the two passes, after some that warm up"""
    workers: int = 0
    """loader processes"""
    threads: int = 1
    """CPU threads of torch"""


def bench(config: E2EConfig) -> int:
    """Train on the GPU, or where there is none on the CPU."""
    if min(config.steps, config.threads) < 1 or config.workers < 0:
        raise InputError(
            f"--steps {config.steps} --threads {config.threads} --workers {config.workers}: at least 1, 1, 0"
        )
    torch.set_num_threads(config.threads)
    run = change(find_recipe(config.recipe), workers=config.workers)
    with tempfile.TemporaryDirectory() as folder:
        if config.data is None:
            write_embedded(Path(folder), EmbeddedConfig())
        run = change(run, data=str(config.data or Path(folder) / "train"), out=str(Path(folder) / "run"))
        rows = measure(config.recipe, run, steps=10 if config.quick else config.steps)
    return report(config, rows, ())


def measure(case: str, config: PretrainConfig, *, steps: int) -> list[Row]:
    """Train a run for two passes of so many steps; nothing is written.

    Args:
        case: its name in the table.
        config: the run, with --data.
        steps: of each pass, after a fifth as many and at least five that warm up.
    """
    config.check()
    device = torch.device(pick_device(config.run.device))
    warm = max(5, steps // 5)
    total = warm + 2 * steps
    train_set = open_train(config.run.data)
    epochs = -(-total // max(1, len(train_set) // config.optimisation.batch))
    config = replace(config, optimisation=replace(config.optimisation, epochs=epochs))
    training = assemble(config, Path(config.run.out), train_set, None, device, lambda _: None)
    training.method.train()
    case = f"{case}, {config.views.image_size} px, batch {config.optimisation.batch}, {device.type}"
    rate, waited = run_loop(training, range(warm), range(warm, warm + steps))
    whole = Row(case, WHOLE, 1e6 / rate, {}, {RATE: rate, WAITED: waited})
    shares = run_parts(training, range(warm + steps, total))
    parts = [Row(f"{case}, part by part", name, None, {}, {SHARE: share}) for name, share in shares.items()]
    return [whole, *parts]


def run_loop(training: Training, warm: range, steps: range) -> tuple[float, float]:
    """Train with the loop's own step; returns images a second and the share of waiting for batches."""
    waited = start = 0.0
    before = time.perf_counter()
    for batch in load_steps(training, range(warm.start, steps.stop)):
        now = time.perf_counter()
        if training.step == steps.start:
            wait_for(training.device)
            start, waited = time.perf_counter(), 0.0
        else:
            waited += now - before
        advance(training, training.method, batch)
        before = time.perf_counter()
    wait_for(training.device)
    seconds = time.perf_counter() - start
    return len(steps) * training.optimisation.batch / seconds, waited / seconds


def run_parts(training: Training, steps: range) -> dict[str, float]:
    """Train step by step and part by part; returns the share of each part."""
    method = training.method
    method.draws.kept = False
    clock = time.perf_counter if training.device.type == "cpu" else device_clock(training.device)
    phases = Phases(clock)
    with watch(method, phases), watch_loading(phases):
        for batch in load_steps(training, steps):
            phases.charge(WAIT)
            moved = move(batch, training.device)
            phases.charge(WAIT)
            complete = training.batches.complete(moved)
            train_step(method, training.objective, training.optimiser, complete, phases)
    return phases.shares()


def load_steps(training: Training, steps: range) -> Iterator[Batch]:
    """Load batches as the loop does."""
    run, on_gpu = training.run, training.device.type == "cuda"
    return load(
        training.batches,
        steps,
        workers=run.workers,
        pin=on_gpu,
        patience=run.loader_timeout,
        stop_waiting=lambda _: False,
    )


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
