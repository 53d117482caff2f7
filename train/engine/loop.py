"""The training loop: steps, lines of metrics, checkpoints."""

import math
import time
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from texneg.cli.progress import Pace, Progress
from texneg.cli.signals import catch_stop_signals
from texneg.errors import RunFailed
from texneg.similarity import Similarities
from texneg.train.data.workers import LoaderFailed, load
from texneg.train.distributed import Vote, mean_over_processes, processes, rank
from texneg.train.engine.metrics import Interval, describe_batch
from texneg.train.engine.run import Training
from texneg.train.engine.step import advance, distribute
from texneg.train.engine.writers import Writer, open_writers
from texneg.train.networks.encoder import Encoder

ALONE_S = 10.0  # without a batch, until a process leaves the others, when it is asked to stop
SLOW_S = 0.5  # a step, from which on processes wait for an answer to whether one was asked to stop


class Seen(NamedTuple):
    """The last step, for a line of metrics."""

    similarities: Similarities
    indices: Tensor


class Display(NamedTuple):
    """Bar and writers of the progress of a run; only the first process has writers."""

    pace: Pace
    interval: Interval
    writers: list[Writer]
    bar: Progress | None


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
    vote = Vote()
    with ExitStack() as stack:
        stop = stack.enter_context(catch_stop_signals())
        display = open_display(training, stack)
        stack.enter_context(training.saver)

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
            display.interval.restart()
            asked_for = time.monotonic()
            for batch in loading:
                began = time.monotonic()
                display.interval.waited += began - asked_for
                parts = advance(training, module, batch)
                training.seconds = before + time.monotonic()
                training.saver.check()
                show_step(training, display)
                if is_line_due(training):
                    write_line(training, display, Seen(parts[0], batch.indices))
                asked = vote.ask(stop.is_set(), slow=time.monotonic() - began > SLOW_S)
                stopping = asked and training.step < stop_at
                keep = training.is_due(run.keep_every)
                if stopping or keep or training.step == stop_at or training.step % run.checkpoint_every == 0:
                    require_finite(training)
                    training.save(keep=keep)
                if stopping:
                    vote.read()  # no process leaves while another still waits for its answer
                    raise KeyboardInterrupt
                asked_for = time.monotonic()
        except LoaderFailed:
            save_alone(training)
            raise
        finally:
            loading.close()  # now, and not when the last traceback is forgotten
        if training.step < stop_at:  # asked to stop while no batch came
            save_alone(training)
            raise KeyboardInterrupt
        vote.read()


def save_alone(training: Training) -> None:
    """Save between two steps; several processes would have to agree, and keep their last checkpoint."""
    if processes() == 1 and training.step:
        require_finite(training)
        training.save()


def open_display(training: Training, stack: ExitStack) -> Display:
    """Open the writers and the progress bar of a run, until the stack is closed."""
    batch, first = training.optimisation.batch, rank() == 0
    names = training.run.log_to
    writers = open_writers(names, training.folder, training.identity, training.step) if first else []
    for writer in writers:
        stack.callback(writer.close)
    bar = Progress(training.total * batch, training.step * batch) if training.bar and first else None
    if bar is not None:
        stack.enter_context(bar)
    return Display(Pace(training.total, training.step), Interval(), writers, bar)


def show_step(training: Training, display: Display) -> None:
    """Count a step in the display."""
    batch = training.optimisation.batch
    display.interval.images += batch
    display.pace.done = training.step
    if display.bar is not None:
        display.bar.advance(batch)


def is_line_due(training: Training) -> bool:
    """Return True if a line of metrics follows the step done."""
    last = training.step == training.total
    return last or training.step % training.run.log_every == 0 or training.is_due(training.run.knn_every)


def write_line(training: Training, display: Display, seen: Seen) -> None:
    """Write one line of metrics for the steps since the last one; here the host waits for the device."""
    values: dict[str, Any] = training.meter.read()
    if not math.isfinite(values["loss"]):
        raise make_divergence_error(training)
    values |= display.interval.read()
    embedded, labels = training.method.embedded, None
    if training.labels is not None and embedded is not None:
        labels = training.labels[seen.indices[-len(embedded) :]]  # of a step in parts, the last one
    values |= describe_batch(seen.similarities, training.objective, embedded, labels)
    values |= {
        "epoch": round(training.step / training.epoch_steps, 4),
        "lr": training.optimiser.param_groups[0]["lr"],
        "seconds": round(training.seconds, 3),
    }
    if training.is_due(training.run.knn_every) and training.monitor is not None and rank() == 0:
        encoder = Encoder(training.method.encoder, info=training.info)
        values["knn"] = training.monitor(encoder)
    for writer in display.writers:
        writer.write(training.step, values)
    if rank() == 0:
        if display.bar is None:
            training.log(describe_step(values, display.pace))
        else:
            display.bar.note(describe_values(values))
    display.interval.restart()


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


def describe_values(values: dict[str, Any]) -> str:
    """Write losses, cosines and the wait for data for a terminal."""
    shown = {k: values[k] for k in ("loss", "positive", "negative", "nonsemantic") if k in values}
    numbers = "  ".join(f"{k} {v:.3f}" for k, v in shown.items())
    numbers += f"  kNN {values['knn']:.1f} %" if "knn" in values else ""
    return f"{numbers}  data wait {100 * values['data_wait']:.0f} %"


def describe_step(values: dict[str, Any], pace: Pace) -> str:
    """Write one line for a log: the values, images a second, time left."""
    speed = f"{values['images_per_second']:.0f} images/s"
    return f"step {pace.done}/{pace.total}  {describe_values(values)}  {speed}  {pace.left}"
