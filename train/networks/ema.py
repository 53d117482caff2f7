"""The momentum encoder: a moving average of another network's parameters."""

import torch
from torch import nn


@torch.no_grad()
def update(average: nn.Module, source: nn.Module, momentum: float) -> None:
    """Average = momentum * average + (1 - momentum) * source, in place.

    Parameters only: the key encoder stays in train mode and its BN statistics are those of its own passes.
    """
    torch._foreach_lerp_(list(average.parameters()), list(source.parameters()), 1 - momentum)
