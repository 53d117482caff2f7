"""Quality of texture methods on forty photographs, beside stored figures of the tool that they replace.

Exemplars without randomness: names in the tar sorted bytewise, every sixth, the first forty (k = 0 ... 39);
96 px at the centre, and 96 px at top (h - 96) (37 k mod 101) / 100, left (w - 96) (61 k mod 101) / 100,
rounded down. The tool is EmbarkStudios/texture-synthesis at commit 22825ec, default settings, one thread, on
the same forty pairs. Its figures were measured once elsewhere, so quality is judged by ratios to them.
"""

import hashlib
import tarfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from texneg.bench.portilla import portilla_distances
from texneg.bench.quality import Quality, quality
from texneg.bench.ratios import MS, Gate, Row
from texneg.errors import InputError
from texneg.textures.live.cpu import atlas_maps
from texneg.textures.live.cpu_search import texture_keys
from texneg.textures.live.plan import base_key, levels
from texneg.textures.presets import METHODS as SCANS
from texneg.textures.texture import texture, texture_map, warm_up
from texneg.textures.window import RADIUS

I32 = npt.NDArray[np.int32]
U8 = npt.NDArray[np.uint8]
Pairs: TypeAlias = Sequence[Sequence[U8]]

PHOTOS, EVERY, SIDE, SIZE = 40, 6, 96, 224
CASE = f"224 px textures of {PHOTOS} photographs, ratios to the published tool"
PATTERNS = "224 px textures of patterns, figures of texneg.bench.quality: the lower the better, but coverage"

TOOL = "published tool, stored"
ANCHOR = {
    "swd": 8.40,
    "gradient_w1": 4.59,
    "seam_ratio": 1.04,
    "largest_verbatim": 2488.0,
    "mean_verbatim": 507.0,
    "imbalance": 0.62,
    "coverage": 0.47,
}
STORED = ANCHOR | {"portilla": 1.062}  # by plenoptic, see texneg.bench.portilla
LIMITS = {  # of the ratios to what is stored; coverage from below, the others from above
    "fast": (0.75, 0.70, 1.08, 0.60, 0.55, 0.25, 1.4, 0.85),
    "default": (0.75, 0.70, 1.00, 0.60, 0.55, 0.25, 1.4, 0.85),
    "quality": (0.75, 0.65, 0.87, 0.45, 0.30, 0.25, 1.4, 0.80),
    "live": (0.75, 0.70, 1.00, 0.60, 0.55, 0.25, 1.4, 0.85),
}
MOST_MS = {"fast": 5.0, "default": 6.5, "quality": 20.0}

GATES = (
    *(Gate(CASE, method, MS, "at most", limit) for method, limit in MOST_MS.items()),
    *(
        Gate(CASE, method, name, "at least" if name == "coverage" else "at most", limit)
        for method, limits in LIMITS.items()
        for name, limit in zip(STORED, limits, strict=True)
    ),
)


class Measured(NamedTuple):
    """What one method made of all pairs."""

    seconds: float
    """CPU time of a texture, median."""
    found: list[Quality]
    """One a texture."""
    portilla: float
    """Distance of Portilla-Simoncelli statistics, mean."""


def bench_photos(tar: Path, *, quick: bool) -> list[Row]:
    """Time and quality of every method, as ratios to the tool; one seed when `quick`, else three."""
    rows = [Row(CASE, TOOL, None, dict.fromkeys(STORED, 1.0), STORED)]
    for method, measured in measure(photo_pairs(tar), 1 if quick else 3).items():
        figures = averages(measured)
        ratios = {name: figures[name] / stored for name, stored in STORED.items()}
        rows.append(Row(CASE, method, measured.seconds * 1e6, ratios, figures))
    return rows


def bench_patterns(pairs: Pairs) -> list[Row]:
    """The figures of every method on any pairs of exemplars, with nothing to compare them to."""
    return [
        Row(PATTERNS, method, None, {}, averages(measured)) for method, measured in measure(pairs, 1).items()
    ]


def measure(pairs: Pairs, seeds: int) -> dict[str, Measured]:
    """Time and figures of every method; the methods take turns."""
    warm_up()
    live_map(pairs[0], seed=0)
    seconds: dict[str, list[float]] = {method: [] for method in METHODS}
    found: dict[str, list[Quality]] = {method: [] for method in METHODS}
    textures: dict[str, list[U8]] = {method: [] for method in METHODS}
    for seed in range(seeds):
        for k, pair in enumerate(pairs):
            for method, (make, make_map) in METHODS.items():
                begun = time.thread_time()
                make(pair, seed=1000 * seed + k)
                seconds[method].append(time.thread_time() - begun)
                made, coordinates = make_map(pair, seed=1000 * seed + k)
                found[method].append(quality(made, coordinates, pair))
                textures[method].append(made)
    return {
        method: Measured(
            median(seconds[method]),
            found[method],
            float(portilla_distances(textures[method], [*pairs] * seeds).mean()),
        )
        for method in METHODS
    }


def live(pair: Sequence[U8], *, seed: int) -> U8:
    """The live method as a function of two (96, 96, 3) exemplars: a (224, 224, 3) texture."""
    return np.concatenate(pair).reshape(-1, 3)[_live_source(pair, seed)]


def live_map(pair: Sequence[U8], *, seed: int) -> tuple[U8, I32]:
    """`live`, and where each pixel comes from: (224, 224, 3) int32 of exemplar, row, column."""
    owner, place = np.divmod(_live_source(pair, seed), SIDE * SIDE)
    coordinates = np.stack([owner, *np.divmod(place, SIDE)], axis=-1)
    return live(pair, seed=seed), coordinates.astype(np.int32)


def _live_source(pair: Sequence[U8], seed: int) -> I32:
    """The pixel of both exemplars, one below the other, that each output pixel shows."""
    keys = texture_keys(np.uint64(base_key(seed, 0)), np.zeros(1, np.uint64), 1)
    framed = atlas_maps(np.array([pair], np.int16), keys, levels(SIZE, SIDE))[0]
    return framed[RADIUS:-RADIUS, RADIUS:-RADIUS]


METHODS: dict[str, tuple[Callable[..., U8], Callable[..., tuple[U8, I32]]]] = {
    **{scan: (partial(texture, method=scan), partial(texture_map, method=scan)) for scan in SCANS},
    "live": (live, live_map),
}


def averages(measured: Measured) -> dict[str, float]:
    """`summary`, and the distance that only a set of textures has."""
    return summary(measured.found) | {"portilla": measured.portilla}


def summary(found: Sequence[Quality]) -> dict[str, float]:
    """Averages: medians for seams, verbatim sizes and the tail, means for the rest."""

    def column(name: str) -> npt.NDArray[np.float64]:
        return np.array([getattr(one, name) for one in found], np.float64)

    bands = column("swd").mean(axis=0)
    means = {
        "swd": bands.mean(),
        "gradient_w1": column("gradient_w1").mean(),
        **{name: np.nanmedian(column(name)) for name in ("seam_ratio", "largest_verbatim", "mean_verbatim")},
        **{name: column(name).mean() for name in ("imbalance", "coverage")},
        **{f"swd_level_{number}": band for number, band in enumerate(bands)},
        "gradient_tail": np.median(column("gradient_tail")),
    }
    return {name: float(value) for name, value in means.items()}


def photo_pairs(tar: Path) -> list[list[U8]]:
    """Forty pairs of (96, 96, 3) exemplars.

    Raises:
        InputError: no such tar, or too few or too small photographs in it.
    """
    try:
        with tarfile.open(tar) as archive:
            names = sorted(name for name in archive.getnames() if name.lower().endswith((".jpeg", ".jpg")))
            files = [archive.extractfile(name) for name in names[: PHOTOS * EVERY : EVERY]]
            photos = [np.asarray(Image.open(BytesIO(file.read())).convert("RGB")) for file in files if file]
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"{tar} cannot be read as a tar of photographs: {error}") from error
    if len(photos) < PHOTOS or min(min(photo.shape[:2]) for photo in photos) < SIDE:
        raise InputError(
            f"{tar} has {len(names)} JPEG files; {PHOTOS} photographs are taken, every {EVERY}th, with sides"
            f" from {SIDE} px: give a larger tar"
        )
    return [exemplars(photo, k) for k, photo in enumerate(photos)]


def exemplars(photo: U8, k: int) -> list[U8]:
    """The two (96, 96, 3) cuts of photograph k."""
    height, width = photo.shape[:2]
    centre = height // 2 - SIDE // 2, width // 2 - SIDE // 2
    other = (height - SIDE) * (37 * k % 101) // 100, (width - SIDE) * (61 * k % 101) // 100
    return [photo[y : y + SIDE, x : x + SIDE] for y, x in (centre, other)]


def described(tar: Path) -> str:
    """Name and hash of the tar."""
    return f"{tar.name}, sha256 {hashlib.sha256(tar.read_bytes()).hexdigest()}"
