"""Versions of what decides bytes, in this process and in the one that began the run."""

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from texneg import __version__
from texneg.errors import RunFailed

Versions = dict[str, str]
LIBRARIES = {
    "numpy": ("numpy",),
    "numba": ("numba",),
    "pillow": ("pillow",),
    "opencv": ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless"),
    "pyarrow": ("pyarrow",),
}
"""What makes pixels and files, by the names under which it may be installed."""


def versions() -> Versions:
    """Of this process."""
    found = {name: _first(distributions) for name, distributions in LIBRARIES.items()}
    return {"texneg": __version__, **found}


def _first(distributions: tuple[str, ...]) -> str:
    for name in distributions:
        with suppress(PackageNotFoundError):
            return version(name)
    return "unknown"


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
