"""Speed of the corruptions beside a straight implementation of the published algorithms, 224 px, one core.

The rival draws from the legacy stream, as the published files were made; where the official generator calls
SciPy or ImageMagick it calls NumPy, which takes less time. Both sides are compared pixel by pixel, with the
same numbers, before anything is timed. A call makes the five severities. The mean rate over the fifteen is
their number by the sum of their times.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import cv2
import numpy as np

from texneg.bench.common.ratios import Gate, Row, Timing, compare, one_thread, report
from texneg.bench.common.results import RatioConfig
from texneg.bench.common.straight_corruptions import STRAIGHT, frost
from texneg.bench.views import describe, read_files
from texneg.datasets.corruptions.corrupt import ALL, CORRUPTIONS, corrupt
from texneg.datasets.corruptions.draws import LegacyDraws, image_draws
from texneg.datasets.corruptions.pictures import own_pictures
from texneg.datasets.corruptions.severities import SEVERITIES, Image
from texneg.datasets.decode import decode
from texneg.errors import RunFailed

SIDE = 224
STRAIGHT_NAME, LEGACY, OURS = "straight, legacy stream", "compiled, legacy stream", "compiled, own stream"
X_STRAIGHT = "x straight"
MEAN = "mean rate over the fifteen"
GATES = (Gate(MEAN, OURS, X_STRAIGHT, "at least", 22), Gate(MEAN, LEGACY, X_STRAIGHT, "at least", 18))
DIFFERING = 0.002  # share of values that sums in another order may change by one


@dataclass(frozen=True)
class CorruptionsConfig(RatioConfig):
    """Measure corruptions as ratios to a straight implementation, within one run."""

    photos: Path | None = None
    """tar of photographs; without it they are generated"""


def bench(config: CorruptionsConfig) -> int:
    """Time every corruption, and the mean rate over the fifteen."""
    rounds = 2 if config.quick else 7
    images = [cut_square(decode(data).pixels) for data in read_files(config.photos)]
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with one_thread():
            timings = {name: measure(name, images, rounds) for name in ALL}
    finally:
        cv2.setNumThreads(threads)
    fifteen = [timings[name] for name in CORRUPTIONS]
    rows = [row for name, timing in timings.items() for row in make_rows(name, timing)]
    rows += make_rows(MEAN, {side: add(timing[side] for timing in fifteen) for side in fifteen[0]}, of=15)
    return report(config, rows, GATES, **describe(config.photos))


def cut_square(photo: Image) -> Image:
    """The centre square, reduced to 224 px."""
    height, width = photo.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = photo[top : top + side, left : left + side]
    return np.asarray(cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA))


def straight(image: Image, name: str, severity: int, rng: np.random.RandomState) -> Image:
    """Corrupt as the straight implementation does."""
    constant = ALL[name][1].px224[severity - 1]
    if name == "frost":
        return frost(image, constant, rng, [own_pictures().shrunk(number, 1) for number in range(5)])
    return STRAIGHT[name](image, constant, rng)


def measure(name: str, images: Sequence[Image], rounds: int) -> dict[str, Timing]:
    """Time the five severities of one corruption, another photograph at each call."""
    check_pixels(name, images[0])
    calls = count()
    rng = np.random.RandomState(0)

    def five(one: Callable[[Image, int, int], Image]) -> Callable[[], object]:
        def call() -> None:
            number = next(calls)
            for severity in SEVERITIES:
                one(images[number % len(images)], severity, number)

        return call

    def ours(image: Image, severity: int, number: int) -> Image:
        draws = image_draws(0, name, severity, str(number))
        return corrupt(image, name, severity=severity, draws=draws)

    return compare(
        {
            STRAIGHT_NAME: five(lambda image, severity, _: straight(image, name, severity, rng)),
            LEGACY: five(
                lambda image, severity, _: corrupt(image, name, severity=severity, draws=LegacyDraws(rng))
            ),
            OURS: five(ours),
        },
        rounds=rounds,
    )


def add(timings: Iterable[Timing]) -> Timing:
    """The time of several calls in a row, round by round."""
    return Timing(tuple(map(sum, zip(*(timing.slots for timing in timings), strict=True))))


def make_rows(case: str, timings: dict[str, Timing], of: int = 1) -> list[Row]:
    """Rows of a case: microseconds an image, of calls for `of` corruptions at five severities."""
    base = timings[STRAIGHT_NAME]
    return [
        Row(case, side, timing.seconds * 1e6 / len(SEVERITIES) / of, {X_STRAIGHT: base.over(timing)})
        for side, timing in timings.items()
    ]


def check_pixels(name: str, image: Image) -> None:
    """Refuse to time corruptions that differ from the straight ones by more than rounding."""
    for severity in SEVERITIES[:2]:
        ours = corrupt(image, name, severity=severity, draws=LegacyDraws(np.random.RandomState(1)))
        apart = np.abs(ours.astype(int) - straight(image, name, severity, np.random.RandomState(1)))
        # OpenCV before 5 places the samples of an affine map on a grid of 1/32 pixel.
        allowed = 0.2 if name == "elastic_transform" else DIFFERING
        if (apart if name == "elastic_transform" else apart > 0).mean() > allowed:
            raise RunFailed(
                f"{name}, severity {severity}: pixels differ by up to {apart.max()} levels from the straight"
                " ones, so the speed means nothing; run the tests"
            )
