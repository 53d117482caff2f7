"""Figures of a pre-training: how similar negatives are, and how training went. Data in, SVG text out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from texneg.train.report.curves import KINDS, METRICS, mean_curve
from texneg.train.report.runs import Arm
from texneg.train.report.svg import area, colour, line, linear, mark, number, picture, polyline, text, ticks

WIDTH = 1096
BINS_SHOWN = 50
DASHES = (None, "7 3", "2 3", "9 3 2 3")


def similarity_figure(arms: Sequence[Arm], measured: Sequence[Mapping[str, Any] | None]) -> str:
    """One row for each kind of second image; every arm's density of cosines to the query, and its mean."""
    kinds = [kind for kind in KINDS if any(one and kind in one["kinds"] for one in measured)]
    left, right, row, top = 150, 850, 104, 12
    lowest = _lowest(measured)
    x = linear(lowest, 1, left, right)
    floor = top + row * len(kinds)
    parts = []
    for tick in ticks(lowest, 1, 8):
        parts.append(line(x(tick), top, x(tick), floor, class_="axis" if tick == 0 else "grid"))
        parts.append(text(x(tick), floor + 18, number(tick), class_="tick", text_anchor="middle"))
    parts.append(
        text((left + right) / 2, floor + 40, "cosine with the query", class_="label", text_anchor="middle")
    )
    for place, kind in enumerate(kinds):
        base = top + row * (place + 1)
        rows = [
            (arm, one, one["kinds"][kind])
            for arm, one in zip(arms, measured, strict=True)
            if one and kind in one["kinds"]
        ]
        shapes = [_density(one["edges"], found["counts"]) for _, one, found in rows]
        peak = max(heights.max() for _, heights in shapes)
        parts.append(line(left, base, right, base, class_="axis"))
        parts.append(text(left - 14, base - row / 2 + 10, KINDS[kind], class_="name", text_anchor="end"))
        for (arm, _, found), (centres, heights) in zip(rows, shapes, strict=True):
            y = linear(0, peak, base, base - row + 18)
            points = [(x(c), y(h)) for c, h in zip(centres, heights, strict=True) if c > lowest]
            look = {
                "stroke": colour(arm.colour),
                "stroke_width": 1.7,
                "stroke_dasharray": DASHES[arm.colour % 4],
            }
            parts.append(area(points, base, fill=colour(arm.colour), opacity=0.1))
            parts.append(polyline(points, stroke_linejoin="round", **look))
            parts.append(
                mark(arm.colour, x(found["mean"]), base, title=f"{arm.label}: mean {found['mean']:+.3f}")
            )
        for i, (arm, _, found) in enumerate(rows):
            height = base - row / 2 + 10 + 19 * (i - (len(rows) - 1) / 2)
            parts.append(mark(arm.colour, right + 30, height - 4))
            auc = "" if found["auc"] is None else f"   AUC {found['auc']:.3f}"
            parts.append(
                text(right + 44, height, f"mean {found['mean']:+.3f}{auc}".replace("-", "−"), class_="value")
            )
    return picture(WIDTH, floor + 48, "Cosines with the query, by kind of image and arm", parts)


def _lowest(measured: Sequence[Mapping[str, Any] | None]) -> float:
    """Left end of the axis: a quarter below which hardly a cosine of any kind lies, at most 0."""
    ends = [0.0]
    for one in filter(None, measured):
        for found in one["kinds"].values():
            shares = np.cumsum(found["counts"]) / found["n"]
            ends.append(one["edges"][int(np.searchsorted(shares, 0.002))])
    return float(np.floor(4 * min(ends)) / 4)


def _density(
    edges: Sequence[float], counts: Sequence[float]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Bin centres and densities, neighbouring bins joined until few enough to draw."""
    starts = np.arange(0, len(counts), max(1, len(counts) // BINS_SHOWN))
    heights = np.add.reduceat(np.asarray(counts, np.float64), starts)
    borders = np.asarray(edges)[[*starts, len(counts)]]
    return (borders[:-1] + borders[1:]) / 2, heights / max(heights.sum(), 1) / np.diff(borders)


def training_figure(arms: Sequence[Arm], curves: Mapping[str, Sequence[Any]]) -> str:
    """One panel for each logged quantity over epochs: seeds thin, their mean bold."""
    columns, gap, height = 3, 46, 230
    width = (WIDTH - (columns - 1) * gap) / columns
    parts = []
    for place, (metric, by_arm) in enumerate(curves.items()):
        left, top = (place % columns) * (width + gap), (place // columns) * (height + 24)
        parts += _panel(arms, METRICS[metric], by_arm, left=left, top=top, width=width, height=height)
    rows = -(-len(curves) // columns)
    return picture(WIDTH, rows * (height + 24), "Training curves by arm", parts)


def _panel(
    arms: Sequence[Arm],
    title: str,
    by_arm: Sequence[Any],
    *,
    left: float,
    top: float,
    width: float,
    height: float,
) -> list[str]:
    points = [point for seeds in by_arm for seed in seeds for point in seed]
    low, high = min(y for _, y in points), max(y for _, y in points)
    margin = (high - low) * 0.06 or 0.5
    x = linear(0, max(e for e, _ in points), left + 40, left + width - 4)
    y = linear(low - margin, high + margin, top + height - 32, top + 28)
    parts = [text(left, top + 14, title, class_="panel")]
    for tick in ticks(low - margin, high + margin, 5):
        parts.append(line(left + 40, y(tick), left + width - 4, y(tick), class_="grid"))
        parts.append(text(left + 33, y(tick) + 4, number(tick), class_="tick", text_anchor="end"))
    for tick in ticks(0, max(e for e, _ in points), 4):
        parts.append(text(x(tick), top + height - 14, number(tick), class_="tick", text_anchor="middle"))
    parts.append(line(left + 40, y(low - margin), left + width - 4, y(low - margin), class_="axis"))
    parts.append(text(left + width - 4, top + height, "epoch", class_="tick", text_anchor="end"))
    for arm, seeds in zip(arms, by_arm, strict=True):
        look = {"stroke": colour(arm.colour), "stroke_linejoin": "round"}
        several = sum(map(bool, seeds)) > 1
        for seed in seeds if several else ():
            parts.append(polyline([(x(e), y(v)) for e, v in seed], opacity=0.35, stroke_width=0.9, **look))
        mean = [(x(e), y(v)) for e, v in mean_curve(seeds)]
        if mean:
            parts.append(polyline(mean, stroke_width=2, stroke_dasharray=DASHES[arm.colour % 4], **look))
            parts.append(mark(arm.colour, *mean[-1], title=arm.label))
    return parts
