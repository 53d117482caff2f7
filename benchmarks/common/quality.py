"""Quality of a texture: how well it keeps the statistics of its exemplars, and how much it copied.

No figure may be trusted alone: tiling the exemplars wins most of them and is no texture. Read all of them
together with the pictures. Colour differences are in grey levels of 255. S is the side of the texture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from texneg.jit import compiled

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

BANDS = 4  # levels of the Laplacian pyramid
PATCHES, DIRECTIONS = 4096, 128  # a level
PATCH, SMALL_PATCH, SMALL_LEVEL = 7, 3, 11  # px; exemplar levels under 11 px are compared by 3 x 3 patches
QUANTILES = 2000
TAIL = 0.005

PUBLISHED = {  # of the published tool's textures, see texneg.bench.textures
    "swd": 8.40,
    "gradient_w1": 4.59,
    "seam_ratio": 1.04,
    "largest_verbatim": 2488.0,
    "mean_verbatim": 507.0,
    "imbalance": 0.62,
    "coverage": 0.47,
}


@dataclass(frozen=True)
class Quality:
    """Figures of one texture. Lower is better, but for coverage and for the tail, which is right at 1."""

    swd: tuple[float, ...]
    """Sliced Wasserstein distance of 7 x 7 patches by level of a Laplacian pyramid, finest first."""
    gradient_w1: float
    """Wasserstein distance of the colour steps between neighbours."""
    gradient_tail: float
    """Share of steps above the exemplars' 99.5 % quantile, over 0.005: blurred below 1, new edges above."""
    seam_ratio: float
    """Mean step where two copies meet over the exemplars' mean step; nan without seams or without steps."""
    largest_verbatim: int
    """Pixels of the largest region copied in one piece."""
    mean_verbatim: float
    """Pixels of the copied region that a random pixel lies in."""
    imbalance: float
    """0: all exemplars feed equally many pixels; 1: one feeds all."""
    coverage: float
    """Share of the exemplars' pixels used at least once."""


def quality(texture: U8, coordinates: I32, exemplars: Sequence[U8]) -> Quality:
    """All figures of a texture made by `texneg.textures.texture.texture_map`.

    Args:
        texture: (S, S, 3) uint8.
        coordinates: (S, S, 3) exemplar, row and column of each pixel.
        exemplars: what it was made of, each (h, w, 3) uint8.
    """
    own = colour_steps([texture])
    theirs = colour_steps(exemplars)
    largest, mean = verbatim(coordinates)
    return Quality(
        swd=sliced_wasserstein(texture, exemplars),
        gradient_w1=gradient_distance(own, theirs),
        gradient_tail=float((own > np.quantile(theirs, 1 - TAIL)).mean() / TAIL),
        seam_ratio=seam_ratio(texture, coordinates, float(theirs.mean())),
        largest_verbatim=largest,
        mean_verbatim=mean,
        imbalance=imbalance(coordinates, len(exemplars)),
        coverage=coverage(coordinates, exemplars),
    )


def sliced_wasserstein(texture: U8, exemplars: Sequence[U8]) -> tuple[float, ...]:
    """Sliced Wasserstein distance of random patches, one value a level of the Laplacian pyramid.

    At each level 4096 patches of the texture and as many of the exemplars together are projected on 128
    random unit vectors; the distance is the mean absolute difference of the sorted projections. The draws are
    fixed. After Karras et al., "Progressive growing of GANs", ICLR 2018, but of one image, not normalised.
    """
    random = np.random.default_rng(0)
    count = PATCHES // len(exemplars)
    distances = []
    pyramids = zip(*(laplacian(exemplar) for exemplar in exemplars), strict=True)
    for own, theirs in zip(laplacian(texture), pyramids, strict=True):
        shortest = min(min(level.shape[:2]) for level in theirs)
        side = PATCH if shortest >= SMALL_LEVEL else min(SMALL_PATCH, shortest)
        directions = random.standard_normal((side * side * 3, DIRECTIONS)).astype(np.float32)
        directions /= np.linalg.norm(directions, axis=0)
        a = random_patches(own, side, count * len(exemplars), random) @ directions
        b = np.concatenate([random_patches(level, side, count, random) for level in theirs]) @ directions
        distances.append(float(np.abs(np.sort(a, axis=0) - np.sort(b, axis=0)).mean()))
    return tuple(distances)


def laplacian(image: U8) -> list[F32]:
    """Laplacian pyramid (Burt and Adelson, 1983) of `BANDS` levels, finest first, the last the low-pass."""
    bands = []
    fine = image.astype(np.float32)
    for _ in range(BANDS - 1):
        coarse = blur(fine)[::2, ::2]
        repeated = coarse.repeat(2, axis=0).repeat(2, axis=1)[: fine.shape[0], : fine.shape[1]]
        bands.append(fine - blur(repeated))
        fine = coarse
    return [*bands, fine]


def blur(image: F32) -> F32:
    """Separable filter 1 4 6 4 1 / 16 with reflected edges."""
    for axis in (0, 1):
        lines = np.moveaxis(image, axis, 0)
        n = len(lines)
        padding = ((2, 2), (0, 0), (0, 0))
        lines = np.pad(lines, padding, mode="reflect") if n > 1 else np.pad(lines, padding, mode="edge")
        sums = lines[:n] + lines[4:] + 4 * (lines[1 : n + 1] + lines[3 : n + 3]) + 6 * lines[2 : n + 2]
        image = np.moveaxis(sums / np.float32(16), 0, axis)
    return image


def random_patches(image: F32, side: int, count: int, random: np.random.Generator) -> F32:
    """(count, side * side * 3) patches at uniform random places, with repetition."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (side, side), axis=(0, 1))
    y = random.integers(windows.shape[0], size=count)
    x = random.integers(windows.shape[1], size=count)
    return np.ascontiguousarray(windows[y, x]).reshape(count, -1)


def colour_steps(images: Sequence[U8]) -> F64:
    """RGB distances of all horizontal and vertical neighbours, pooled over the images."""
    steps = []
    for image in images:
        values = image.astype(np.float64)
        for axis in (0, 1):
            steps.append(np.linalg.norm(np.diff(values, axis=axis), axis=2).ravel())
    return np.concatenate(steps)


def gradient_distance(own: F64, theirs: F64) -> float:
    """Wasserstein distance of two sets of colour steps, by their quantiles from 0.0005 to 0.9995."""
    at = np.linspace(0.0005, 0.9995, QUANTILES)
    return float(np.abs(np.quantile(own, at) - np.quantile(theirs, at)).mean())


def continuations(coordinates: I32) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Masks of pixels whose right, and lower, neighbour continues their copy: (S, S - 1), (S - 1, S)."""
    right = (np.diff(coordinates, axis=1) == (0, 0, 1)).all(axis=2)
    down = (np.diff(coordinates, axis=0) == (0, 1, 0)).all(axis=2)
    return right, down


def seam_ratio(texture: U8, coordinates: I32, mean_step: float) -> float:
    """Mean colour step over the neighbour pairs that do not continue one copy, over `mean_step`."""
    values = texture.astype(np.float64)
    right, down = continuations(coordinates)
    across = np.linalg.norm(np.diff(values, axis=1), axis=2)[~right]
    along = np.linalg.norm(np.diff(values, axis=0), axis=2)[~down]
    if across.size + along.size == 0 or mean_step == 0:
        return float("nan")
    return float(np.concatenate([across, along]).mean() / mean_step)


def verbatim(coordinates: I32) -> tuple[int, float]:
    """Largest and area-weighted mean size of the 4-connected regions whose pixels continue one another."""
    right, down = continuations(coordinates)
    sizes = np.bincount(_regions(right, down).ravel()).astype(np.float64)
    return int(sizes.max()), float((sizes**2).sum() / sizes.sum())


@compiled()
def _regions(right: npt.NDArray[np.bool_], down: npt.NDArray[np.bool_]) -> I32:
    height, width = right.shape[0], down.shape[1]
    parent = np.arange(height * width).astype(np.int32)
    for n in range(height * width):
        y, x = n // width, n % width
        for neighbour, joined in ((n - 1, x > 0 and right[y, x - 1]), (n - width, y > 0 and down[y - 1, x])):
            if not joined:
                continue
            a, b = n, neighbour
            while parent[a] != a:
                parent[a] = parent[parent[a]]
                a = parent[a]
            while parent[b] != b:
                parent[b] = parent[parent[b]]
                b = parent[b]
            parent[max(a, b)] = min(a, b)
    for n in range(height * width):
        parent[n] = parent[parent[n]]
    return parent


def imbalance(coordinates: I32, count: int) -> float:
    """Distance of the exemplars' shares from equality, 0 to 1; for two exemplars 2 |share - 1/2|."""
    if count == 1:
        return 0.0
    shares = np.bincount(coordinates[..., 0].ravel(), minlength=count) / coordinates[..., 0].size
    return float(np.abs(shares - 1 / count).sum() / (2 - 2 / count))


def coverage(coordinates: I32, exemplars: Sequence[U8]) -> float:
    """Share of all exemplar pixels that the texture uses at least once."""
    used = len(np.unique(coordinates.reshape(-1, 3), axis=0))
    return used / sum(exemplar.shape[0] * exemplar.shape[1] for exemplar in exemplars)


def summarise(found: Sequence[Quality]) -> dict[str, float]:
    """Average over textures: medians of seams, verbatim sizes and the tail, means of the rest."""

    def column(name: str) -> F64:
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
