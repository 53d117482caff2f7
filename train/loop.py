"""The training loop: steps, lines of metrics, checkpoints, and a stop that loses nothing."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from texneg.datasets.atomic import append_json_line
from texneg.errors import RunFailed
from texneg.train import checkpoint
from texneg.train.bn import processes, rank
from texneg.train.byol import BYOL
from texneg.train.config import PretrainConfig
from texneg.train.encoder import Encoder, packed
from texneg.train.loader import Batch, Batches, load
from texneg.train.metrics import Meter, forget_after
from texneg.train.moco import MoCo
from texneg.train.monitor import Monitor
from texneg.train.optim import set_lr
from texneg.train.schedule import cosine_lr

METRICS = "metrics.jsonl"


@dataclass
class Run:
    """All that a step needs and changes."""

    config: PretrainConfig
    folder: Path
    batches: Batches
    method: MoCo | BYOL
    optimizer: Optimizer
    device: torch.device
    data: str
    """Fingerprint of the data set."""
    monitor: Monitor | None
    log: Callable[[str], None]
    meter: Meter = field(default_factory=Meter)
    step: int = 0
    """Steps done."""
    seconds: float = 0.0
    """Spent on them, over all calls."""

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.config.epochs * self.batches.steps_per_epoch

    @property
    def info(self) -> dict[str, Any]:
        """What an encoder says about its making."""
        c = self.config
        kept = ("recipe", "method", "negatives", "alpha", "count", "arch", "seed", "epochs", "image_size")
        return {
            **{name: getattr(c, name) for name in kept},
            "step": self.step,
            "steps": self.total,
            "data": self.data,
        }

    def packed_encoder(self) -> dict[str, Any]:
        """The content of `encoder.pt` at this step."""
        return packed(self.method.encoder, image_size=self.config.image_size, info=self.info)

    def save(self) -> None:
        """Write the checkpoint, from the first process alone."""
        if rank() == 0:
            checkpoint.save(
                self.folder / checkpoint.CHECKPOINT,
                self.config,
                step=self.step,
                seconds=self.seconds,
                data=self.data,
                method=self.method,
                optimizer=self.optimizer,
                meter=self.meter.state(),
                encoder=self.packed_encoder(),
            )

    def resume(self) -> None:
        """Go back to the checkpoint, if there is one."""
        path = self.folder / checkpoint.CHECKPOINT
        if path.is_file():
            saved = checkpoint.load(
                path, self.config, data=self.data, method=self.method, optimizer=self.optimizer
            )
            self.step, self.seconds = saved["step"], saved["seconds"]
            self.meter.restore(saved["meter"], self.device)
        if rank() == 0:
            forget_after(self.folder / METRICS, self.step)


def train(run: Run) -> None:
    """Train from the run's step to its end, or to --stop-after.

    Raises:
        KeyboardInterrupt: a signal asked to stop; the state is saved.
        RunFailed: the loss is not finite any more; the last good checkpoint is kept.
    """
    c, epoch_steps = run.config, run.batches.steps_per_epoch
    stop_at = min(run.total, run.step + (c.stop_after or run.total))
    module: nn.Module = run.method.train()
    if processes() > 1:
        module = DistributedDataParallel(module, broadcast_buffers=False)
    batches = load(run.batches, range(run.step, stop_at), workers=c.workers, pin=run.device.type == "cuda")
    before = run.seconds - time.monotonic()
    pace = Pace(run.step)
    with stop_requested() as stop:
        for batch in batches:
            advance(run, module, batch)
            run.seconds = before + time.monotonic()
            measure = c.knn_every > 0 and run.step % (c.knn_every * epoch_steps) == 0
            line_due = run.step % c.log_every == 0 or run.step == run.total or measure
            if line_due:
                write_line(run, measure=measure, pace=pace)
            stopping = agreed(stop.is_set(), run.device, ask=line_due) and run.step < stop_at
            if stopping or run.step == stop_at or run.step % c.checkpoint_every == 0:
                require_finite(run)
                run.save()
            if stopping:
                raise KeyboardInterrupt


def advance(run: Run, module: nn.Module, batch: Batch) -> None:
    """One step."""
    c, epoch_steps = run.config, run.batches.steps_per_epoch
    lr = cosine_lr(run.step, peak=c.lr, total=run.total, warmup=round(c.warmup * epoch_steps))
    set_lr(run.optimizer, lr)
    loss, cosines = module(moved(batch, run.device))
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    run.optimizer.step()
    run.meter.add({"loss": loss.detach(), **cosines})
    run.step += 1


def moved(batch: Batch, device: torch.device) -> Batch:
    """The batch on the device, copied while the device still works on the step before."""
    if device.type == "cpu":
        return batch
    tensors = [None if x is None else x.to(device, non_blocking=True) for x in batch[:3]]
    return Batch(*tensors, batch.step)


def write_line(run: Run, *, measure: bool, pace: "Pace") -> None:
    """One line of metrics for the steps since the last one."""
    c = run.config
    values: dict[str, Any] = run.meter.read()
    if not math.isfinite(values["loss"]):
        raise not_finite(run)
    values |= {
        "step": run.step,
        "epoch": round(run.step / run.batches.steps_per_epoch, 4),
        "lr": run.optimizer.param_groups[0]["lr"],
        "seconds": round(run.seconds, 3),
    }
    if measure and run.monitor is not None and rank() == 0:
        values["knn"] = run.monitor.measure(
            Encoder(run.method.encoder, image_size=c.image_size, info=run.info)
        )
    if rank() == 0:
        append_json_line(run.folder / METRICS, values)
        run.log(pace.describe(values, total=run.total, batch=c.batch))


def require_finite(run: Run) -> None:
    """Raise rather than save a state that is already lost."""
    loss = run.meter.sums.get("loss")
    if loss is not None and not torch.isfinite(loss).item():
        raise not_finite(run)


def not_finite(run: Run) -> RunFailed:
    """The error of a diverged run."""
    return RunFailed(
        f"the loss is not finite at step {run.step}; train in a new --out with a lower --lr (now {run.config.lr:g}),"
        " a longer --warmup or --amp False"
    )


class Pace:
    """Images a second and time left, from the steps of this call."""

    def __init__(self, step: int) -> None:
        self.step, self.start = step, time.monotonic()

    def describe(self, values: dict[str, Any], *, total: int, batch: int) -> str:
        """One line for the terminal."""
        rate = (values["step"] - self.step) / (time.monotonic() - self.start)
        left = (total - values["step"]) / rate
        shown = {k: values[k] for k in ("loss", "positive", "negative", "nonsemantic", "knn") if k in values}
        numbers = "  ".join(f"{k} {v:.3f}" for k, v in shown.items())
        return (
            f"step {values['step']}/{total}  {numbers}  {rate * batch:.0f} images/s  {left / 60:.1f} min left"
        )


@contextmanager
def stop_requested() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; in a thread, where signals cannot be caught, nothing sets it."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    numbers = signal.SIGINT, signal.SIGTERM
    before = [signal.signal(number, lambda *_: event.set()) for number in numbers]
    try:
        yield event
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def agreed(stop: bool, device: torch.device, *, ask: bool) -> bool:
    """Whether all processes stop here: one alone must not, so with several they ask each other at every line."""
    if processes() == 1:
        return stop
    if not ask:
        return False
    wish = torch.tensor(float(stop), device=device)
    dist.all_reduce(wish)
    return bool(wish.item() > 0)
