"""Silhouettes of the embedded data set: closed outlines, filled or drawn as lines.

Outlines are polygons in a unit frame (x right, y down, the shape about fits the circle of radius 1); a shape
with a hole has two. They are turned, scaled and shifted, rasterised four times too large, and
averaged down.
"""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

Outline = npt.NDArray[np.float64]  # (V, 2) vertices
Mask = npt.NDArray[np.float32]  # (S, S) coverage of each pixel, 0 ... 1

OVERSAMPLE = 4
CURVE_POINTS = 72


def _circle(radius: float, points: int = CURVE_POINTS) -> Outline:
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _spokes(outer: float, inner: float, spikes: int) -> Outline:
    angle = np.arange(2 * spikes) * np.pi / spikes - np.pi / 2
    radius = np.where(np.arange(2 * spikes) % 2 == 0, outer, inner)
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def disc() -> list[Outline]:
    return [_circle(0.9)]


def ring() -> list[Outline]:
    return [_circle(0.95), _circle(0.5)]


def square() -> list[Outline]:
    return [np.array([[-0.78, -0.78], [0.78, -0.78], [0.78, 0.78], [-0.78, 0.78]])]


def triangle() -> list[Outline]:
    return [1.05 * _circle(1.0, 3) @ np.array([[0.0, -1.0], [1.0, 0.0]])]


def star() -> list[Outline]:
    return [_spokes(1.05, 0.45, 5)]


def cross() -> list[Outline]:
    a, b = 0.34, 0.95
    corner = np.array([[-a, -b], [a, -b], [a, -a]])
    quarter_turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    return [np.concatenate([corner @ np.linalg.matrix_power(quarter_turn, k) for k in range(4)])]


def crescent() -> list[Outline]:
    outer = np.linspace(0.25 * np.pi, 1.75 * np.pi, CURVE_POINTS)
    rim = np.stack([np.cos(outer), np.sin(outer)], axis=1)
    inner = np.linspace(1.66 * np.pi, 0.34 * np.pi, CURVE_POINTS)
    bite = np.array([0.38, 0.0]) + 0.72 * np.stack([np.cos(inner), np.sin(inner)], axis=1)
    return [np.concatenate([rim, bite]) + np.array([0.15, 0.0])]


def heart() -> list[Outline]:
    t = np.linspace(0, 2 * np.pi, CURVE_POINTS, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return [np.stack([x, y], axis=1) / 17]


SHAPES: dict[str, Callable[[], list[Outline]]] = {
    shape.__name__: shape for shape in (crescent, cross, disc, heart, ring, square, star, triangle)
}


def transform(
    outlines: list[Outline], *, angle: float, scale: float, shift: tuple[float, float]
) -> list[Outline]:
    """Turn by `angle` radians, scale to radius `scale` and centre at `shift`, both in image sides."""
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, sin], [-sin, cos]])
    return [scale * outline @ turn + np.asarray(shift) for outline in outlines]


def fill(outlines: list[Outline], size: int) -> Mask:
    """Rasterise the region inside the outlines: (size, size) coverage; a second outline is a hole."""
    canvas = np.zeros((size * OVERSAMPLE, size * OVERSAMPLE), np.uint8)
    cv2.fillPoly(canvas, _pixels(outlines, size), 255)
    return _average(canvas, size)


def draw(outlines: list[Outline], size: int, *, width: float) -> Mask:
    """Rasterise the outlines as lines `width` pixels wide: (size, size) coverage."""
    canvas = np.zeros((size * OVERSAMPLE, size * OVERSAMPLE), np.uint8)
    cv2.polylines(canvas, _pixels(outlines, size), True, 255, max(1, round(width * OVERSAMPLE)))
    return _average(canvas, size)


def _pixels(outlines: list[Outline], size: int) -> list[npt.NDArray[np.int32]]:
    return [np.round(outline * size * OVERSAMPLE).astype(np.int32) for outline in outlines]


def _average(canvas: npt.NDArray[np.uint8], size: int) -> Mask:
    small = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255
