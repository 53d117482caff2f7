"""What a run predicted image by image: kept so that two runs can be compared on the same images."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from texneg.datasets.storage.atomic import write_bytes
from texneg.errors import InputError


@dataclass(frozen=True)
class Outcomes:
    """One test set's images: names and what became of each."""

    keys: npt.NDArray[np.str_]
    """N names, unique."""
    values: npt.NDArray[np.int8]
    """(N,): 1 right and 0 wrong; on cue-conflict sets 1 the shape's class, -1 the texture's, 0 another."""


def save_outcomes(path: Path, keys: Sequence[str], values: npt.NDArray[np.int8]) -> None:
    """Write a compressed .npz of names and values."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, keys=np.array(keys, np.str_), values=values.astype(np.int8))
    write_bytes(path, buffer.getvalue())


def load_outcomes(path: Path) -> Outcomes:
    """Read what `save_outcomes` wrote."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return Outcomes(file["keys"], file["values"])
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"no readable outcomes at {path}; run texneg ood again into this folder") from error


def aligned(outcomes: Sequence[Outcomes]) -> npt.NDArray[np.int8] | None:
    """Values (runs, N) of several runs, image by image in one order; None unless all hold the same images."""
    orders = [np.argsort(one.keys) for one in outcomes]
    names = outcomes[0].keys[orders[0]]
    if any(not np.array_equal(one.keys[order], names) for one, order in zip(outcomes, orders, strict=True)):
        return None
    return np.stack([one.values[order] for one, order in zip(outcomes, orders, strict=True)])
