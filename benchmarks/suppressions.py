"""Speed of the suppressions beside straight NumPy and OpenCV versions, 224 px, one core.

Both sides are compared pixel by pixel, with the same numbers, before anything is timed. A call makes all
strengths of one suppression. The mean rate over all is their number by the sum of their times. Own patches
alone are left out: `texneg bench negatives` times them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import cv2
import numpy as np

from texneg.bench.common.ratios import Gate, Row, Timing, compare, one_thread, report
from texneg.bench.common.results import RatioConfig
from texneg.bench.common.straight_suppressions import STRAIGHT
from texneg.bench.corruptions import add, cut_square
from texneg.bench.views import describe, read_files
from texneg.datasets.corruptions.severities import Image
from texneg.datasets.decode import decode
from texneg.datasets.suppressions.suppress import SUPPRESSIONS
from texneg.errors import RunFailed
from texneg.philox.arrays import generator

STRAIGHT_NAME, OURS, X_STRAIGHT, MEAN = "NumPy and OpenCV", "texneg", "x straight", "mean rate over all"
GATES = (Gate(MEAN, OURS, X_STRAIGHT, "at least", 2.0),)
FARTHEST = {"non_local_means": 0.5, "blur": 0.3}  # mean difference in levels; 0.02 of the others


@dataclass(frozen=True)
class SuppressionsConfig(RatioConfig):
    """Measure suppressions as ratios to NumPy and OpenCV, within one run."""

    photos: Path | None = None
    """tar of photographs; without it they are generated"""


def bench(config: SuppressionsConfig) -> int:
    """Time every suppression, and the mean rate over all."""
    images = [cut_square(decode(data).pixels) for data in read_files(config.photos)]
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with one_thread():
            timings = {name: measure(name, images, 2 if config.quick else 7) for name in STRAIGHT}
    finally:
        cv2.setNumThreads(threads)
    rows = [row for name, timing in timings.items() for row in make_rows(name, timing, count_strengths(name))]
    whole = {side: add(timing[side] for timing in timings.values()) for side in (STRAIGHT_NAME, OURS)}
    rows += make_rows(MEAN, whole, sum(map(count_strengths, timings)))
    return report(config, rows, GATES, **describe(config.photos))


def count_strengths(name: str) -> int:
    """Count the images that a call makes."""
    return len(SUPPRESSIONS[name].strengths)


def measure(name: str, images: Sequence[Image], rounds: int) -> dict[str, Timing]:
    """Time all strengths of one suppression, another photograph at each call."""
    check_pixels(name, images[0])
    calls = count()

    def every(change: Callable[[Image, float, np.random.Generator], Image]) -> Callable[[], object]:
        def call() -> None:
            number = next(calls)
            for strength in SUPPRESSIONS[name].strengths:
                change(images[number % len(images)], strength, generator(number))

        return call

    variants = {STRAIGHT_NAME: every(STRAIGHT[name]), OURS: every(SUPPRESSIONS[name].change)}
    return compare(variants, rounds=rounds)


def make_rows(case: str, timings: dict[str, Timing], of: int) -> list[Row]:
    """Rows of a case: microseconds an image, of calls that make `of` images."""
    base = timings[STRAIGHT_NAME]
    return [
        Row(case, side, timing.seconds * 1e6 / of, {X_STRAIGHT: base.over(timing)})
        for side, timing in timings.items()
    ]


def check_pixels(name: str, image: Image) -> None:
    """Refuse to time suppressions that differ from the straight ones by more than rounding."""
    for strength in SUPPRESSIONS[name].strengths:
        ours, theirs = (f(image, strength, generator(1)) for f in (SUPPRESSIONS[name].change, STRAIGHT[name]))
        apart = np.abs(ours.astype(int) - theirs).mean()
        if apart > FARTHEST.get(name, 0.02):
            raise RunFailed(
                f"{name}, strength {strength:g}: pixels differ by {apart:.2f} levels on average from the"
                " straight ones, so the speed means nothing; run the tests"
            )
