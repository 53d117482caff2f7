"""Speed of texture synthesis by method, beside the PNG encoding of the result, its neighbour in a run."""

from collections.abc import Callable
from itertools import count

import cv2
import numpy as np
import numpy.typing as npt

from texneg.errors import RunFailed
from texneg.philox import generator
from texneg.synth.texture import METHODS, texture
from texneg.train.bench.negatives import one_thread
from texneg.train.bench.ratios import Row
from texneg.train.bench.timing import compare

CASE = "texture of 224 px from two exemplars of 96 px"
REFERENCE = "PNG encoding of the texture"


def bench_textures(*, quick: bool) -> list[Row]:
    """Every method of `texneg.synth.texture`, one thread, CPU time."""
    pair = [_pattern(96, seed) for seed in (0, 1)]
    made = texture(pair, seed=0)
    if not np.array_equal(made, texture(pair, seed=0)):
        raise RunFailed("the same seed gave two textures, so their speed means nothing; run the tests")

    def synthesise(method: str) -> Callable[[], object]:
        seeds = count()
        return lambda: texture(pair, seed=next(seeds), method=method)

    variants: dict[str, Callable[[], object]] = {REFERENCE: lambda: cv2.imencode(".png", made)}
    variants |= {f"method {method}": synthesise(method) for method in METHODS}
    with one_thread():
        timings = compare(variants, rounds=5 if quick else 20, slot_s=0.02)
    reference = timings[REFERENCE]
    return [
        Row(CASE, name, timing.seconds * 1e6, {"PNG encodings": timing.over(reference)})
        for name, timing in timings.items()
    ]


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
