"""When silence means that workers hang: nothing finished for far longer than tasks take."""

import time
from collections import deque
from collections.abc import Callable
from statistics import median

TIMES_MEDIAN = 10.0
LEAST_S = 600.0
SLOW_IMAGE_S = 3.0  # assumed until the first task has finished
REMEMBERED = 101  # tasks of which the median is taken


class StallWatch:
    """Told of every finished task; `stalled` after max(10 x median task, 10 min) without one.

    Args:
        images: of the largest task; decides how long the first may take.
        least_s: shortest silence that counts, s.
        clock: seconds from any origin.
    """

    def __init__(
        self, images: int = 0, *, least_s: float = LEAST_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._first_s = SLOW_IMAGE_S * images
        self._least_s = least_s
        self._clock = clock
        self._seconds: deque[float] = deque(maxlen=REMEMBERED)
        self._heard = clock()

    def heard(self, seconds: float | None = None) -> None:
        """Something finished, of that many seconds; or there is nobody who could finish anything."""
        self._heard = self._clock()
        if seconds is not None:
            self._seconds.append(seconds)

    def silence(self) -> float:
        """Seconds since something finished."""
        return self._clock() - self._heard

    def stalled(self) -> bool:
        """Whether the silence is longer than any task should take."""
        usual = TIMES_MEDIAN * median(self._seconds) if self._seconds else self._first_s
        return self.silence() > max(usual, self._least_s)
