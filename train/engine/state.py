"""The state of a training run: all that a step needs and changes, and how it goes to disk and back."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

from texneg.train.config import PretrainConfig
from texneg.train.data.loader import Batches
from texneg.train.engine import checkpoint
from texneg.train.engine.metrics import Meter, forget_after
from texneg.train.evaluate.online_knn import OnlineKnn
from texneg.train.methods.byol import BYOL
from texneg.train.methods.moco import MoCo
from texneg.train.networks.batch_norm import rank
from texneg.train.networks.encoder import FORMAT, packed

METRICS = "metrics.jsonl"


@dataclass
class Training:
    """A run in memory."""

    config: PretrainConfig
    folder: Path
    batches: Batches
    method: MoCo | BYOL
    optimizer: Optimizer
    device: torch.device
    data: str
    """Fingerprint of the images."""
    textures: str
    """Fingerprint of their textures; empty without."""
    monitor: OnlineKnn | None
    """kNN, in the first process."""
    log: Callable[[str], None]
    meter: Meter = field(default_factory=Meter)
    step: int = 0
    """Steps done."""
    seconds: float = 0.0
    """Spent on them, over all calls."""

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch."""
        return self.batches.steps_per_epoch

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.config.epochs * self.epoch_steps

    @property
    def info(self) -> dict[str, Any]:
        """What an encoder says about its making."""
        names = (
            "recipe",
            "method",
            "negatives",
            "mixture",
            "alpha",
            "count",
            "patch",
            "arch",
            "seed",
            "epochs",
        )
        views = ("image_size", "crop", "jitter", "grey", "blur")
        settings = {name: getattr(self.config, name) for name in (*names, *views)}
        return {**settings, "step": self.step, "steps": self.total, "data": self.data}

    def packed_encoder(self) -> dict[str, Any]:
        """The content of `encoder.pt` at this step."""
        return packed(self.method.encoder, image_size=self.config.image_size, info=self.info)

    def save(self) -> None:
        """Write the checkpoint, from the first process alone; the encoder in it shares tensors."""
        meter = self.meter.state()
        if rank() > 0:
            return
        content = {
            "format": FORMAT,
            "config": asdict(self.config),
            "data": self.data,
            "textures": self.textures,
            "step": self.step,
            "seconds": self.seconds,
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "meter": meter,
            "encoder": self.packed_encoder(),
        }
        checkpoint.write_torch(self.folder / checkpoint.CHECKPOINT, content)

    def resume(self) -> None:
        """Go back to the folder's checkpoint, if there is one.

        Raises:
            InputError: a checkpoint of other settings, other data or another architecture.
        """
        path = self.folder / checkpoint.CHECKPOINT
        if path.is_file():
            saved = checkpoint.load(path, self.config, data=self.data, textures=self.textures)
            checkpoint.restore(path, saved, self.method, self.optimizer)
            self.step, self.seconds = saved["step"], saved["seconds"]
            self.meter.restore(saved["meter"], self.device)
        if rank() == 0:
            with checkpoint.writing(self.folder / METRICS):
                forget_after(self.folder / METRICS, self.step)
