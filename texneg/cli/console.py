"""Lines that a run says, and numbers as people write them."""

import os
import sys

from tqdm import tqdm


def say(text: str) -> None:
    """One line on standard error."""
    _print(text, "stderr")


def tell(text: str) -> None:
    """One line on standard output."""
    _print(text, "stdout")


def _print(text: str, stream: str) -> None:
    """Print a line without breaking a progress bar. A run goes on where nobody reads it any more."""
    try:
        tqdm.write(text, file=getattr(sys, stream))
        getattr(sys, stream).flush()
    except OSError:
        setattr(sys, stream, open(os.devnull, "w"))  # noqa: PTH123, SIM115 (as long as this process lives)


def duration(seconds: float) -> str:
    """`h:mm:ss`."""
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"


def sized(size: float) -> str:
    """`480 kB`, `14.9 MB`, `75 GB`: bytes in the unit that leaves one to three digits before the point."""
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 999.5:
            return f"{size:.3g} {unit}"
    return f"{size / 1000:.3g} TB"


def counted(n: int, noun: str) -> str:
    """`1 shard`, `2 shards`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
