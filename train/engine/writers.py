"""Receivers of the metrics of a run: a file of lines always, and those that --log-to names."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Protocol

from texneg.datasets.storage.json_files import append_json_line
from texneg.errors import InputError, RunFailed, describe_error
from texneg.train.engine.checkpoint import write_errors

METRICS = "metrics.jsonl"


class Writer(Protocol):
    """A receiver of metrics, in the first process."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write the metrics of a step."""

    def close(self) -> None:
        """Finish what was written."""


class JsonLines:
    """`metrics.jsonl`: an object a line."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / METRICS

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append a line."""
        with write_errors(self.path):
            append_json_line(self.path, {**values, "step": step})

    def close(self) -> None:
        """Do nothing: each line is written at once."""


class TensorBoard:
    """TensorBoard's files in `tensorboard/`; steps after the one that a run goes on from are hidden there."""

    name: ClassVar[str] = "tensorboard"

    def __init__(self, folder: Path, identity: Mapping[str, Any], step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.path = folder / "tensorboard"
        with write_errors(self.path):
            self.writer = SummaryWriter(str(self.path), purge_step=step + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        with write_errors(self.path):
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)
            self.writer.flush()

    def close(self) -> None:
        """Close the file."""
        with write_errors(self.path):
            self.writer.close()


class WandB:
    """A run of Weights & Biases, which goes on with its folder; heeds WANDB_PROJECT, WANDB_MODE and so on."""

    name: ClassVar[str] = "wandb"

    def __init__(self, folder: Path, identity: Mapping[str, Any], step: int) -> None:
        import wandb

        words = json.dumps([str(folder.resolve()), identity], sort_keys=True)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self.run = wandb.init(
                project=os.environ.get("WANDB_PROJECT") or "texneg",
                name=folder.name,
                id=hashlib.blake2b(words.encode(), digest_size=8).hexdigest(),
                resume="allow",
                dir=str(folder),
                config=dict(identity),
            )
        except Exception as error:  # of many types: no key, no network, no such project
            reason = describe_error(error, 200)
            raise RunFailed(
                f"--log-to wandb: no run can be opened ({reason}); log in by wandb login, set"
                " WANDB_MODE=offline, or leave it out"
            ) from error

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Log the values; wandb itself passes over steps that it has from before a resumption."""
        self.run.log(dict(values), step=step)

    def close(self) -> None:
        """Send what is left."""
        self.run.finish()


WRITERS: list[type[TensorBoard] | type[WandB]] = [TensorBoard, WandB]


def check_writers(names: Sequence[str]) -> None:
    """Refuse writers whose package is missing.

    Raises:
        InputError: naming the extra that brings it.
    """
    for name in names:
        if find_spec(name) is None:
            raise InputError(f"--log-to {name}: the package {name} is missing; pip install 'texneg[{name}]'")
    if len(set(names)) < len(names):
        raise InputError(f"--log-to {' '.join(names)}: name each once")


def open_writers(names: Sequence[str], folder: Path, identity: Mapping[str, Any], step: int) -> list[Writer]:
    """Open the writers of a run that goes on from a step; lines come first.

    Raises:
        RunFailed: one cannot be opened.
    """
    return [JsonLines(folder), *(cls(folder, identity, step) for cls in WRITERS if cls.name in names)]
