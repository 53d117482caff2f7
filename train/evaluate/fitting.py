"""Passes over labelled images, step by step: saved now and then, stopped in order, gone on with exactly."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from texneg.cli import console
from texneg.cli.progress import Progress
from texneg.cli.signals import catch_stop_signals
from texneg.datasets.images import ImageSet
from texneg.errors import InputError
from texneg.train.data.augmentations import Augmentation, Operators
from texneg.train.data.loader import Batch, Batches
from texneg.train.data.sources import Files
from texneg.train.data.workers import check_workers, load
from texneg.train.engine.checkpoint import write_torch
from texneg.train.networks.preprocessing import Preprocessing

SAVE_S = 300.0  # between two saves within an epoch
FORMAT = "texneg-fit-1"


@dataclass(frozen=True)
class CropFlip(Augmentation):
    """Random crops of 8 to 100 % of the area, flipped or not: the usual views of supervised training."""

    name = "crop_flip"
    colours = 0.4, 0.4, 0.4, 0.1

    crop: float = 0.08
    jitter: float = 0.0
    grey: float = 0.0
    cubic: bool = False

    def of_view(self, view: int) -> Operators:
        """Neither jitter nor blur."""
        return Operators(jitter=0, blur=0, cubic=self.cubic)


def make_batches(images: ImageSet, prepared: Preprocessing, *, batch: int, seed: int) -> Batches:
    """Make the views of every step; the last incomplete batch of an epoch is left out.

    Args:
        images: N of them, all readable.
        prepared: side and interpolation of the crops.
        batch: images a step; all N where there are fewer.
        seed: of their order, and of the crops.
    """
    views = CropFlip(prepared.image_size, cubic=prepared.interpolation == "bicubic")
    return Batches(Files(images), len(images), views, min(batch, len(images)), seed, one_view=True)


def load_batches(batches: Batches, steps: range, workers: int, *, pin: bool) -> Iterator[Batch]:
    """Load the views of these steps in loader processes."""
    check_workers(workers)
    return load(batches, steps, workers=workers, pin=pin)


class Fit(ABC):
    """Work of a known number of steps, whose state is all that the next step depends on.

    Args:
        path: of the file that keeps the state while the work is not finished.
        identity: everything that decides the result, as plain values.
        per_epoch: steps of an epoch.
        epochs: of the whole.
        batch: images a step, for the display.
    """

    def __init__(
        self, path: Path, identity: Mapping[str, Any], *, per_epoch: int, epochs: int, batch: int
    ) -> None:
        self.path, self.identity = path, dict(identity)
        self.per_epoch, self.total, self.batch = per_epoch, per_epoch * epochs, batch
        self.step = 0

    @abstractmethod
    def read(self, steps: range) -> Iterator[Any]:
        """Yield what each of these steps takes."""

    @abstractmethod
    def advance(self, taken: Any) -> None:
        """Make a step."""

    @abstractmethod
    def end_epoch(self, epoch: int) -> str:
        """Look at the result after so many epochs; return a few words for the display."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Tensors and plain values that the next step depends on."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Put the state back."""

    def save(self) -> None:
        """Write the state, atomically."""
        write_torch(
            self.path, {"format": FORMAT, "identity": self.identity, "step": self.step, "state": self.state()}
        )

    def resume(self) -> None:
        """Go on from the file, if there is one.

        Raises:
            InputError: it is of other work, or cannot be read.
        """
        if not self.path.is_file():
            return
        again = "remove it to begin anew, or give another --name"
        try:
            found = torch.load(self.path, map_location="cpu", weights_only=True)
            then, step, state = found["identity"], found["step"], found["state"]
        except Exception as error:  # torch raises a different type for each kind of damage
            raise InputError(f"{self.path} cannot be read ({type(error).__name__}); {again}") from error
        changed = [name for name in self.identity | then if self.identity.get(name) != then.get(name)]
        if changed:
            raise InputError(
                f"{self.path} was begun with other settings ({', '.join(changed)}): give those again to"
                f" finish it, {again}"
            )
        self.restore(state)
        self.step = step
        console.info(f"goes on after {step // self.per_epoch} of {self.total // self.per_epoch} epochs")

    def run(self) -> None:
        """Make the steps that are left; the file is gone when `finish` is called.

        Raises:
            KeyboardInterrupt: a signal asked to stop; the state is saved.
        """
        saved = time.monotonic()
        with (
            catch_stop_signals() as stop,
            Progress(self.total * self.batch, self.step * self.batch) as progress,
        ):
            for taken in self.read(range(self.step, self.total)):
                self.advance(taken)
                self.step += 1
                progress.advance(self.batch)
                epoch, inside = divmod(self.step, self.per_epoch)
                if not inside:
                    progress.note(self.end_epoch(epoch))
                if not inside or stop.is_set() or time.monotonic() - saved > SAVE_S:
                    self.save()
                    saved = time.monotonic()
                if stop.is_set():
                    raise KeyboardInterrupt

    def finish(self) -> None:
        """Remove the file, once the result is written."""
        self.path.unlink(missing_ok=True)
