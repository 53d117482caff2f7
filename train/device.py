"""Where to compute."""

import torch

from texneg.errors import InputError


def pick_device(name: str) -> str:
    """`auto` is CUDA where there is one; a CUDA device that is not there raises `InputError`."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"--device {name}: no CUDA device is visible here; use --device cpu")
    return name
