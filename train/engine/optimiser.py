"""Optimisers of the recipes, and the learning rate as a pure function of the step."""

import math
from dataclasses import dataclass
from math import inf
from typing import Literal

from torch import nn
from torch.optim import SGD, Optimizer

from texneg.errors import InputError

MOMENTUM = 0.9
TRUST = 0.001  # LARS's eta (You, Gitman, Ginsburg, arXiv 1708.03888)


@dataclass(frozen=True)
class Optimisation:
    """Batch, epochs, optimiser and learning rate."""

    batch: int = 256
    """Images a step, over all processes."""
    epochs: int = 200
    """Passes over the images; each leaves out the last incomplete batch."""
    optimizer: Literal["sgd", "lars"] = "sgd"
    """SGD or LARS, both with momentum 0.9; LARS neither scales nor decays bias and norm."""
    lr: float = 0.03
    """Peak learning rate."""
    warmup: float = 0.0
    """Epochs of linear warm-up before the cosine."""
    weight_decay: float = 1e-4
    """Weight decay, added to the gradient."""
    amp: bool = True
    """Autocast to bfloat16 on a GPU; the loss stays in float32."""
    amp_cpu: bool = False
    """The same on a CPU, worth it where the CPU multiplies bfloat16 (avx512_bf16, AMX)."""
    resident: int | None = None
    """Keep all images in memory, the shorter side reduced to this many pixels; None: decode each time."""

    @property
    def bfloat16_on(self) -> tuple[str, ...]:
        """Types of devices on which networks run in bfloat16."""
        return ("cuda",) * self.amp + ("cpu",) * self.amp_cpu

    def check(self, world: int) -> None:
        """Refuse values outside their range.

        Raises:
            InputError: naming the flag and what it may be.
        """
        for wrong, message in (
            (self.batch < 2, f"--batch {self.batch}: at least 2 images"),
            (self.batch % world != 0, f"--batch {self.batch}: a multiple of the {world} processes"),
            (self.epochs < 1, f"--epochs {self.epochs}: at least 1"),
            (not 0 < self.lr < inf, f"--lr {self.lr}: above 0"),
            (
                not 0 <= self.warmup <= self.epochs,
                f"--warmup {self.warmup}: 0 to the {self.epochs} epochs of the run",
            ),
            (not 0 <= self.weight_decay < inf, f"--weight-decay {self.weight_decay}: 0 or more"),
            (
                self.resident is not None and self.resident < 8,
                f"--resident {self.resident}: at least 8 pixels",
            ),
        ):
            if wrong:
                raise InputError(message)


def make_optimiser(module: nn.Module, config: Optimisation) -> Optimizer:
    """Make SGD with decay on everything, as in MoCo, or LARS without decay and scaling of bias and norm."""
    trained = [p for p in module.parameters() if p.requires_grad]
    if config.optimizer == "sgd":
        return SGD(trained, lr=config.lr, momentum=MOMENTUM, weight_decay=config.weight_decay)
    from timm.optim import Lars

    # timm's LARS scales the step only of groups that have weight decay.
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return Lars(groups, lr=config.lr, momentum=MOMENTUM, trust_coeff=TRUST)


def set_lr(optimiser: Optimizer, lr: float) -> None:
    """Give every group the same learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = lr


def cosine_lr(step: int, *, peak: float, total: int, warmup: int = 0) -> float:
    """Return the learning rate: linear over `warmup` steps, then a half cosine from `peak` to 0 at `total`.

    Without warm-up it equals MoCo's schedule at the first step of each epoch; MoCo holds that for the epoch.
    """
    if step < warmup:
        return peak * step / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
