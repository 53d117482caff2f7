"""Means of the scalars of steps, kept on the device between two lines of `metrics.jsonl`."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from texneg.datasets.storage.atomic import write_bytes
from texneg.datasets.storage.json_files import read_json_lines, to_json
from texneg.train.distributed import mean_over_processes


class Meter:
    """Sums of scalars since the last reading; adding to it never waits for the device."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.count = 0

    def add(self, values: dict[str, Tensor]) -> None:
        """Add one step's scalars."""
        for name, value in values.items():
            total = self.sums.get(name)
            self.sums[name] = value.double() if total is None else total + value
        self.count += 1

    def read(self) -> dict[str, float]:
        """Return the means over steps and processes since the last reading, and start anew."""
        if not self.count:
            return {}
        names = list(self.sums)
        means = mean_over_processes(torch.stack([self.sums[name] for name in names]) / self.count)
        self.sums, self.count = {}, 0
        return dict(zip(names, means.tolist(), strict=True))

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint: means over processes, so that each can go on from it."""
        return {"sums": {name: mean_over_processes(x) for name, x in self.sums.items()}, "count": self.count}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """Put `state` back."""
        self.sums = {name: value.to(device) for name, value in state["sums"].items()}
        self.count = state["count"]


def truncate_after(path: Path, step: int) -> None:
    """Drop the lines of steps after `step`, which a resumed run writes again, and those of no step."""
    if path.is_file():
        kept = [line for line in read_json_lines(path) if line.get("step", math.inf) <= step]
        write_bytes(path, b"".join(to_json(line, indent=None) for line in kept))
