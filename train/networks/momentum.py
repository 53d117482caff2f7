"""The momentum network: a moving average of another network's parameters."""

import torch
from torch import nn


@torch.no_grad()
def update_average(average: nn.Module, source: nn.Module, momentum: float) -> None:
    """Move to momentum * average + (1 - momentum) * source, in place.

    Parameters only: the momentum network stays in train mode and its batch norm statistics are those of its
    own passes.
    """
    torch._foreach_lerp_(list(average.parameters()), list(source.parameters()), 1 - momentum)
