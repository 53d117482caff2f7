"""Metrics of steps: means kept on the device between two lines, times, and a look at the last batch."""

import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from texneg.datasets.storage.atomic import write_bytes
from texneg.datasets.storage.json_files import read_json_lines, to_json
from texneg.geometry import tolerance, uniformity
from texneg.similarity import Similarities
from texneg.train.distributed import mean_over_processes
from texneg.train.objectives import Objective


class Meter:
    """Sums of scalars since the last reading; adding to it never waits for the device."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.count = 0

    def add(self, values: dict[str, Tensor]) -> None:
        """Add one step's scalars."""
        for name, value in values.items():
            total = self.sums.get(name)
            self.sums[name] = value.double() if total is None else total + value
            self.counts[name] = self.counts.get(name, 0) + 1
        self.count += 1

    def read(self) -> dict[str, float]:
        """Return the means since the last reading over processes and the steps with a value; start anew."""
        if not self.count:
            return {}
        names = list(self.sums)
        means = mean_over_processes(torch.stack([self.sums[name] / self.counts[name] for name in names]))
        self.sums, self.counts, self.count = {}, {}, 0
        return dict(zip(names, means.tolist(), strict=True))

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint: means over processes, so that each can go on from it."""
        return {
            "sums": {name: mean_over_processes(x) for name, x in self.sums.items()},
            "counts": dict(self.counts),
            "count": self.count,
        }

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """Put `state` back."""
        self.sums = {name: value.to(device) for name, value in state["sums"].items()}
        self.count = state["count"]
        self.counts = dict(state.get("counts") or dict.fromkeys(self.sums, self.count))


class Interval:
    """Time since the last line, and the part of it that went into waiting for batches."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin a new interval."""
        self.start, self.waited, self.images = time.monotonic(), 0.0, 0

    def read(self) -> dict[str, float]:
        """Return images a second over all processes, and the share of this one's time without a batch."""
        seconds = max(time.monotonic() - self.start, 1e-9)
        return {
            "images_per_second": round(self.images / seconds, 1),
            "data_wait": round(min(self.waited / seconds, 1.0), 4),
        }


@torch.no_grad()
def describe_batch(
    s: Similarities, objective: Objective, embedded: Tensor | None, labels: Tensor | None
) -> dict[str, float]:
    """Measure the last batch, or its last part, of all processes, which waits for the device.

    Args:
        s: its similarities.
        objective: of the run.
        embedded: its queries (N, D).
        labels: of its images (N,).

    Returns:
        accuracy: share of the positives above all negatives of their query; nonsemantic_share: p_ns, where
        the loss is a softmax; uniformity and tolerance of the queries. What cannot be measured is absent.
    """
    found: dict[str, Tensor] = {}
    hardest = [cosines.amax(1) for cosines in (s.negatives, s.nonsemantic) if cosines.shape[1]]
    if hardest:
        found["accuracy"] = (s.positive > torch.stack(hardest).amax(0)).double().mean()
    share = objective.nonsemantic_share(s) if s.nonsemantic.shape[1] else None
    if share is not None:
        found["nonsemantic_share"] = share.double()
    if embedded is not None and len(embedded) > 1:
        found["uniformity"] = uniformity(embedded).double()
        if labels is not None:
            found["tolerance"] = tolerance(embedded, labels.to(embedded.device)).double()
    if not found:
        return {}
    means = mean_over_processes(torch.stack(list(found.values()))).tolist()
    return {name: value for name, value in zip(found, means, strict=True) if math.isfinite(value)}


def truncate_after(path: Path, step: int) -> None:
    """Drop the lines of steps after `step`, which a resumed run writes again, and those of no step."""
    if path.is_file():
        kept = [line for line in read_json_lines(path) if line.get("step", math.inf) <= step]
        write_bytes(path, b"".join(to_json(line, indent=None) for line in kept))
