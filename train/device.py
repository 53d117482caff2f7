"""The device to compute on."""

import re

import torch
from torch import Tensor

from texneg.errors import InputError


def pick_device(name: str) -> str:
    """Return a torch device by name; `auto` is CUDA where there is a device, else the CPU.

    Raises:
        InputError: another name, or a CUDA device that is not there.
    """
    seen = torch.cuda.device_count()
    if name == "auto":
        return "cuda" if seen else "cpu"
    if name != "cpu" and not re.fullmatch(r"cuda(:\d+)?", name):
        raise InputError(f"--device {name}: give auto, cpu, cuda or cuda:N")
    if name != "cpu" and int(name[5:] or 0) >= seen:
        raise InputError(f"--device {name}: {seen} CUDA devices are visible here; use --device cpu")
    return name


def send(x: Tensor, device: torch.device) -> Tensor:
    """Copy a small CPU tensor to the device; pinned on the way to CUDA, so that nothing waits."""
    x = x.pin_memory() if device.type == "cuda" else x
    return x.to(device, non_blocking=True)
