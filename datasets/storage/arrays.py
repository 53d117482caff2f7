"""Files of named arrays (.npz)."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from texneg.datasets.storage.atomic import write_bytes


def write_arrays(path: Path, *, compress: bool = False, **arrays: npt.NDArray[Any]) -> None:
    """Write arrays under their names, atomically."""
    buffer = io.BytesIO()
    save: Callable[..., None] = np.savez_compressed if compress else np.savez
    save(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]] | None:
    """Read all arrays of a file by name; None if there is no such file, or it cannot be read whole."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:  # closed in any case
            return dict(file)
    except Exception:  # NumPy raises a different type for each kind of damage
        return None
