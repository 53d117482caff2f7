"""Cost of tell: the statistics and the classifier of an audit beside a plain pass over the pixels.

CPU time of one thread. A pass is the mean of the squares of all pixels, as numbers of 4 bytes.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from texneg.bench.common.ratios import Gate, Row, compare, one_thread, report
from texneg.bench.common.results import RatioConfig
from texneg.patches.patches import patch_negatives
from texneg.philox.arrays import generator
from texneg.tell import FIELDS, collect_statistics, separate

IMAGES, SIDES = 32, (224, 64)
PASS, OF_PASS, WHOLE = "a pass over the pixels", "x a pass", "all fields, grey and colour"
CLASSIFIER = "folds and intervals, 250 images"
GATES = tuple(
    Gate(f"{side} px", WHOLE, OF_PASS, "at most", limit)
    for side, limit in zip(SIDES, (200, 200), strict=True)
)


def bench(config: RatioConfig) -> int:
    """Time statistics of images, field by field, and the classifier."""
    rounds = 3 if config.quick else 9
    with one_thread():
        rows = [row for side in SIDES for row in measure(side, rounds)]
        values = generator(1).standard_normal((2, 250, 72))
        timing = compare({CLASSIFIER: lambda: separate(values[0], values[1])}, rounds=rounds)[CLASSIFIER]
    rows.append(Row("any", CLASSIFIER, timing.seconds * 1e6 / 250, {}))
    return report(config, rows, GATES)


def measure(side: int, rounds: int) -> list[Row]:
    """Time images of one side."""
    images = generator(0).integers(0, 256, (IMAGES, side, side, 3), dtype=np.uint8)
    images = patch_negatives(images)[:, 0]
    variants: dict[str, Callable[[], object]] = {PASS: lambda: np.square(images.astype(np.float32)).mean()}
    for field in FIELDS:
        if field <= side:
            variants[f"grey {field} px"] = partial(
                collect_statistics, images, fields=[field], colours=[False]
            )
    variants[WHOLE] = partial(collect_statistics, images)
    timings = compare(variants, rounds=rounds)
    return [
        Row(f"{side} px", name, timing.seconds * 1e6 / IMAGES, {OF_PASS: timing.over(timings[PASS])})
        for name, timing in timings.items()
    ]
