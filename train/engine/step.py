"""A step of training, whole or in parts."""

from contextlib import nullcontext
from inspect import signature
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from texneg.similarity import Similarities
from texneg.train.data.loader import Batch
from texneg.train.distributed import rank
from texneg.train.engine.optimiser import cosine_lr, limit_gradient, set_lr
from texneg.train.engine.run import Training
from texneg.train.networks.batch_norm import share_statistics

Descent: TypeAlias = tuple[tuple[Similarities, ...], dict[str, Tensor]]
"""Similarities of a backward pass, and its scalars."""


def distribute(module: nn.Module) -> nn.Module:
    """Average gradients over processes; buffers (queue, batch norm statistics) are not broadcast."""
    known = signature(DistributedDataParallel).parameters
    # torch 2.15 renames the option and warns of the old name.
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    option: dict[str, Any] = {name: False}
    return DistributedDataParallel(module, gradient_as_bucket_view=True, **option)


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
    taught = training.teaching.wants(training.step)
    whole = training.batches.complete(move(batch, training.device), negatives=taught)
    whole = whole._replace(negatives=training.teaching.config.crop(whole.negatives))
    if training.recorded is not None:
        parts, values = training.recorded(whole)
    else:
        training.optimiser.zero_grad(set_to_none=True)
        parts, values = (descend if c.accumulate == 1 else accumulate)(training, module, whole)
    norm = limit_gradient(training.optimiser, c.clip_norm)
    training.optimiser.step()
    training.method.after_step()
    training.teaching.add(training.step, values.get("nonsemantic"))
    training.meter.add({**values, "gradient_norm": norm})
    training.step += 1
    return parts


def descend(
    training: Training, module: nn.Module, batch: Batch, share: float = 1.0, number: int = 0
) -> Descent:
    """Add the gradient of a batch's loss, or of a share of it, with the part's number in its step."""
    parts = module(batch)
    loss = training.objective(parts, training.identity["seed"], training.step, rank(), number)
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
            made.append(descend(training, module, part, 1 / number, i))
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
    """Mean cosine of each kind of pair that is there: positive, negative, nonsemantic; without -inf."""
    means = {"positive": s.positive.detach().mean()}
    if s.negatives.numel():
        means["negative"] = finite_mean(s.negatives.detach())
    if s.nonsemantic.numel():
        means["nonsemantic"] = s.nonsemantic.detach().mean()
    return means


def finite_mean(values: Tensor) -> Tensor:
    """Return the mean of the finite values."""
    finite = values.isfinite()
    return values.where(finite, 0).sum() / finite.sum()
