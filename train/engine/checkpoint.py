"""The state of a run on disk: everything that the next step depends on, in one file that is always whole."""

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from texneg.datasets.fingerprint import describe_change, is_same
from texneg.datasets.storage.atomic import write_bytes
from texneg.errors import InputError, RunFailed
from texneg.train.networks.encoder import load_checkpoint
from texneg.train.options import flatten

CHECKPOINT, ENCODER = "checkpoint.pt", "encoder.pt"


def write_torch(path: Path, content: dict[str, Any]) -> None:
    """Save a dictionary of plain types and tensors under `path`, atomically."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with write_errors(path):
        write_bytes(path, buffer.getvalue())


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Name the remedy where a file of a run cannot be written; what was saved before is kept.

    Raises:
        RunFailed: in place of OSError.
    """
    try:
        yield
    except OSError as error:
        raise RunFailed(
            f"{path} cannot be written ({error.strerror}); make room there, then run the same command again:"
            " it goes on from the last checkpoint"
        ) from error


def load(path: Path, identity: Mapping[str, Any], *, data: str, textures: str) -> dict[str, Any]:
    """Load the saved state of a run of this identity, with this data and these textures (their fingerprints).

    Raises:
        InputError: the state of a run with other settings or of other data, or no such state.
    """
    saved = load_checkpoint(path)
    if "method" not in saved or "identity" not in saved:
        raise InputError(f"{path} is not the state of a pre-training run; use another --out")
    require_same(path.parent, saved["identity"], identity)
    for flag, noun, then, now in (
        ("--data", "images", saved["data"], data),
        ("--textures", "files", saved["textures"], textures),
    ):
        if not is_same(then, now):
            raise InputError(
                f"{flag} holds other {noun} than {path.parent} was trained on ({describe_change(then, now)});"
                " bring back the old ones, or use another --out"
            )
    return saved


def restore(path: Path, saved: dict[str, Any], method: nn.Module, optimiser: Optimizer) -> None:
    """Put weights and optimiser back.

    Raises:
        InputError: they do not fit.
    """
    try:
        method.load_state_dict(saved["method"])
        optimiser.load_state_dict(saved["optimizer"])
    except (RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} does not fit this network ({reason}); use another --out") from error


def require_same(folder: Path, saved: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Refuse to go on with other settings than the folder's own.

    Args:
        folder: of the run, for the message.
        saved: recipe, seed and settings of the folder.
        identity: those of this call.

    Raises:
        InputError: listing each setting that differs.
    """
    now, then = (flatten(json.loads(json.dumps(one))) for one in (identity, saved))
    changed = [
        f"{k} {then.get(k)!r} -> {now.get(k)!r}" for k in sorted(now | then) if then.get(k) != now.get(k)
    ]
    if changed:
        raise InputError(
            f"{folder} was made with other settings ({', '.join(changed)});"
            " use another --out or the same settings"
        )
