"""Optimisers, the norm of the gradient, and the learning rate as a pure function of the step."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from texneg.errors import InputError
from texneg.train.networks.backbone import Network
from texneg.train.options import later

MOMENTUM = 0.9
HIGH_FOR_ADAMW = 0.01
SHARE = "share"  # of the learning rate, in a group of parameters
TRUST = 0.001  # LARS's eta (You, Gitman, Ginsburg, arXiv 1708.03888)


@dataclass(frozen=True)
class Optimisation:
    """Batch, epochs, optimiser and learning rate."""

    batch: int = 256
    """Images a step, over all processes."""
    accumulate: int = later(1)
    """Parts that a step is made in, one after the other, for a batch that does not fit at once. With --bn
    split the step is the same; otherwise batch norm sees a part at a time."""
    epochs: int = 200
    """Passes over the images; each leaves out the last incomplete batch."""
    optimizer: Literal["sgd", "lars", "adamw"] = "sgd"
    """SGD or LARS, both with momentum 0.9, or AdamW. LARS neither scales nor decays bias and norm; AdamW does
    not decay them, nor tokens and positions of a transformer."""
    betas: tuple[float, float] = later((0.9, 0.999))
    """Decay of AdamW's averages of the gradient and of its square."""
    clip_norm: float | None = later(None)
    """Largest norm of the gradient of a step, which is scaled down to it; None: no limit."""
    lr: float = 0.03
    """Peak learning rate."""
    backbone_lr: float = later(1.0)
    """Learning rate of the backbone as a share of --lr, for a backbone that --init has brought: its head is
    new. 1: the same for both."""
    warmup: float = 0.0
    """Epochs of linear warm-up before the cosine."""
    weight_decay: float = 1e-4
    """Weight decay, added to the gradient; AdamW takes it off the weights by itself."""
    amp: bool = True
    """Autocast to bfloat16 on a GPU; the loss stays in float32."""
    amp_cpu: bool = later(False)
    """The same on a CPU, worth it where the CPU multiplies bfloat16 (avx512_bf16, AMX)."""
    resident: int | None = None
    """Reduce the shorter side of images to this many pixels, before views are made, and keep them in memory
    (or see --loader); None: views of the whole images, decoded each time."""

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
            (self.accumulate < 1, f"--accumulate {self.accumulate}: at least 1 part"),
            (
                self.batch % (max(self.accumulate, 1) * world) != 0,
                f"--accumulate {self.accumulate}: must divide the {self.batch // world} images of a process",
            ),
            (
                not all(0 <= beta < 1 for beta in self.betas),
                f"--betas {self.betas[0]} {self.betas[1]}: two numbers, 0 or more and below 1",
            ),
            (
                self.optimizer != "adamw" and self.betas != (0.9, 0.999),
                f"--betas belong to --optimizer adamw, not to {self.optimizer}; leave them out",
            ),
            (
                self.clip_norm is not None and not 0 < self.clip_norm < inf,
                f"--clip-norm {self.clip_norm}: above 0; leave it out for no limit",
            ),
            (self.epochs < 1, f"--epochs {self.epochs}: at least 1"),
            (not 0 < self.lr < inf, f"--lr {self.lr}: above 0"),
            (not 0 < self.backbone_lr < inf, f"--backbone-lr {self.backbone_lr}: a share of --lr, above 0"),
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

    def warnings(self) -> list[str]:
        """Warn of a learning rate for another optimiser."""
        if self.optimizer != "adamw" or self.lr <= HIGH_FOR_ADAMW:
            return []
        return [f"--lr {self.lr:g} with --optimizer adamw: usual are 1e-4 to 3e-3; SGD and LARS take more"]


def make_optimiser(module: nn.Module, config: Optimisation) -> Optimizer:
    """Make SGD with decay on everything, as in MoCo; or LARS or AdamW with groups, as `Optimisation` says."""
    trained = [p for p in module.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [{"params": trained, "weight_decay": config.weight_decay}]
    if config.optimizer != "sgd":
        exempt = find_undecayed(module) if config.optimizer == "adamw" else set()
        decayed, others = divide(trained, lambda p: p.ndim > 1 and p not in exempt)
        groups = [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
    if config.backbone_lr != 1:
        slowed = find_backbones(module)
        groups = [
            {**group, "params": part, SHARE: share}
            for group in groups
            for part, share in zip(
                divide(group["params"], lambda p: p not in slowed), (1.0, config.backbone_lr), strict=True
            )
        ]
    if config.optimizer == "sgd":
        return SGD(groups, lr=config.lr, momentum=MOMENTUM)
    if config.optimizer == "adamw":
        return AdamW(groups, lr=config.lr, betas=config.betas)
    from timm.optim import Lars

    # timm's LARS scales the step only of groups that have weight decay.
    return Lars(groups, lr=config.lr, momentum=MOMENTUM, trust_coeff=TRUST)


def divide(
    parameters: list[nn.Parameter], wanted: Callable[[nn.Parameter], bool]
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Divide parameters into those that are wanted and the others."""
    return [p for p in parameters if wanted(p)], [p for p in parameters if not wanted(p)]


def find_backbones(module: nn.Module) -> set[nn.Parameter]:
    """Find the parameters of the backbones of all networks of a module."""
    networks = (part for part in module.modules() if isinstance(part, Network))
    return {p for network in networks for p in network.backbone.parameters()}


def find_undecayed(module: nn.Module) -> set[nn.Parameter]:
    """Find the parameters that the parts of a module name as not to be decayed, as timm's do."""
    found: set[nn.Parameter] = set()
    for part in module.modules():
        named = getattr(part, "no_weight_decay", None)
        names = named() if callable(named) else ()
        found |= {p for name, p in part.named_parameters() if name in names}
    return found


def limit_gradient(optimiser: Optimizer, most: float | None) -> Tensor:
    """Scale the gradient of all parameters down to this norm; return the norm that it had, on its device."""
    trained = [p for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
    if most is not None:
        return nn.utils.clip_grad_norm_(trained, most)
    gradients = [p.grad for p in trained]
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))


def set_lr(optimiser: Optimizer, lr: float) -> None:
    """Give every group the learning rate, or its share of it."""
    for group in optimiser.param_groups:
        group["lr"] = lr * group.get(SHARE, 1.0)


def cosine_lr(step: int, *, peak: float, total: int, warmup: int = 0) -> float:
    """Return the learning rate: linear over `warmup` steps, then a half cosine from `peak` to 0 at `total`.

    Without warm-up it equals MoCo's schedule at the first step of each epoch; MoCo holds that for the epoch.
    """
    if step < warmup:
        return peak * step / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
