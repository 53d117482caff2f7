"""Normalise uint8 views."""

import torch
from torch import Tensor, nn

from texneg.train.networks.preprocessing import MEAN, STD


def normalise(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Subtract the channels' means and divide by their deviations: (N, S, S, C) to (N, C, S, S).

    Channels stay last in memory. `mean` and `std` are (C,), in the unit of the pixels.
    """
    return (pixels.permute(0, 3, 1, 2) - mean[:, None, None]) / std[:, None, None]


class Normalise(nn.Module):
    """uint8 (N, S, S, 3) to float32 (N, 3, S, S), ImageNet's mean and deviation, channels last in memory."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(MEAN), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(STD), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalise images."""
        return normalise(pixels, self.mean, self.std)
