"""Tensors of foreign files, read without running their code."""

import re
import warnings
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from texneg.errors import InputError

SETTINGS: list[Any] = [
    Namespace,
    PosixPath,
    np.float64().__reduce__()[0],
    np.dtype,
    *map(type, map(np.dtype, ("f4", "f8", "i8"))),
]
"""Classes beside torch's own that a file may hold: command lines, numbers of NumPy."""


@dataclass(frozen=True)
class Weights:
    """The tensors of a file."""

    path: Path
    tensors: Mapping[str, Tensor]
    """by name; what the file nests is joined by dots"""
    arch: str | None = None
    """timm model, where the file names one"""
    ordered: bool = True
    """the names stand in the order in which the layers were made"""
    metadata: Mapping[str, str] | None = None
    """of a safetensors file"""


def read_weights(path: Path) -> Weights:
    """Read the tensors of a .safetensors file or of one saved by torch, without running any code of it.

    Raises:
        InputError: no such file, damage, objects other than tensors and plain settings, no tensors.
    """
    if path.suffix == ".safetensors":
        found, metadata = load_safetensors(path)
        return Weights(path, found, ordered=False, metadata=metadata)
    return collect_weights(path, load_torch(path))


def collect_weights(path: Path, saved: Any) -> Weights:
    """Collect the tensors of what a file held.

    Raises:
        InputError: there are none.
    """
    found = dict(walk_tensors(saved))
    if not found:
        raise InputError(f"{path} holds no weights (no tensor under a name); give a state dictionary")
    return Weights(path, found, saved["arch"] if isinstance(saved.get("arch"), str) else None)


def load_torch(path: Path) -> Any:
    """Load a file saved by torch; of classes only those of settings pass, which become inert records.

    Raises:
        InputError: it is damaged, or holds other objects.
    """
    try:
        with torch.serialization.safe_globals(SETTINGS), warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a different type for each kind of damage
        name = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = (
            f"it holds {name[1]}, which only code of the file could restore; save its state_dict() alone"
            if name
            else f"{type(error).__name__}; it is damaged, or no file of torch"
        )
        raise InputError(f"{path} cannot be read as weights: {reason}") from error


def load_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str] | None]:
    """Load tensors and metadata of a .safetensors file.

    Raises:
        InputError: it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} cannot be read as safetensors ({error}); it is damaged") from error


def walk_tensors(saved: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of nested dictionaries, their keys joined by dots; `state_dict` adds no name."""
    if not isinstance(saved, Mapping):
        return
    for key, value in saved.items():
        if isinstance(value, Tensor) and isinstance(key, str):
            yield prefix + key, value
        elif isinstance(key, str):
            yield from walk_tensors(value, prefix if key == "state_dict" else f"{prefix}{key}.")
