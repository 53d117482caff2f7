"""Normalise uint8 views."""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from texneg.devices import runs_triton
from texneg.train.networks.preprocessing import MEAN, STD


def normalise(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Subtract the channels' means and divide by their deviations: (N, S, S, C) to (N, C, S, S).

    Channels stay last in memory. `mean` and `std` are (C,), in the unit of the pixels.
    """
    return (pixels.permute(0, 3, 1, 2) - mean[:, None, None]) / std[:, None, None]


class Normalise(nn.Module):
    """uint8 (N, S, S, 3) to float (N, 3, S, S), ImageNet's mean and deviation, channels last in memory.

    A byte has 256 values, so the results are looked up in a table: one pass, the bits of `normalise`. Under
    autocast they are rounded to its type, which the first layer would do otherwise.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(MEAN), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(STD), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalise images."""
        kind, dtype = pixels.device.type, self.mean.dtype
        if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
            dtype = torch.get_autocast_dtype(kind)
        if kind == "cpu" and pixels.is_contiguous():
            from texneg.train.networks import look_up  # compiles

            return look_up.on_cpu(pixels, _table(self.mean.dtype, dtype, pixels.device)).permute(0, 3, 1, 2)
        if runs_triton(pixels.device) and pixels.is_contiguous():
            from texneg.train.networks import look_up_cuda  # imports Triton

            table = _table(self.mean.dtype, dtype, pixels.device)
            return look_up_cuda.on_cuda(pixels, table).permute(0, 3, 1, 2)
        return normalise(pixels, self.mean, self.std).to(dtype)


@cache
def _table(computed: torch.dtype, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(3, 256): what each byte of each channel becomes, computed in one type and rounded to another."""
    mean, std = ((255 * torch.tensor(values)).to(computed) for values in (MEAN, STD))
    values: Any = normalise(torch.arange(256).view(1, 1, 256, 1).expand(1, 1, 256, 3), mean, std)
    return values.reshape(3, 256).to(dtype).contiguous().to(device)
