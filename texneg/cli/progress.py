"""Progress of a long run: its rate, the time left, and a display on standard error."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from tqdm import tqdm

from texneg.cli.console import format_duration, info

LINE_EVERY_S = 15.0


class Pace:
    """Rate and time left, measured from the moment it is created.

    Args:
        total: what the run has to do, in any unit.
        done: what was done before; it counts towards the end and not towards the rate.
    """

    def __init__(self, total: int, done: int = 0) -> None:
        self.total, self.done = total, done
        self._before, self._start = done, time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._start

    @property
    def rate(self) -> float:
        """Units a second since the start."""
        return (self.done - self._before) / max(self.seconds, 1e-9)

    @property
    def left(self) -> str:
        """Time left at this rate, in words."""
        return (
            f"{format_duration((self.total - self.done) / self.rate)} left"
            if self.rate
            else "unknown time left"
        )


class Progress:
    """Display of a run's pace inside a `with` block: a bar on a terminal, otherwise a line now and then.

    Args:
        total: images of the run.
        done: images that were done before.
    """

    def __init__(self, total: int, done: int = 0) -> None:
        self.pace = Pace(total, done)
        self._printed = time.monotonic()
        self._bar: tqdm[Any] | None = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=total, initial=done, unit=" images", dynamic_ncols=True, smoothing=0.1)

    def __enter__(self) -> "Progress":
        return self

    def advance(self, images: int) -> None:
        """Add finished images."""
        self.pace.done += images
        if self._bar is not None:
            self._draw(lambda bar: bar.update(images))
        elif time.monotonic() - self._printed >= LINE_EVERY_S and self.pace.done < self.pace.total:
            self._printed = time.monotonic()
            info(self.line())

    def note(self, text: str) -> None:
        """Show a few words behind the bar."""
        self._draw(lambda bar: bar.set_postfix_str(text, refresh=False))

    def _draw(self, change: "Callable[[tqdm[Any]], Any]") -> None:
        """Change the bar for as long as there is a terminal."""
        try:
            if self._bar is not None:
                change(self._bar)
        except OSError:
            self._bar = None

    def line(self) -> str:
        """Format the state as `1200 of 5000 (24 %), 71.2 images/s, 0:00:53 left`."""
        pace = self.pace
        share = 100 * pace.done / max(pace.total, 1)
        return f"{pace.done} of {pace.total} ({share:.0f} %), {pace.rate:.1f} images/s, {pace.left}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draw(lambda bar: bar.close())
