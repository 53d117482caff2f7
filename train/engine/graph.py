"""Compiled networks, and steps on a CUDA graph: a step of a small network is bound by its thousand launches.

A graph is recorded once and launched as one. It holds what a step does with tensors alone: input, passes,
similarities, loss and gradients. The optimiser, momentum networks and queues, a few operations on all tensors
at once, follow it as usual, for they take a learning rate and a momentum from the host.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from texneg.errors import InputError
from texneg.similarity import Similarities
from texneg.train.data.loader import Batch
from texneg.train.distributed import processes
from texneg.train.methods import Method
from texneg.train.networks.backbone import Network
from texneg.train.objectives import Objective

Graphs = Literal["auto", "on", "off"]
LARGEST = 96
"""Side of views, pixels, up to which `auto` records: larger ones keep a GPU busy, and a graph its memory."""
WARM_UP = 3
"""Steps before the one that is recorded: kernels are compiled, convolutions chosen, buffers made."""


class RecordedStep:
    """Similarities, loss and gradients of a step on tensors that keep their place.

    The first steps are computed as ever. Later ones replay what was recorded: the batch and the numbers drawn
    by the host are copied to their places, and gradients, scalars and what the method leaves to `after_step`
    appear in theirs.

    Args:
        method: whose steps are recorded.
        objective: its loss.
        measure: scalars of the first similarities of a step, for the metrics.
        record: calls the function that it is given without an effect, and returns one that has it.
    """

    def __init__(
        self,
        method: Method,
        objective: Objective,
        measure: Callable[[Similarities], dict[str, Tensor]],
        record: Callable[[Callable[[], None]], Callable[[], None]] | None = None,
    ) -> None:
        self.method, self.objective, self.measure = method, objective, measure
        self.record = record or record_cuda_graph
        self.batch: Batch | None = None
        self.done = 0
        self.replay: Callable[[], None] | None = None
        self.parts: tuple[Similarities, ...] = ()
        self.values: dict[str, Tensor] = {}
        self.fresh: list[tuple[Tensor, ...]] = []

    def __call__(self, batch: Batch) -> tuple[tuple[Similarities, ...], dict[str, Tensor]]:
        """Compute the gradients of a batch; returns similarities and scalars, which the next call changes."""
        method = self.method
        method.draws.kept = True
        method.draws.renew(batch.step, batch.indices)
        self.batch = copy_batch(batch, self.batch)
        if self.done < WARM_UP:
            aside(self.compute, batch.query.device)
        else:
            if self.replay is None:
                self.replay = self.record(self.compute)
            self.replay()
        self.done += 1
        method.step, method.fresh = batch.step, list(self.fresh)
        return self.parts, self.values

    def compute(self) -> None:
        """Compute a step on the tensors in their places."""
        assert self.batch is not None
        for parameter in self.method.parameters():
            parameter.grad = None
        self.method.fresh = []
        self.parts = self.method(self.batch)
        loss = self.objective(self.parts)
        loss.backward()
        self.values = {"loss": loss.detach(), **self.measure(self.parts[0])}
        self.fresh = self.method.fresh


def copy_batch(batch: Batch, place: Batch | None) -> Batch:
    """Copy the tensors of a batch to those of another one; without one, to new tensors."""
    given = batch.query, batch.key, batch.negatives
    if place is None:
        query, key, negatives = (None if x is None else x.clone() for x in given)
    else:
        query, key, negatives = place.query, place.key, place.negatives
        for kept, x in zip((query, key, negatives), given, strict=True):
            if kept is not None and x is not None:
                kept.copy_(x, non_blocking=True)
    assert query is not None and key is not None
    return Batch(query, key, negatives, batch.indices, batch.step)


def aside(function: Callable[[], None], device: torch.device) -> None:
    """Call a function on a stream of its own, as a recording will; on the CPU there are none."""
    if device.type != "cuda":
        function()
        return
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        function()
    torch.cuda.current_stream(device).wait_stream(stream)


def record_cuda_graph(function: Callable[[], None]) -> Callable[[], None]:
    """Record the kernels that a function launches, none of which runs now."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    replay: Callable[[], None] = graph.replay
    return replay


def records(
    graphs: Graphs,
    method: Method,
    image_size: int,
    device: torch.device,
    *,
    parts: int = 1,
    steady: bool = True,
    synthetic: bool = False,
) -> bool:
    """Decide whether the steps of a run are recorded.

    Args:
        graphs: --graphs.
        method: of the run.
        image_size: side of the views, pixels.
        device: of the training.
        parts: of a step.
        steady: every step has negatives, or none has.
        synthetic: there are synthetic negatives, which are drawn on the device.

    Raises:
        InputError: `on`, where they cannot be.
    """
    obstacles = [
        reason
        for found, reason in (
            (device.type != "cuda", "a CUDA device"),
            (processes() > 1, "one process"),
            (parts > 1, "--accumulate 1"),
            (not steady, "negatives in every step"),
            (synthetic, "no synthetic negatives"),
            (not method.recordable, "a method whose steps are all alike"),
        )
        if found
    ]
    if graphs == "on" and obstacles:
        raise InputError(f"--graphs on needs {' and '.join(obstacles)}; use --graphs auto")
    return graphs == "on" or (graphs == "auto" and not obstacles and image_size <= LARGEST)


def compile_networks(method: Method) -> None:
    """Compile every network of a method at its first pass, in place; names of weights stay the same."""
    for module in method.modules():
        if isinstance(module, Network):
            module.compile()
