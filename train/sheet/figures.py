"""Figures of an audit, to stand under the titles of a sheet."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from texneg.datasets.storage.json_files import read_json
from texneg.errors import InputError

RESULT = "audit.json"
HEADLINES = (5, 20)  # receptive fields in grey whose tell stands for a kind


def read_figures(path: str) -> dict[str, tuple[str, ...]]:
    """Read the figures of each kind, by its title, as wordings from long to short.

    Args:
        path: `audit.json`, or the folder that holds it.

    Raises:
        InputError: there is none, or it is not what `texneg audit` writes.
    """
    file = Path(path) / RESULT if Path(path).is_dir() else Path(path)
    found = read_json(file, remedy="make it with texneg audit")
    try:
        return {row["title"]: describe_figures(row) for row in found["rows"]}
    except (KeyError, TypeError) as error:
        raise InputError(f"{file} is no result of texneg audit; make it again") from error


def describe_figures(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Write tell, leak and time of a row in a few words, then in fewer: `tell .93 .90  leak 25 %  4.8 ms`."""
    words = []
    tell = {one["field"]: one["auc"] for one in row["tell"] if not one["colour"]}
    shown = [f"{tell[field]:.2f}".lstrip("0") for field in HEADLINES if field in tell]
    if shown:
        words.append(f"tell {' '.join(shown)}")
    if row["leak"] is not None:
        words.append(f"leak {100 * row['leak']['top1']:.0f} %")
    if row["microseconds"] is not None:
        words.append(format_time(row["microseconds"], micro=False))  # the font of the sheet has no µ
    return tuple("  ".join(words[:end]) for end in range(len(words), 0, -1))


def format_time(microseconds: float, *, micro: bool = True) -> str:
    """Format the time of an image: `3.4 µs`, `630 µs`, `5 ms`; without `micro` `3400 ns`, `0.63 ms`."""
    if microseconds >= (999.5 if micro else 10):
        return f"{_two_digits(microseconds / 1000)} ms"
    return f"{_two_digits(microseconds)} µs" if micro else f"{1000 * microseconds:.0f} ns"


def _two_digits(value: float) -> str:
    """Format a positive number with two digits, or those before its decimal point."""
    return f"{value:.0f}" if value >= 99.5 else f"{value:.2g}"
