"""Means of what a step reports, kept on the device between two lines of `metrics.jsonl`."""

import json
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from texneg.datasets.storage.atomic import write_bytes
from texneg.datasets.storage.json_files import to_json
from texneg.train.networks.batch_norm import processes


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
        """Means over steps and processes since the last reading, and start anew."""
        if not self.count:
            return {}
        names = list(self.sums)
        means = over_processes(torch.stack([self.sums[name] for name in names]) / self.count)
        self.sums, self.count = {}, 0
        return dict(zip(names, means.tolist(), strict=True))

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps; the mean over processes, so that each can go on from it."""
        return {"sums": {name: over_processes(x) for name, x in self.sums.items()}, "count": self.count}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """Put `state` back."""
        self.sums = {name: value.to(device) for name, value in state["sums"].items()}
        self.count = state["count"]


def over_processes(x: Tensor) -> Tensor:
    """Mean of a tensor over all processes, each of which calls this."""
    if processes() == 1:
        return x
    total = x.clone()
    dist.all_reduce(total)
    return total / processes()


def forget_after(path: Path, step: int) -> None:
    """Drop the lines of steps after `step`, which a resumed run writes again."""
    if not path.is_file():
        return
    lines = [line for text in path.read_text().splitlines() if (line := parsed(text)) is not None]
    write_bytes(path, b"".join(to_json(line, indent=None) for line in lines if line["step"] <= step))


def parsed(text: str) -> dict[str, Any] | None:
    """A line of metrics; None for one that a kill cut short."""
    try:
        line: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError:
        return None
    return line
