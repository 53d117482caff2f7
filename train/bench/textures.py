"""Speed of texture synthesis by method and size, beside the PNG encoding of the result; quality beside it.

One thread, CPU time.
"""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from texneg.errors import RunFailed
from texneg.philox import generator
from texneg.synth.texture import METHOD_VERSION, METHODS, texture
from texneg.train.bench import texture_quality
from texneg.train.bench.negatives import one_thread
from texneg.train.bench.ratios import MS, Gate, Row
from texneg.train.bench.texture_quality import MOST_MS
from texneg.train.bench.timing import compare

LARGE, SMALL = 224, (96, 64, 32)  # px
REFERENCE, PNGS = "PNG encoding of the texture", "PNG encodings"
PATTERNS = 4


def exemplar_side(size: int) -> int:
    """96 px at 224 px, scaled alike."""
    return size * 96 // 224


def case(size: int) -> str:
    """What is timed."""
    return f"texture of {size} px from two exemplars of {exemplar_side(size)} px"


GATES = (
    *(Gate(case(LARGE), method, MS, "at most", limit) for method, limit in MOST_MS.items()),
    *texture_quality.GATES,
)


def bench_textures(photos: Path | None = None, *, quick: bool) -> list[Row]:
    """Every method at 224 px, the quick ones at smaller sizes; quality on photographs or else on patterns."""
    rounds = 5 if quick else 20
    with one_thread():
        rows = _timed(LARGE, METHODS, rounds)
        for size in SMALL:
            rows += _timed(size, ("fast",), rounds)
        if photos is not None:
            return rows + texture_quality.bench_photos(photos, quick=quick)
        pairs = [_pair(exemplar_side(LARGE), number) for number in range(1 if quick else PATTERNS)]
        return rows + texture_quality.bench_patterns(pairs)


def described(photos: Path | None) -> dict[str, str]:
    """What was made and of what, for the record."""
    made = {"texture method": f"version {METHOD_VERSION}"}
    return made if photos is None else made | {"photographs": texture_quality.described(photos)}


def _timed(size: int, methods: tuple[str, ...], rounds: int) -> list[Row]:
    pair = _pair(exemplar_side(size), 0)
    made = texture(pair, size=size, seed=0)
    if not np.array_equal(made, texture(pair, size=size, seed=0)):
        raise RunFailed("the same seed gave two textures, so their speed means nothing; run the tests")

    def synthesise(method: str) -> Callable[[], object]:
        seeds = count()
        return lambda: texture(pair, size=size, seed=next(seeds), method=method)

    variants: dict[str, Callable[[], object]] = {REFERENCE: lambda: cv2.imencode(".png", made)}
    variants |= {method: synthesise(method) for method in methods}
    timings = compare(variants, rounds=rounds, slot_s=0.02)
    reference = timings[REFERENCE]
    return [
        Row(case(size), name, timing.seconds * 1e6, {PNGS: timing.over(reference)})
        for name, timing in timings.items()
    ]


def _pair(side: int, number: int) -> list[npt.NDArray[np.uint8]]:
    return [_pattern(side, seed) for seed in (2 * number, 2 * number + 1)]


def _pattern(side: int, seed: int) -> npt.NDArray[np.uint8]:
    """Two crossed waves in random colours with grain: neither flat nor noise."""
    draws = generator(seed)
    y, x = np.mgrid[:side, :side] / side
    frequencies = draws.uniform(3, 12, (2, 2))
    waves = [np.sin(2 * np.pi * (fy * y + fx * x)) for fy, fx in frequencies]
    colours = draws.uniform(-60, 60, (2, 3))
    grain = draws.normal(0, 12, (side, side, 3))
    mix = 128 + waves[0][..., None] * colours[0] + waves[1][..., None] * colours[1] + grain
    return np.clip(mix, 0, 255).astype(np.uint8)
