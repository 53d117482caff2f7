"""Speed of texture synthesis by method and size, and quality beside the published tool that it replaces.

Speed: one thread, CPU time. A texture is compared with a fixed loop over windows, which limits it on any
machine, and with the PNG encoding of itself; negatives of a batch of views, as a training loop makes them,
with those by the method `fast`.

Quality: on forty photographs, or for information on patterns. The tool is EmbarkStudios/texture-synthesis at
commit 22825ec, default settings, one thread, on the same forty pairs. Its figures were measured once
elsewhere, so quality is judged by ratios to them.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from texneg.bench.common.photographs import PHOTOS, SIDE, describe_photos, photo_pairs
from texneg.bench.common.portilla import portilla_distances
from texneg.bench.common.quality import PUBLISHED, Quality, quality, summarise
from texneg.bench.common.ratios import Gate, Row, Timing, compare, one_thread, report
from texneg.bench.common.results import PhotosConfig
from texneg.bench.common.window_loop import make_colours, match_windows
from texneg.errors import RunFailed
from texneg.patches.patches import patch_negatives
from texneg.philox.arrays import generator
from texneg.textures.live.cpu import atlas_maps
from texneg.textures.live.cpu_search import texture_keys
from texneg.textures.live.negatives import texture_negatives
from texneg.textures.live.plan import batch_key, levels
from texneg.textures.presets import METHODS, PRESETS
from texneg.textures.texture import texture, texture_map, warm_up
from texneg.textures.window import RADIUS

I32 = npt.NDArray[np.int32]
U8 = npt.NDArray[np.uint8]
Pairs: TypeAlias = Sequence[Sequence[U8]]

SIZE = 224  # px
VIEWS, BATCH = (224, 96, 64, 32), 16  # px; images
LOOP, LOOPS = "window loop", "window loops"
PNG, PNGS, OF_FAST = "PNG encoding of the texture", "PNG encodings", "of fast's time"
PATTERN_PAIRS = 4
SPEED = f"texture of {SIZE} px from two exemplars of {SIDE} px"
PHOTOGRAPHS = f"{SIZE} px textures of {PHOTOS} photographs, ratios to the published tool"
PATTERNS = f"{SIZE} px textures of patterns, figures of quality: lower is better, except for coverage"

TOOL = "published tool, stored"
STORED = PUBLISHED | {"portilla": 1.062}  # by plenoptic, see texneg.bench.common.portilla
LIMITS = {  # of the ratios to the stored figures; coverage from below, the others from above
    "fast": (0.75, 0.70, 1.08, 0.60, 0.55, 0.25, 1.4, 0.85),
    "default": (0.75, 0.70, 1.00, 0.60, 0.55, 0.25, 1.4, 0.85),
    "quality": (0.75, 0.65, 0.87, 0.45, 0.30, 0.25, 1.4, 0.80),
    "live": (0.75, 0.70, 1.00, 0.60, 0.55, 0.25, 1.4, 0.85),
}
MOST_LOOPS = {"fast": 1.25, "default": 1.8, "quality": 5.2}  # of a texture's time


def view_case(size: int) -> str:
    """Heading of the negatives of views of a size."""
    return f"texture negatives of {size} px, batch {BATCH}"


QUALITY_GATES = (
    *(Gate(PHOTOGRAPHS, method, LOOPS, "at most", limit) for method, limit in MOST_LOOPS.items()),
    *(
        Gate(PHOTOGRAPHS, method, name, "at least" if name == "coverage" else "at most", limit)
        for method, limits in LIMITS.items()
        for name, limit in zip(STORED, limits, strict=True)
    ),
)
GATES = (
    *(Gate(SPEED, method, LOOPS, "at most", limit) for method, limit in MOST_LOOPS.items()),
    *(Gate(view_case(size), "live", OF_FAST, "at most", 1.7) for size in VIEWS),
    *QUALITY_GATES,
)


class Measured(NamedTuple):
    """Time and quality of one method's textures of all pairs."""

    timing: Timing
    """CPU time of each texture."""
    found: list[Quality]
    """One a texture."""
    portilla: float
    """Distance of Portilla-Simoncelli statistics, mean."""


def bench(config: PhotosConfig) -> int:
    """Time and judge the texture methods."""
    rows = measure_textures(config.photos, quick=config.quick)
    return report(config, rows, GATES, **describe(config.photos))


def measure_textures(photos: Path | None = None, *, quick: bool) -> list[Row]:
    """Measure every method; quality on photographs or, for information, on patterns."""
    rounds = 5 if quick else 20
    with one_thread():
        rows = _time_textures(rounds)
        for size in VIEWS:
            rows += _time_negatives(size, rounds)
        if photos is not None:
            return rows + judge_photos(photos, quick=quick)
        return rows + judge_patterns([_pattern_pair(n) for n in range(1 if quick else PATTERN_PAIRS)])


def describe(photos: Path | None) -> dict[str, str]:
    """Versions of the methods and hash of the photographs, for the record."""
    methods = {"texture methods": ", ".join(f"{name} version {PRESETS[name].version}" for name in METHODS)}
    return methods if photos is None else methods | {"photographs": describe_photos(photos)}


def judge_photos(tar: Path, *, quick: bool) -> list[Row]:
    """Time and quality of every method, as ratios to the tool; one seed when `quick`, else three."""
    rows = [Row(PHOTOGRAPHS, TOOL, None, dict.fromkeys(STORED, 1.0), STORED)]
    methods, loop = measure_quality(photo_pairs(tar), 1 if quick else 3)
    for method, measured in methods.items():
        figures = averages(measured)
        ratios = {name: figures[name] / stored for name, stored in STORED.items()}
        ratios[LOOPS] = measured.timing.over(loop)
        rows.append(Row(PHOTOGRAPHS, method, measured.timing.seconds * 1e6, ratios, figures))
    return rows


def judge_patterns(pairs: Pairs) -> list[Row]:
    """The figures of every method on any pairs of exemplars, with nothing to compare them to."""
    measured, _ = measure_quality(pairs, 1)
    return [Row(PATTERNS, method, None, {}, averages(figures)) for method, figures in measured.items()]


def measure_quality(pairs: Pairs, seeds: int) -> tuple[dict[str, Measured], Timing]:
    """Time and figures of every method, and the time of the window loop; all take turns."""
    warm_up()
    colours = make_colours()
    match_windows(colours)
    live_map(pairs[0], seed=0)
    seconds: dict[str, list[float]] = {method: [] for method in (*MAKERS, LOOP)}
    found: dict[str, list[Quality]] = {method: [] for method in MAKERS}
    textures: dict[str, list[U8]] = {method: [] for method in MAKERS}
    for seed in range(seeds):
        for k, pair in enumerate(pairs):
            for method, (make, make_map) in MAKERS.items():
                seconds[method].append(_time(partial(make, pair, seed=1000 * seed + k)))
                made, coordinates = make_map(pair, seed=1000 * seed + k)
                found[method].append(quality(made, coordinates, pair))
                textures[method].append(made)
            seconds[LOOP].append(_time(partial(match_windows, colours)))
    measured = {
        method: Measured(
            Timing(tuple(seconds[method])),
            found[method],
            float(portilla_distances(textures[method], [*pairs] * seeds).mean()),
        )
        for method in MAKERS
    }
    return measured, Timing(tuple(seconds[LOOP]))


def _time(function: Callable[[], object]) -> float:
    """Seconds of CPU time of one call."""
    begun = time.thread_time()
    function()
    return time.thread_time() - begun


def averages(measured: Measured) -> dict[str, float]:
    """Averages of the figures of all textures, and the distance that only a set of textures has."""
    return summarise(measured.found) | {"portilla": measured.portilla}


def live(pair: Sequence[U8], *, seed: int) -> U8:
    """The live method as a function of two (96, 96, 3) exemplars: a (224, 224, 3) texture."""
    return np.concatenate(pair).reshape(-1, 3)[_live_source(pair, seed)]


def live_map(pair: Sequence[U8], *, seed: int) -> tuple[U8, I32]:
    """`live`, and the origin of each pixel: (224, 224, 3) int32 of exemplar, row, column."""
    owner, place = np.divmod(_live_source(pair, seed), SIDE * SIDE)
    coordinates = np.stack([owner, *np.divmod(place, SIDE)], axis=-1)
    return live(pair, seed=seed), coordinates.astype(np.int32)


def _live_source(pair: Sequence[U8], seed: int) -> I32:
    """The pixel of both exemplars, one below the other, that each output pixel shows."""
    keys = texture_keys(np.uint64(batch_key(seed, 0)), np.zeros(1, np.uint64), 1)
    framed = atlas_maps(np.array([pair], np.int16), keys, levels(SIZE, SIDE))[0]
    return framed[RADIUS:-RADIUS, RADIUS:-RADIUS]


MAKERS: dict[str, tuple[Callable[..., U8], Callable[..., tuple[U8, I32]]]] = {
    **{scan: (partial(texture, method=scan), partial(texture_map, method=scan)) for scan in METHODS},
    "live": (live, live_map),
}


def _time_textures(rounds: int) -> list[Row]:
    pair = _pattern_pair(0)
    made = texture(pair, seed=0)
    if not np.array_equal(made, texture(pair, seed=0)):
        raise RunFailed("the same seed gave two textures, so their speed means nothing; run the tests")

    def synthesise(method: str) -> Callable[[], object]:
        seeds = count()
        return lambda: texture(pair, seed=next(seeds), method=method)

    variants: dict[str, Callable[[], object]] = {
        LOOP: partial(match_windows, make_colours()),
        PNG: lambda: cv2.imencode(".png", made),
    }
    variants |= {method: synthesise(method) for method in METHODS}
    timings = compare(variants, rounds=rounds, slot_s=0.02)
    loop, png = timings[LOOP], timings[PNG]
    return [
        Row(SPEED, name, timing.seconds * 1e6, {LOOPS: timing.over(loop), PNGS: timing.over(png)})
        for name, timing in timings.items()
    ]


def _time_negatives(size: int, rounds: int) -> list[Row]:
    views = np.stack([_pattern(size, seed) for seed in range(BATCH)])

    def make(kind: Callable[..., object]) -> Callable[[], object]:
        epochs = count()
        return lambda: kind(views, epoch=next(epochs))

    scan, in_loop = (partial(texture_negatives, method=method, threads=1) for method in ("fast", "live"))
    variants = {"fast": make(scan), "live": make(in_loop), "patch negatives": make(patch_negatives)}
    timings = compare(variants, rounds=rounds, slot_s=0.02)
    fast = timings["fast"]
    return [
        Row(view_case(size), name, timing.seconds * 1e6 / BATCH, {OF_FAST: timing.over(fast)})
        for name, timing in timings.items()
    ]


def _pattern_pair(number: int) -> list[U8]:
    return [_pattern(SIDE, seed) for seed in (2 * number, 2 * number + 1)]


def _pattern(side: int, seed: int) -> U8:
    """Two crossed waves in random colours with grain: neither flat nor noise."""
    draws = generator(seed)
    y, x = np.mgrid[:side, :side] / side
    frequencies = draws.uniform(3, 12, (2, 2))
    waves = [np.sin(2 * np.pi * (fy * y + fx * x)) for fy, fx in frequencies]
    colours = draws.uniform(-60, 60, (2, 3))
    grain = draws.normal(0, 12, (side, side, 3))
    mix = 128 + waves[0][..., None] * colours[0] + waves[1][..., None] * colours[1] + grain
    return np.clip(mix, 0, 255).astype(np.uint8)
