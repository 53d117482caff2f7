"""The training loop: steps, lines of metrics, checkpoints."""

import math
import time
from inspect import signature
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from texneg.cli.console import duration
from texneg.datasets.storage.json_files import append_json_line
from texneg.errors import RunFailed
from texneg.train.data.loader import Batch, load
from texneg.train.engine.checkpoint import writing
from texneg.train.engine.metrics import over_processes
from texneg.train.engine.optimiser import set_lr
from texneg.train.engine.schedule import cosine_lr
from texneg.train.engine.signals import agreed, stop_requested
from texneg.train.engine.state import METRICS, Training
from texneg.train.networks.batch_norm import processes, rank
from texneg.train.networks.encoder import Encoder


def train(run: Training) -> None:
    """Train from the run's step to its end, or to --stop-after.

    Raises:
        KeyboardInterrupt: a signal asked to stop; the state is saved.
        RunFailed: the loss is not finite any more; the last good checkpoint is kept.
    """
    c = run.config
    stop_at = min(run.total, run.step + (c.stop_after or run.total))
    torch.backends.cudnn.benchmark = True  # the shapes of a run never change
    module: nn.Module = run.method.train()
    if processes() > 1:
        module = distributed(module)
    batches = load(run.batches, range(run.step, stop_at), workers=c.workers, pin=run.device.type == "cuda")
    before = run.seconds - time.monotonic()
    pace = Pace(run.step)
    with stop_requested() as stop:
        for batch in batches:
            advance(run, module, batch)
            run.seconds = before + time.monotonic()
            measure = c.knn_every > 0 and run.step % (c.knn_every * run.epoch_steps) == 0
            line_due = run.step % c.log_every == 0 or run.step == run.total or measure
            if line_due:
                write_line(run, measure=measure, pace=pace)
            stopping = agreed(stop.is_set(), run.device, ask=line_due) and run.step < stop_at
            if stopping or run.step == stop_at or run.step % c.checkpoint_every == 0:
                require_finite(run)
                run.save()
            if stopping:
                raise KeyboardInterrupt


def distributed(module: nn.Module) -> nn.Module:
    """The module with gradients averaged over processes; buffers (queue, BN statistics) are not broadcast."""
    known = signature(DistributedDataParallel).parameters
    # torch 2.15 renames the option and warns of the old name.
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    option: dict[str, Any] = {name: False}
    return DistributedDataParallel(module, **option)


def advance(run: Training, module: nn.Module, batch: Batch) -> None:
    """One step."""
    c = run.config
    lr = cosine_lr(run.step, peak=c.lr, total=run.total, warmup=round(c.warmup * run.epoch_steps))
    set_lr(run.optimizer, lr)
    loss, cosines = module(run.batches.complete(moved(batch, run.device)))
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    run.optimizer.step()
    run.meter.add({"loss": loss.detach(), **cosines})
    run.step += 1


def moved(batch: Batch, device: torch.device) -> Batch:
    """The batch on the device, copied while the device still works on the step before."""
    if device.type == "cpu":
        return batch
    query, key = (x.to(device, non_blocking=True) for x in (batch.query, batch.key))
    negatives = None if batch.negatives is None else batch.negatives.to(device, non_blocking=True)
    return batch._replace(query=query, key=key, negatives=negatives)


def write_line(run: Training, *, measure: bool, pace: "Pace") -> None:
    """One line of metrics for the steps since the last one."""
    c = run.config
    values: dict[str, Any] = run.meter.read()
    if not math.isfinite(values["loss"]):
        raise not_finite(run)
    values |= {
        "step": run.step,
        "epoch": round(run.step / run.epoch_steps, 4),
        "lr": run.optimizer.param_groups[0]["lr"],
        "seconds": round(run.seconds, 3),
    }
    if measure and run.monitor is not None and rank() == 0:
        values["knn"] = run.monitor.measure(
            Encoder(run.method.encoder, image_size=c.image_size, info=run.info)
        )
    if rank() == 0:
        with writing(run.folder / METRICS):
            append_json_line(run.folder / METRICS, values)
        run.log(pace.describe(values, total=run.total, batch=c.batch))


def require_finite(run: Training) -> None:
    """Raise rather than save a state that is already lost."""
    loss = run.meter.sums.get("loss")
    if loss is not None and not torch.isfinite(over_processes(loss)).item():
        raise not_finite(run)


def not_finite(run: Training) -> RunFailed:
    """The error of a diverged run."""
    return RunFailed(
        f"the loss is not finite at step {run.step}; train in a new --out with a lower --lr"
        f" (now {run.config.lr:g}), a longer --warmup, or amp off"
    )


class Pace:
    """Images a second and time left, from the steps of this call."""

    def __init__(self, step: int) -> None:
        self.step, self.start = step, time.monotonic()

    def describe(self, values: dict[str, Any], *, total: int, batch: int) -> str:
        """One line for the terminal."""
        rate = (values["step"] - self.step) / (time.monotonic() - self.start)
        shown = {k: values[k] for k in ("loss", "positive", "negative", "nonsemantic") if k in values}
        numbers = "  ".join(f"{k} {v:.3f}" for k, v in shown.items())
        numbers += f"  kNN {values['knn']:.1f} %" if "knn" in values else ""
        left = duration((total - values["step"]) / rate)
        return f"step {values['step']}/{total}  {numbers}  {rate * batch:.0f} images/s  {left} left"
