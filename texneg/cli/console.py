"""Lines for the user, which leave a progress bar whole, and numbers as people write them."""

import os
import sys

from tqdm import tqdm


def info(text: str) -> None:
    """Print one line to standard error."""
    _print(text, "stderr")


def out(text: str) -> None:
    """Print one line to standard output."""
    _print(text, "stdout")


def print_status(text: str) -> None:
    """Print a line of progress to standard output: on a terminal in place of the one before."""
    if sys.stdout.isatty():
        _print(f"\r\x1b[K{text}", "stdout", end="")
    else:
        _print(text.rstrip(), "stdout")


def _print(text: str, stream: str, *, end: str = "\n") -> None:
    """Print a line without breaking a progress bar. A run goes on when its reader has gone."""
    try:
        tqdm.write(text, file=getattr(sys, stream), end=end)
        getattr(sys, stream).flush()
    except OSError:
        setattr(sys, stream, open(os.devnull, "w"))  # noqa: PTH123, SIM115 (as long as this process lives)


def format_duration(seconds: float) -> str:
    """Format a duration as `h:mm:ss`."""
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"


def format_bytes(size: float) -> str:
    """Format a size as `480 kB`, `14.9 MB` or `75 GB`: one to three digits before the decimal point."""
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 999.5:
            return f"{size:.3g} {unit}"
    return f"{size / 1000:.3g} TB"


def plural(n: int, noun: str) -> str:
    """Count a noun: `1 shard`, `2 shards`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
