"""Outcomes and answers of a cell, image by image, in a file beside its numbers.

Two runs are compared on the same images with the outcomes; confusions, error consistency and the accuracy
among other classes come from the answers.

Shapes: N images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from texneg.datasets.storage.arrays import read_arrays, write_arrays
from texneg.errors import InputError

Places = npt.NDArray[np.int16 | np.int32]
Values = npt.NDArray[np.int8] | npt.NDArray[np.float32]


@dataclass(frozen=True)
class Answers:
    """Answers of a head, image by image; a choice is its place in the record's `choice_names`."""

    predicted: Places
    """(N,) the choice; -1 for an image that cannot be read"""
    confidence: npt.NDArray[np.float32]
    """(N,) probability that this is a right answer, as the head has it; 0 for an image that cannot be read"""
    target: Places
    """(N,) a right choice: the predicted one if it is right, else the first"""
    ranking: Places | None = None
    """classes of the head, image after image, the likeliest first, as far as the last right one: they tell
    the accuracy among any of the classes. Of sets in distribution alone"""
    ranking_right: npt.NDArray[np.bool_] | None = None
    """which of `ranking` are right"""
    ranked: npt.NDArray[np.int32] | None = None
    """(N,) number of classes of each image in `ranking`"""


@dataclass(frozen=True)
class Outcomes:
    """The images of a cell and their outcomes."""

    keys: npt.NDArray[np.str_]
    """N names, unique"""
    values: Values
    """(N,) 1 right and 0 wrong, unless the kind says otherwise; reciprocal ranks of cue sets"""
    answers: Answers | None = None
    """None in files of earlier versions, and of kinds that keep none"""


def save_outcomes(
    path: Path,
    keys: Sequence[str],
    values: Values,
    answers: Answers | None = None,
) -> None:
    """Write a compressed .npz of names, values and answers."""
    kept = {} if answers is None else {name: of for name, of in vars(answers).items() if of is not None}
    names = np.array(keys, np.str_)
    dtype = np.float32 if values.dtype.kind == "f" else np.int8
    write_arrays(path, compress=True, keys=names, values=values.astype(dtype), **kept)


def load_outcomes(path: Path) -> Outcomes:
    """Read the file of `save_outcomes`; anything else raises `InputError`."""
    arrays = read_arrays(path) or {}
    try:
        keys, values = arrays.pop("keys"), arrays.pop("values")
        return Outcomes(keys, values, Answers(**arrays) if arrays else None)
    except (KeyError, TypeError) as error:
        raise InputError(f"no readable outcomes at {path}; run texneg ood again into this folder") from error


def align_files(paths: Sequence[Path]) -> Values | None:
    """Bring the values of several files into one order: (files, N); None unless all hold the same images.

    A file is read after the other, so that the names of images are in memory for two files at most.
    """
    if not all(path.is_file() for path in paths):
        return None
    values: list[npt.NDArray[Any]] = []
    names = None
    for path in paths:
        one = load_outcomes(path)
        order = np.argsort(one.keys)
        keys = one.keys[order]
        if names is not None and not np.array_equal(keys, names):
            return None
        names = keys
        values.append(one.values[order])
    return np.stack(values) if values else None
