"""The state of a run on disk: everything that the next step depends on, written so that a kill leaves one whole file."""

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from texneg.datasets.atomic import write_bytes
from texneg.errors import InputError
from texneg.train.config import RUN_ONLY, PretrainConfig
from texneg.train.encoder import FORMAT, read

CHECKPOINT, ENCODER = "checkpoint.pt", "encoder.pt"


def write_torch(path: Path, content: dict[str, Any]) -> None:
    """Save a dictionary of plain types and tensors under `path`, atomically."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(path, buffer.getvalue())


def save(
    path: Path,
    config: PretrainConfig,
    *,
    step: int,
    seconds: float,
    data: str,
    method: nn.Module,
    optimizer: Optimizer,
    meter: dict[str, Any],
    encoder: dict[str, Any],
) -> None:
    """Write the state after `step` steps. The encoder shares its tensors with the method, so it costs nothing."""
    content = {
        "format": FORMAT,
        "config": asdict(config),
        "data": data,
        "step": step,
        "seconds": seconds,
        "method": method.state_dict(),
        "optimizer": optimizer.state_dict(),
        "meter": meter,
        "encoder": encoder,
    }
    write_torch(path, content)


def load(
    path: Path, config: PretrainConfig, *, data: str, method: nn.Module, optimizer: Optimizer
) -> dict[str, Any]:
    """Put a saved state back; returns the rest of the file (step, seconds, meter).

    Raises:
        InputError: the state of a run with other settings, of other data or of another architecture.
    """
    saved = read(path)
    if "method" not in saved:
        raise InputError(f"{path} is not the state of a pre-training run; use another --out")
    require_same(path.parent, saved["config"], config)
    if saved["data"] != data:
        raise InputError(
            f"the images of --data are not those {path.parent} was trained on; use another --out"
        )
    try:
        method.load_state_dict(saved["method"])
        optimizer.load_state_dict(saved["optimizer"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise InputError(
            f"{path} does not fit this network ({str(error).splitlines()[0]}); use another --out"
        ) from error
    return saved


def require_same(folder: Path, saved: dict[str, Any], config: PretrainConfig) -> None:
    """Refuse to go on with other settings than the folder's own.

    Raises:
        InputError: listing each field that differs.
    """
    now, then = decisive(asdict(config)), decisive(saved)
    changed = [
        f"{k} {then.get(k)!r} -> {now.get(k)!r}" for k in sorted(now | then) if then.get(k) != now.get(k)
    ]
    if changed:
        raise InputError(
            f"{folder} was made with other settings ({', '.join(changed)}); use another --out or the same settings"
        )


def decisive(fields: dict[str, Any]) -> dict[str, Any]:
    """The settings that decide a result, as JSON has them (tuples become lists)."""
    kept: dict[str, Any] = json.loads(json.dumps({k: v for k, v in fields.items() if k not in RUN_ONLY}))
    return kept
