"""The state of a run on disk: everything that the next step depends on, in one file that is always whole."""

import io
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from copy import copy
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from texneg.cli.signals import block_stop_signals
from texneg.datasets.fingerprint import describe_change, is_same
from texneg.datasets.storage import atomic
from texneg.datasets.storage.atomic import write_bytes
from texneg.errors import InputError, RunFailed, describe_error
from texneg.train.networks.encoder import load_checkpoint
from texneg.train.options import flatten

CHECKPOINT, ENCODER = "checkpoint.pt", "encoder.pt"


def write_torch(path: Path, content: dict[str, Any]) -> None:
    """Save a dictionary of plain types and tensors under `path`, atomically."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with write_errors(path):
        write_bytes(path, buffer.getvalue())


class Saver:
    """Writes files of a run in a thread, from copies of their content, while the next steps are made.

    One save at a time; an error ends the run at the next `check`, `save` or `wait`.
    """

    def __init__(self) -> None:
        self._thread: Thread | None = None
        self._error: BaseException | None = None

    def save(self, files: Mapping[Path, dict[str, Any]]) -> None:
        """Begin to write files, one after the other, once those before are written."""
        self.wait()
        copies: dict[Any, Tensor] = {}
        content = {path: copy_to_host(one, copies) for path, one in files.items()}
        with block_stop_signals():  # they are the main thread's
            self._thread = Thread(target=self._write, args=(content,), name="saver")
            self._thread.start()

    def _write(self, files: Mapping[Path, dict[str, Any]]) -> None:
        try:
            for path, content in files.items():
                write_torch(path, content)
        except BaseException as error:
            self._error = error

    def check(self) -> None:
        """Raise the error of a save that failed.

        Raises:
            RunFailed: a file cannot be written.
        """
        error, self._error = self._error, None
        if error is not None:
            raise error

    def wait(self) -> None:
        """Wait until everything is written, then `check`."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()

    def __enter__(self) -> "Saver":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(RunFailed) if isinstance(error, Exception) else nullcontext():
            self.wait()


def copy_to_host(value: Any, copies: dict[Any, Tensor]) -> Any:
    """Copy a structure with its tensors to the CPU; what is there twice is copied once.

    Args:
        value: tensors, and dictionaries and lists of such.
        copies: made so far.
    """
    if isinstance(value, Tensor):
        key = (value.device, value.data_ptr(), value.shape, value.stride(), value.dtype)
        if key not in copies:
            copies[key] = value.detach().to("cpu", copy=True)
        return copies[key]
    if isinstance(value, dict):
        made = copy(value)
        made.update((name, copy_to_host(one, copies)) for name, one in value.items())
        return made
    if isinstance(value, list | tuple):
        return type(value)(copy_to_host(one, copies) for one in value)
    return value


def write_errors(path: Path) -> AbstractContextManager[None]:
    """Name the remedy where a file of a run cannot be written; what was saved before is kept.

    Raises:
        RunFailed: in place of OSError.
    """
    return atomic.write_errors(path, "it goes on from the last checkpoint")


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
        reason = describe_error(error, 200)
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
