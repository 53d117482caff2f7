"""The training loop: steps, lines of metrics, checkpoints."""

import math
import time
from contextlib import nullcontext
from inspect import signature
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from texneg.cli.progress import Pace
from texneg.cli.signals import catch_stop_signals
from texneg.datasets.storage.json_files import append_json_line
from texneg.errors import RunFailed
from texneg.similarity import Similarities
from texneg.train.data.loader import Batch
from texneg.train.data.workers import LoaderFailed, load
from texneg.train.distributed import any_process, mean_over_processes, processes, rank
from texneg.train.engine.checkpoint import write_errors
from texneg.train.engine.optimiser import cosine_lr, limit_gradient, set_lr
from texneg.train.engine.run import METRICS, Training
from texneg.train.networks.batch_norm import share_statistics
from texneg.train.networks.encoder import Encoder

Descent: TypeAlias = tuple[tuple[Similarities, ...], dict[str, Tensor]]
"""Similarities of a backward pass, and its scalars."""
ALONE_S = 10.0  # without a batch, until a process leaves the others, when it is asked to stop


def train(training: Training) -> None:
    """Train from the present step to the end, or to --stop-after.

    Raises:
        KeyboardInterrupt: a signal asked to stop; the state is saved.
        RunFailed: the loss is not finite any more, and the last good checkpoint is kept; or no batches come.
    """
    run = training.run
    stop_at = min(training.total, training.step + (run.stop_after or training.total))
    torch.backends.cudnn.benchmark = True  # the shapes of a run never change
    module: nn.Module = training.method.train()
    if processes() > 1:
        module = distribute(module)
    steps, on_gpu = range(training.step, stop_at), training.device.type == "cuda"
    before = training.seconds - time.monotonic()
    pace = Pace(training.total, training.step)
    with catch_stop_signals() as stop:

        def stop_waiting(waited: float) -> bool:
            return stop.is_set() and (processes() == 1 or waited > ALONE_S)

        loading = load(
            training.batches,
            steps,
            workers=run.workers,
            pin=on_gpu,
            patience=run.loader_timeout,
            stop_waiting=stop_waiting,
        )
        try:
            for batch in loading:
                advance(training, module, batch)
                training.seconds = before + time.monotonic()
                measure = run.knn_every > 0 and training.step % (run.knn_every * training.epoch_steps) == 0
                line_due = training.step % run.log_every == 0 or training.step == training.total or measure
                if line_due:
                    write_line(training, measure=measure, pace=pace)
                # One process alone must not stop: several ask each other at every line.
                asked = (line_due or processes() == 1) and any_process(stop.is_set(), training.device)
                stopping = asked and training.step < stop_at
                if stopping or training.step == stop_at or training.step % run.checkpoint_every == 0:
                    require_finite(training)
                    training.save()
                if stopping:
                    raise KeyboardInterrupt
        except LoaderFailed:
            save_alone(training)
            raise
        finally:
            loading.close()  # now, and not when the last traceback is forgotten
        if training.step < stop_at:  # asked to stop while no batch came
            save_alone(training)
            raise KeyboardInterrupt


def save_alone(training: Training) -> None:
    """Save between two steps; several processes would have to agree, and keep their last checkpoint."""
    if processes() == 1 and training.step:
        require_finite(training)
        training.save()


def distribute(module: nn.Module) -> nn.Module:
    """Average gradients over processes; buffers (queue, batch norm statistics) are not broadcast."""
    known = signature(DistributedDataParallel).parameters
    # torch 2.15 renames the option and warns of the old name.
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    option: dict[str, Any] = {name: False}
    return DistributedDataParallel(module, **option)


def advance(training: Training, module: nn.Module, batch: Batch) -> tuple[Similarities, ...]:
    """Make one step; returns the similarities of its last part.

    Args:
        training: the run.
        module: its method, wrapped where there are several processes.
        batch: of this process, on the CPU.
    """
    c = training.optimisation
    warmup = round(c.warmup * training.epoch_steps)
    set_lr(training.optimiser, cosine_lr(training.step, peak=c.lr, total=training.total, warmup=warmup))
    whole = training.batches.complete(move(batch, training.device))
    if training.recorded is not None:
        parts, values = training.recorded(whole)
    else:
        training.optimiser.zero_grad(set_to_none=True)
        parts, values = (descend if c.accumulate == 1 else accumulate)(training, module, whole)
    norm = limit_gradient(training.optimiser, c.clip_norm)
    training.optimiser.step()
    training.method.after_step()
    training.meter.add({**values, "gradient_norm": norm})
    training.step += 1
    return parts


def descend(training: Training, module: nn.Module, batch: Batch, share: float = 1.0) -> Descent:
    """Add the gradient of a batch's loss, or of a share of it."""
    parts = module(batch)
    loss = training.objective(parts)
    (loss if share == 1 else share * loss).backward()
    return parts, {"loss": loss.detach(), **mean_cosines(parts[0])}


def accumulate(training: Training, module: nn.Module, batch: Batch) -> Descent:
    """Add the gradient of a batch's loss part by part; returns the last similarities, and mean scalars."""
    number = training.optimisation.accumulate
    training.method.before_step(batch, number)
    columns = ([None] * number if x is None else x.chunk(number) for x in batch[:4])
    made: list[Descent] = []
    for i, (query, key, negatives, indices) in enumerate(zip(*columns, strict=True)):
        joint = i + 1 == number or not isinstance(module, DistributedDataParallel)
        averaging = nullcontext() if joint else cast(DistributedDataParallel, module).no_sync()
        with share_statistics(training.method, i, number), averaging:
            part = Batch(query, key, negatives, indices, batch.step)
            made.append(descend(training, module, part, 1 / number))
    names = made[-1][1]
    return made[-1][0], {name: torch.stack([values[name] for _, values in made]).mean() for name in names}


def move(batch: Batch, device: torch.device) -> Batch:
    """Copy a batch to the device while the device still works on the step before."""
    if device.type == "cpu":
        return batch
    query, key = (x.to(device, non_blocking=True) for x in (batch.query, batch.key))
    negatives = None if batch.negatives is None else batch.negatives.to(device, non_blocking=True)
    return batch._replace(query=query, key=key, negatives=negatives)


def mean_cosines(s: Similarities) -> dict[str, Tensor]:
    """Mean cosine of each kind of pair that is there: positive, negative, nonsemantic."""
    kinds = {"positive": s.positive, "negative": s.negatives, "nonsemantic": s.nonsemantic}
    return {kind: cosines.detach().mean() for kind, cosines in kinds.items() if cosines.numel()}


def write_line(training: Training, *, measure: bool, pace: Pace) -> None:
    """Write one line of metrics for the steps since the last one."""
    values: dict[str, Any] = training.meter.read()
    if not math.isfinite(values["loss"]):
        raise make_divergence_error(training)
    values |= {
        "step": training.step,
        "epoch": round(training.step / training.epoch_steps, 4),
        "lr": training.optimiser.param_groups[0]["lr"],
        "seconds": round(training.seconds, 3),
    }
    if measure and training.monitor is not None and rank() == 0:
        encoder = Encoder(training.method.encoder, info=training.info)
        values["knn"] = training.monitor(encoder)
    if rank() == 0:
        with write_errors(training.folder / METRICS):
            append_json_line(training.folder / METRICS, values)
        pace.done = training.step
        training.log(describe_step(values, pace, batch=training.optimisation.batch))


def require_finite(training: Training) -> None:
    """Raise rather than save a state that is already lost."""
    loss = training.meter.sums.get("loss")
    if loss is not None and not torch.isfinite(mean_over_processes(loss)).item():
        raise make_divergence_error(training)


def make_divergence_error(training: Training) -> RunFailed:
    """Return the error of a run whose loss is not finite."""
    return RunFailed(
        f"the loss is not finite at step {training.step}; train in a new --out with a lower --lr"
        f" (now {training.optimisation.lr:g}), a longer --warmup, or --no-amp"
    )


def describe_step(values: dict[str, Any], pace: Pace, *, batch: int) -> str:
    """Write one line for the terminal: losses and cosines, images a second, time left."""
    shown = {k: values[k] for k in ("loss", "positive", "negative", "nonsemantic") if k in values}
    numbers = "  ".join(f"{k} {v:.3f}" for k, v in shown.items())
    numbers += f"  kNN {values['knn']:.1f} %" if "knn" in values else ""
    return f"step {pace.done}/{pace.total}  {numbers}  {pace.rate * batch:.0f} images/s  {pace.left}"
