"""How far a run is: a bar on a terminal, otherwise a plain line now and then."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from tqdm import tqdm

from texneg.cli.console import duration, say

LINE_EVERY_S = 15.0


class Progress:
    """Counts images inside a `with` block. Writes to standard error."""

    def __init__(self, total: int, done: int) -> None:
        self._total, self._before, self._now = total, done, done
        self._start = self._printed = time.monotonic()
        self._bar: tqdm[Any] | None = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=total, initial=done, unit=" images", dynamic_ncols=True, smoothing=0.1)

    def __enter__(self) -> "Progress":
        return self

    def advance(self, images: int) -> None:
        """Add finished images."""
        self._now += images
        if self._bar is not None:
            self._on_bar(lambda bar: bar.update(images))
        elif time.monotonic() - self._printed >= LINE_EVERY_S and self._now < self._total:
            self._printed = time.monotonic()
            say(self.line())

    def _on_bar(self, draw: "Callable[[tqdm[Any]], Any]") -> None:
        """Draw, as long as the terminal is there."""
        try:
            if self._bar is not None:
                draw(self._bar)
        except OSError:
            self._bar = None

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._start

    def line(self) -> str:
        """`1200 of 5000 (24 %), 71.2 images/s, 0:00:53 left`."""
        rate = (self._now - self._before) / max(self.seconds, 1e-9)
        left = duration((self._total - self._now) / rate) if rate else "unknown time"
        share = 100 * self._now / max(self._total, 1)
        return f"{self._now} of {self._total} ({share:.0f} %), {rate:.1f} images/s, {left} left"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._on_bar(lambda bar: bar.close())
