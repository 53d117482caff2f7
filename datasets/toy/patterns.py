"""Procedural textures of the embedded data set: families of patterns with random scale, turn and colours.

A family maps pixel coordinates (x, y), in periods of the pattern, to a level 0 ... 1; two colours make it an
image.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.floating[Any]]
Family = Callable[[Plane, Plane, np.random.Generator], Plane]

EDGE = 7.0  # steepness of the transition between the two colours, per period
# So wide that hardly two images have the same texture: each is recognised by it, of whatever family it is.
PERIOD = (0.06, 0.3)  # range of one repeat, as a share of the image side
MAX_TURN = np.pi / 2  # radians
# Few and muted: with free colours, every image could be recognised by its colours alone.
TINTS = ((0.0, 0.0, 0.0), (0.1, 0.0, -0.1), (-0.1, 0.0, 0.1), (-0.07, 0.1, -0.07), (0.08, -0.08, 0.08))


def _step(level: Plane) -> Plane:
    return np.clip(0.5 + EDGE * level, 0, 1)


def _cells(x: Plane, y: Plane) -> tuple[Plane, Plane]:
    """Coordinates inside each unit cell, centred: -0.5 ... 0.5."""
    return x - np.floor(x) - 0.5, y - np.floor(y) - 0.5


def stripes(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    return _step(np.abs(_cells(x, y)[0]) - 0.25)


def checks(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    return _step(0.5 * np.sin(np.pi * x) * np.sin(np.pi * y))


def dots(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    u, v = _cells(x, y)
    return _step(np.hypot(u, v) - 0.3)


def bricks(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    row = np.floor(y)
    u, v = _cells(x / 2 + 0.5 * (row % 2), y)
    return _step(0.36 - np.maximum(np.abs(u) * 1.0 - 0.08, np.abs(v)))


def waves(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    return _step(np.abs(_cells(x, y + 0.5 * np.sin(1.5 * np.pi * x))[1]) - 0.25)


def grid(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    u, v = _cells(x, y)
    return _step(0.38 - np.maximum(np.abs(u), np.abs(v)))


def pebbles(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    nearest, second = _two_nearest(x, y, rng)
    return _step(second - nearest - 0.12)


def clouds(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    size = x.shape[0]
    field = np.zeros_like(x)
    for octave in range(3):
        side = 4 * 2**octave
        noise = rng.standard_normal((side, side)).astype(np.float32)
        field += cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC) / 2**octave
    return np.clip(0.5 + 0.4 * field, 0, 1)


def zigzag(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    return _step(np.abs(_cells(x, y + np.abs(_cells(x, y)[0]))[1]) - 0.25)


def rings(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    u, v = _cells(x / 2, y / 2)
    return _step(np.abs(_cells(4 * np.hypot(u, v), y)[0]) - 0.25)


def triangles(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    u, v = _cells(x, y)
    return _step(u - v)


def speckle(x: Plane, y: Plane, rng: np.random.Generator) -> Plane:
    size = x.shape[0]
    noise = rng.standard_normal((size // 2, size // 2)).astype(np.float32)
    return np.clip(0.5 + 0.5 * cv2.resize(noise, (size, size), interpolation=cv2.INTER_NEAREST), 0, 1)


# One family a class, in the order of the sorted class names.
FAMILIES: tuple[Family, ...] = (stripes, checks, dots, bricks, waves, grid, pebbles, clouds)
UNSEEN_FAMILIES: tuple[Family, ...] = (zigzag, rings, triangles, speckle)


def pattern(family: Family, size: int, rng: np.random.Generator, *, contrast: tuple[float, float]) -> Plane:
    """Draw an RGB image (size, size, 3) float32 in 0 ... 1 with random period, turn, shift and colours.

    `contrast` is the range of the distance between the two colours, in grey levels of 0 ... 1.
    """
    period = size * rng.uniform(*PERIOD)
    angle = rng.uniform(-MAX_TURN, MAX_TURN)
    shift = rng.uniform(0, 8, size=2)
    grid_y, grid_x = np.mgrid[0:size, 0:size].astype(np.float32) / np.float32(period)
    x = np.cos(angle) * grid_x + np.sin(angle) * grid_y + shift[0]
    y = np.cos(angle) * grid_y - np.sin(angle) * grid_x + shift[1]
    level = family(x.astype(np.float32), y.astype(np.float32), rng)[..., None]
    dark, light = colours(rng, contrast)
    return (dark + (light - dark) * level).astype(np.float32)


def colours(rng: np.random.Generator, contrast: tuple[float, float]) -> npt.NDArray[np.float64]:
    """Draw a dark and a light colour, (2, 3), a random step of grey apart, with one muted tint."""
    low, high = contrast
    step = rng.uniform(low, high)
    dark = rng.uniform(0, 1 - step)
    tint = np.array(TINTS[rng.integers(len(TINTS))])
    return np.clip(np.array([[dark], [dark + step]]) + tint, 0, 1)


def _two_nearest(x: Plane, y: Plane, rng: np.random.Generator) -> tuple[Plane, Plane]:
    """Distances to the nearest and second nearest of one random point in each unit cell."""
    jitter = rng.uniform(-0.4, 0.4, size=(16, 16, 2)).astype(np.float32)
    cell_x, cell_y = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    distances = []
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            column, row = cell_x + dx, cell_y + dy
            point = jitter[row % 16, column % 16]
            distances.append(np.hypot(column + 0.5 + point[..., 0] - x, row + 0.5 + point[..., 1] - y))
    ordered = np.partition(np.stack(distances), 1, axis=0)
    return ordered[0], ordered[1]
