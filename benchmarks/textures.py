"""Speed of texture synthesis by method and size, of negatives from views too; then its quality.

One thread, CPU time. A texture stands beside the PNG encoding of itself; negatives of a batch of views, which
is what a training loop asks for, beside those by the method `fast`.
"""

from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from texneg.bench import texture_quality
from texneg.bench.negatives import one_thread
from texneg.bench.ratios import MS, Gate, Row
from texneg.bench.texture_quality import MOST_MS
from texneg.bench.timing import compare
from texneg.errors import RunFailed
from texneg.patches.patches import patch_negatives
from texneg.philox.arrays import generator
from texneg.textures.live.negatives import texture_negatives
from texneg.textures.presets import METHODS, PRESETS
from texneg.textures.texture import texture

SIZE = 224  # px
VIEWS, BATCH = (224, 96, 64, 32), 16  # px; images
REFERENCE, PNGS, OF_FAST = "PNG encoding of the texture", "PNG encodings", "of fast's time"
PATTERNS = 4
CASE = f"texture of {SIZE} px from two exemplars of {texture_quality.SIDE} px"


def case(size: int) -> str:
    """Negatives of views of a size."""
    return f"texture negatives of {size} px, batch {BATCH}"


GATES = (
    *(Gate(CASE, method, MS, "at most", limit) for method, limit in MOST_MS.items()),
    *(Gate(case(size), "live", OF_FAST, "at most", 1.7) for size in VIEWS),
    *texture_quality.GATES,
)


def bench_textures(photos: Path | None = None, *, quick: bool) -> list[Row]:
    """Every method; quality on photographs or, for information, on patterns."""
    rounds = 5 if quick else 20
    with one_thread():
        rows = _textures(rounds)
        for size in VIEWS:
            rows += _negatives(size, rounds)
        if photos is not None:
            return rows + texture_quality.bench_photos(photos, quick=quick)
        return rows + texture_quality.bench_patterns([_pair(n) for n in range(1 if quick else PATTERNS)])


def described(photos: Path | None) -> dict[str, str]:
    """What was made and of what, for the record."""
    made = {"texture methods": ", ".join(f"{name} version {PRESETS[name].version}" for name in METHODS)}
    return made if photos is None else made | {"photographs": texture_quality.described(photos)}


def _textures(rounds: int) -> list[Row]:
    pair = _pair(0)
    made = texture(pair, seed=0)
    if not np.array_equal(made, texture(pair, seed=0)):
        raise RunFailed("the same seed gave two textures, so their speed means nothing; run the tests")

    def synthesise(method: str) -> Callable[[], object]:
        seeds = count()
        return lambda: texture(pair, seed=next(seeds), method=method)

    variants: dict[str, Callable[[], object]] = {REFERENCE: lambda: cv2.imencode(".png", made)}
    variants |= {method: synthesise(method) for method in METHODS}
    timings = compare(variants, rounds=rounds, slot_s=0.02)
    reference = timings[REFERENCE]
    return [
        Row(CASE, name, timing.seconds * 1e6, {PNGS: timing.over(reference)})
        for name, timing in timings.items()
    ]


def _negatives(size: int, rounds: int) -> list[Row]:
    views = np.stack([_pattern(size, seed) for seed in range(BATCH)])

    def make(kind: Callable[..., object]) -> Callable[[], object]:
        epochs = count()
        return lambda: kind(views, epoch=next(epochs))

    scan, live = (partial(texture_negatives, method=method, threads=1) for method in ("fast", "live"))
    variants = {"fast": make(scan), "live": make(live), "patch negatives": make(patch_negatives)}
    timings = compare(variants, rounds=rounds, slot_s=0.02)
    fast = timings["fast"]
    return [
        Row(case(size), name, timing.seconds * 1e6 / BATCH, {OF_FAST: timing.over(fast)})
        for name, timing in timings.items()
    ]


def _pair(number: int) -> list[npt.NDArray[np.uint8]]:
    return [_pattern(texture_quality.SIDE, seed) for seed in (2 * number, 2 * number + 1)]


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
