"""From the bytes of a view to the network's input."""

import torch
from torch import Tensor, nn

from texneg.train.networks.encoder import MEAN, STD


class Normalise(nn.Module):
    """uint8 (N, S, S, 3) to float32 (N, 3, S, S), ImageNet's mean and deviation, channels last in memory."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(STD).view(3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised images."""
        return (pixels.permute(0, 3, 1, 2) - self.mean) / self.std
