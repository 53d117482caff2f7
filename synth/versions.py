"""Versions of what decides bytes, in this process and in the one that began the run."""

import cv2
import numba
import numpy as np
import PIL
import pyarrow as pa

from texneg import __version__
from texneg.errors import RunFailed

Versions = dict[str, str]


def versions() -> Versions:
    """Of this process: texneg and the libraries that make pixels and files."""
    return {
        "texneg": __version__,
        "numpy": np.__version__,
        "numba": numba.__version__,
        "pillow": PIL.__version__,
        "opencv": cv2.__version__,
        "pyarrow": pa.__version__,
    }


def check_versions(recorded: Versions, here: str, *, strict: bool) -> str:
    """One line that names each difference of this process from a run's record; empty without any.

    Args:
        recorded: of the run; what it does not name is not compared.
        here: which process this is.
        strict: whether a difference is refused.

    Raises:
        RunFailed: with `strict`, the line.
    """
    own = versions()
    other = [name for name in own if recorded.get(name, own[name]) != own[name]]
    if not other:
        return ""
    named = ", ".join(f"{name} {own[name]} (run: {recorded[name]})" for name in other)
    line = f"{here} has other versions than the run began with: {named}; bytes may differ"
    if strict:
        raise RunFailed(f"{line}; install the same, or leave --strict-versions out")
    return line
