"""Optimisers of the recipes: SGD and LARS."""

from timm.optim import Lars
from torch import nn
from torch.optim import SGD, Optimizer

MOMENTUM = 0.9
TRUST = 0.001  # LARS's eta (You, Gitman, Ginsburg, arXiv 1708.03888)


def make_optimizer(module: nn.Module, *, name: str, lr: float, weight_decay: float) -> Optimizer:
    """SGD with weight decay on everything, as in MoCo, or LARS without decay and scaling of bias and norm."""
    trained = [p for p in module.parameters() if p.requires_grad]
    if name == "sgd":
        return SGD(trained, lr=lr, momentum=MOMENTUM, weight_decay=weight_decay)
    # timm's LARS scales the step only of groups that have weight decay.
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return Lars(groups, lr=lr, momentum=MOMENTUM, trust_coeff=TRUST)


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """The same learning rate for every group."""
    for group in optimizer.param_groups:
        group["lr"] = lr
