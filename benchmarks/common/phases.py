"""Seconds of a step by phase: the passes, the loss, backward, optimiser, momentum network and queue."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from torch import Tensor, nn
from torch.optim import Optimizer

from texneg.train.data.loader import Batch, Batches
from texneg.train.methods import Method
from texneg.train.methods.momentum import MomentumKeys
from texneg.train.objectives import Objective

WAIT, VIEWS = "data wait", "decoding and views"
NEGATIVES, QUERY, KEYS, NEGATIVE_KEYS = "negatives", "queries", "keys", "keys of negatives"
LOSS, BACKWARD, OPTIMISER = "input and loss", "backward", "optimiser"
EMA, QUEUE = "momentum network", "queue"
PASSES = {"query": QUERY, "online": QUERY, "network": QUERY, "key": KEYS, "target": KEYS}
"""Phases of the passes through a method's networks."""


class Phases:
    """A stopwatch that charges the time since its last reading to a phase.

    Args:
        clock: seconds; on a CUDA device one that waits for it, so that phases overlap less than in a run.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.seconds: dict[str, float] = defaultdict(float)
        self.last = clock()

    def charge(self, phase: str) -> None:
        """Charge the time since the last call to a phase."""
        now = self.clock()
        self.seconds[phase] += now - self.last
        self.last = now

    def restart(self) -> None:
        """Forget what was charged."""
        self.seconds.clear()
        self.last = self.clock()

    def shares(self) -> dict[str, float]:
        """Return each phase's share of all."""
        total = sum(self.seconds.values())
        return {phase: seconds / total for phase, seconds in self.seconds.items()}


def train_step(
    method: Method, objective: Objective, optimiser: Optimizer, batch: Batch, phases: Phases
) -> Tensor:
    """Train a step as the trainer's loop does, and charge its parts; to be called inside `watch`."""
    loss = objective(method(batch))
    phases.charge(LOSS)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    phases.charge(BACKWARD)
    optimiser.step()
    phases.charge(OPTIMISER)
    method.after_step()
    phases.charge(EMA)
    return loss.detach()


@contextmanager
def watch_loading(phases: Phases) -> Iterator[None]:
    """Charge views, and negatives that are made with them, while this block loads in this process."""
    make, make_negatives = Batches.make, Batches.make_negatives

    def views(batches: Batches, step: int) -> Batch:
        phases.charge(WAIT)
        batch = make(batches, step)
        phases.charge(VIEWS)
        return batch

    def negatives(batches: Batches, *given: Any) -> Any:
        phases.charge(VIEWS)
        made: Any = make_negatives(batches, *given)
        phases.charge(NEGATIVES)
        return made

    with patch.multiple(Batches, make=views, make_negatives=negatives):
        yield


@contextmanager
def watch(method: Method, phases: Phases) -> Iterator[None]:
    """Charge passes through the networks of a method, and its queue, while this block runs."""
    names = {child: PASSES[name] for name, child in method.named_children() if name in PASSES}
    changed: Any = method
    queue: Any = getattr(method, "queue", None)
    phase = dict(names)

    def begin(*_: Any) -> None:
        phases.charge(LOSS)

    def end(network: nn.Module, *_: Any) -> None:
        phases.charge(phase[network])

    def embed_negatives(batch: Batch) -> Tensor | None:
        phase[changed.key] = NEGATIVE_KEYS
        try:
            return type(changed).embed_negatives(changed, batch)
        finally:
            phase[changed.key] = KEYS

    def enqueue(keys: Tensor, tags: Tensor | None = None) -> None:
        phases.charge(EMA)
        type(queue).enqueue(queue, keys, tags)
        phases.charge(QUEUE)

    handles = [network.register_forward_pre_hook(begin) for network in names]
    handles += [network.register_forward_hook(end) for network in names]
    if isinstance(method, MomentumKeys):
        changed.embed_negatives = embed_negatives
    if queue is not None:
        queue.enqueue = enqueue
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        if isinstance(method, MomentumKeys):
            del changed.embed_negatives
        if queue is not None:
            del queue.enqueue
