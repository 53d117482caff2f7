"""The figure of a reliance profile, a panel for each curve and the changes to the first arm; its pictures."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from texneg.datasets.suppressions.frequency import OCTAVES
from texneg.datasets.suppressions.suppress import SUPPRESSIONS
from texneg.train.evaluate.analyses.curves import (
    AXES,
    PAIRS,
    TEXTURES,
    UNCHANGED,
    Change,
    Point,
    change,
    compare,
    describe_change,
)
from texneg.train.evaluate.features import U8
from texneg.train.evaluate.figures import (
    AXIS,
    FAINT,
    NAME,
    Look,
    is_narrow,
    lower_row,
    name_rows,
    subplots,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Arms = Sequence[tuple[Look, Sequence[Mapping[str, Any]]]]

COLUMNS, PANEL, STEP = 3, 215, 15  # panels in a row, their height, a row of changes for each arm, pixels
SHEET_COLUMNS, TEXT = 9, 18  # pictures in a row of the sheet; pixels of the line below
WORDS, NARROW_WORDS = 135, 50  # letters in a line of the page
PANELS = (  # title, and the curves that it shows one after another
    ("Patches shuffled, squares", ("patch_shuffle",)),
    ("Patches turned, squares", ("patch_rotation",)),
    ("Grey; channels exchanged", ("grey", "channel_shuffle")),
    ("Gaussian blur, kernel", ("blur",)),
    ("Bilateral filter, diameter", ("bilateral",)),
    ("Non-local means, h", ("non_local_means",)),
    ("One octave removed, cycles", ("octave",)),
    ("Watermark, opacity", ("watermark",)),
    ("Own patches or texture alone", ("patches", TEXTURES)),
    *((f"{name[0].upper()}{name[1:]} taken away", (name,)) for name in PAIRS),
)


def draw_curves(arms: Arms) -> "Figure":
    """Draw a panel for each curve that an arm has, from the unchanged images on; below them the changes."""
    there = {point["curve"] for _, runs in arms for one in runs for point in one["points"]}
    panels = [(title, [c for c in curves if c in there]) for title, curves in PANELS]
    panels = [(title, curves) for title, curves in panels if curves]
    changes = [(look, compare(runs, arms[0][1])) for look, runs in arms[1:]]
    changes = [(look, found) for look, found in changes if found]
    lines = [line for look, found in changes for line in _describe(look, arms[0][0], found)]
    columns = 1 if is_narrow() else COLUMNS
    rows = -(-len(panels) // columns)
    step = STEP * len(changes) + 14 + (NAME if is_narrow() else 0)
    below = step * len(changes[0][1]) + 22 * len(lines) + 60 if changes else 0
    heights = [PANEL] * rows + ([below] if changes else [])
    figure, grid = subplots(
        len(heights),
        columns,
        height=sum(heights) or PANEL,
        narrow_columns=columns,
        squeeze=False,
        height_ratios=heights or None,
    )
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for axes, (title, curves) in zip(grid.flat, panels, strict=False):
        axes.set_title(title)
        for look, runs in arms:
            _draw_curve(axes, look, runs, curves)
        axes.set_ylim(0, 100)
    if changes:
        axes = figure.add_subplot(grid[0, 0].get_gridspec()[rows, :])
        _draw_changes(axes, changes)
        axes.set_title("\n".join(lines), fontsize=11 if is_narrow() else 13, fontweight="normal")
    return figure


def _describe(look: Look, base: Look, found: Mapping[str, Change]) -> list[str]:
    return wrap(
        f"{look.label} against {base.label}, points: {describe_change(found)}",
        NARROW_WORDS if is_narrow() else WORDS,
    )


def _draw_curve(axes: "Axes", look: Look, runs: Sequence[Mapping[str, Any]], curves: Sequence[str]) -> None:
    """Draw the mean over runs with the mean of their intervals; a second curve stands apart."""
    start, ticks = 0, ["0"]
    for number, curve in enumerate(curves):
        own = [[p for p in one["points"] if p["curve"] in ((UNCHANGED, curve) if not number else (curve,))]
               for one in runs]  # fmt: skip
        own = [points for points in own if len(points) > (number == 0)]
        if not own:
            continue
        length = min(map(len, own))
        x = np.arange(start, start + length)
        mean, low, high = (
            100 * np.array([[point[name] for point in points[:length]] for points in own]).mean(0)
            for name in ("accuracy", "low", "high")
        )
        axes.fill_between(x, low, high, color=look.colour, alpha=0.12, linewidth=0)
        axes.plot(x, mean, clip_on=False, **look.line)
        axes.plot(x, mean, clip_on=False, **{**look.point, "markersize": 6})
        if all("knn" in point for points in own for point in points):
            knn = 100 * np.array([[point["knn"] for point in points[:length]] for points in own]).mean(0)
            axes.plot(x, knn, **{**look.line, "linewidth": 0.8, "alpha": 0.7})
        ticks += [_label(curve, point["strength"]) for point in own[0][(number == 0) :]]
        start += length
    axes.set_xticks(range(len(ticks)), ticks)
    axes.axhline(100 * runs[0]["chance"], color=FAINT, linestyle=(0, (2, 2)), linewidth=1.4)


def _label(curve: str, strength: float) -> str:
    """Name a strength on the axis."""
    if curve in PAIRS:
        return ("", "weak", "strong")[int(strength)]
    if curve == "octave":
        low, high = OCTAVES[int(strength) - 1]
        return f"{low:g}-{high:g}" if high < 1000 else f"{low:g}-"
    words = {TEXTURES: "texture", "channel_shuffle": "exchanged"}
    return words.get(curve, f"{strength:g}" if curve in SUPPRESSIONS else curve)


def _draw_changes(axes: "Axes", changes: Sequence[tuple[Look, Mapping[str, Change]]]) -> None:
    """Draw the change of each axis, points, with its interval over images."""
    names = [axis for axis in (UNCHANGED, *AXES) if any(axis in found for _, found in changes)]
    axes.axvline(0, color=AXIS)
    for i, (look, found) in enumerate(changes):
        offset = lower_row() + (i - (len(changes) - 1) / 2) * 0.6 / len(changes)
        for place, name in enumerate(names):
            if name in found:
                axes.plot(
                    [100 * end for end in found[name].interval], [place + offset] * 2, color=look.colour
                )
                axes.plot(100 * found[name].mean, place + offset, **{**look.point, "markersize": 7})
    name_rows(axes, [AXES.get(name, "unchanged images") for name in names])
    over = "points, mean over an axis" if is_narrow() else "points, mean over the strengths of an axis"
    axes.set_xlabel(f"change of accuracy, {over}")


def draw_sheet(image: U8, points: Sequence[Point], *, seed: int, key: str) -> U8:
    """Draw one crop (S, S, 3) at every point, with the names of the points."""
    side = max(len(image), 96)
    rows = -(-len(points) // SHEET_COLUMNS)
    sheet = np.full((rows * (side + TEXT), SHEET_COLUMNS * side, 3), 255, np.uint8)
    for number, point in enumerate(points):
        top, left = number // SHEET_COLUMNS * (side + TEXT), number % SHEET_COLUMNS * side
        made = change(image, point, seed=seed, key=key)
        sheet[top : top + len(made), left : left + len(made)] = made
        words = f"{point.curve.replace('_', ' ')} {point.strength:g}" if point.steps else UNCHANGED
        at = (left + 2, top + side + TEXT - 5)
        cv2.putText(sheet, words, at, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (30, 30, 30), 1, cv2.LINE_AA)
    return sheet
