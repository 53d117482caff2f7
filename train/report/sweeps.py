"""Sweeps: arms that differ in one number alone, as curves over it, and what it trades for what."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from texneg.train.evaluate.figures import AXIS, FAINT, INK, SOFT, Look, subplots
from texneg.train.options import flatten
from texneg.train.report.rows import Entry, Row
from texneg.train.report.runs import Arm, describe_value
from texneg.train.report.table import find_headline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEWEST = 3  # values that make a curve


@dataclass(frozen=True)
class Series:
    """Arms that differ in one setting alone."""

    look: Look
    """Label and colour: of the settings that tell it from the other series of the sweep."""
    points: tuple[tuple[float, int], ...]
    """Values of the setting, ascending, and the places of their arms."""


@dataclass(frozen=True)
class Sweep:
    """A setting that takes several values while all others stay."""

    setting: str
    """By the name of its flag."""
    series: tuple[Series, ...]
    baselines: tuple[int, ...]
    """Places of the arms that these are compared with."""


def find_sweeps(arms: Sequence[Arm]) -> list[Sweep]:
    """Find every setting that takes three or more numbers among arms whose other settings are the same."""
    flat = [flatten(arm.runs[0].settings) for arm in arms]
    names = dict.fromkeys(name for settings in flat for name in settings)
    return [sweep for name in names if (sweep := find_sweep(name, arms, flat)) is not None]


def find_sweep(name: str, arms: Sequence[Arm], flat: Sequence[dict[str, Any]]) -> Sweep | None:
    """Find the series of arms that differ in this setting alone; None without one."""
    groups = defaultdict[str, list[tuple[float, int]]](list)
    for place, settings in enumerate(flat):
        value = settings.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            others = {other: settings[other] for other in settings if other != name}
            groups[json.dumps(others, sort_keys=True)].append((value, place))
    found = [sorted(points) for points in groups.values() if len(points) >= FEWEST]
    if not found:
        return None
    members = [flat[points[0][1]] for points in found]
    keys = dict.fromkeys(key for settings in members for key in settings if key != name)
    differing = [key for key in keys if len({json.dumps(one.get(key)) for one in members}) > 1]
    labels = (
        ", ".join(f"{key} {describe_value(one[key])}" for key in differing if one.get(key) is not None)
        for one in members
    )
    series = tuple(
        Series(Look(label, number), tuple(points))
        for number, (label, points) in enumerate(zip(labels, found, strict=True), start=1)
    )
    bases = {arms[place].baseline for one in series for _, place in one.points}
    return Sweep(name, series, tuple(sorted(place for place in bases if place is not None)))


def draw_sweep(sweep: Sweep, arms: Sequence[Arm], rows: Sequence[Row]) -> "Figure | None":
    """Draw accuracy over the setting in and out of distribution, and one against the other.

    Args:
        sweep: to draw.
        arms: of the report.
        rows: of its test sets.

    Returns:
        None where neither accuracy was measured.
    """
    clean = next((row for row in rows if row.clean), None)
    other = find_headline([row for row in rows if not row.clean])
    measured = [row for row in (clean, other) if row is not None]
    if not measured:
        return None
    figure, panels = subplots(columns=len(measured) + (len(measured) == 2), height=300, squeeze=False)
    for axes, row in zip(panels.flat, measured, strict=False):
        axes.set_title(f"{'in distribution' if row.clean else row.name}, %".capitalize())
        draw_curves(axes, sweep, row)
    if len(measured) == 2:
        axes = panels.flat[2]
        axes.set_title("Trade-off")
        axes.set_xlabel("in distribution, %")
        axes.set_ylabel("out of distribution, %")
        draw_trade_off(axes, sweep, *measured)
    if len(sweep.series) > 1:
        panels.flat[0].legend(frameon=False, labelcolor=INK, fontsize=12)
    return figure


def draw_curves(axes: "Axes", sweep: Sweep, row: Row) -> None:
    """Draw the accuracy of a row over the setting: means, spread over seeds, dashes for baselines."""
    values = [value for series in sweep.series for value, _ in series.points]
    if min(values) > 0 and max(values) >= 8 * min(values):
        axes.set_xscale("log", base=2)
        ticks = sorted(set(values))
        axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
        axes.minorticks_off()
    axes.set_xlabel(sweep.setting.replace("_", " "))
    for place in sweep.baselines:
        if entry := row.entries[place]:
            axes.axhline(100 * entry.mean, color=FAINT, linestyle=(0, (4, 3)), linewidth=1.4)
    for series in sweep.series:
        points = [(value, entry) for value, place in series.points if (entry := row.entries[place])]
        if not points:
            continue
        for value, entry in points:
            draw_spread(axes, [value, value], spread(entry), series.look)
        x, y = [value for value, _ in points], [100 * entry.mean for _, entry in points]
        axes.plot(x, y, **series.look.line)
        axes.plot(x, y, **series.look.point, label=series.look.label)


def draw_trade_off(axes: "Axes", sweep: Sweep, clean: Row, other: Row) -> None:
    """Draw one accuracy against the other, joined in the order of the setting, with its values."""
    for place in sweep.baselines:
        one, two = clean.entries[place], other.entries[place]
        if one and two:
            axes.plot(100 * one.mean, 100 * two.mean, marker="x", markeredgecolor=AXIS, markeredgewidth=2)
            annotate(axes, "baseline", 100 * one.mean, 100 * two.mean)
    for series in sweep.series:
        pairs = [(value, clean.entries[place], other.entries[place]) for value, place in series.points]
        points = [(value, one, two) for value, one, two in pairs if one and two]
        for value, one, two in points:
            x, y = 100 * one.mean, 100 * two.mean
            draw_spread(axes, spread(one), [y, y], series.look)
            draw_spread(axes, [x, x], spread(two), series.look)
            annotate(axes, f"{value:g}", x, y)
        x_all = [100 * one.mean for _, one, _ in points]
        y_all = [100 * two.mean for _, _, two in points]
        axes.plot(x_all, y_all, **series.look.line)
        axes.plot(x_all, y_all, **series.look.point)


def spread(entry: Entry) -> list[float]:
    """Return mean minus and plus the standard deviation over seeds, percent."""
    sd = entry.sd or 0.0
    return [100 * (entry.mean - sd), 100 * (entry.mean + sd)]


def draw_spread(axes: "Axes", x: list[float], y: list[float], look: Look) -> None:
    """Draw a thin line between two points."""
    axes.plot(x, y, color=look.colour, linewidth=1.2, alpha=0.6)


def annotate(axes: "Axes", text: str, x: float, y: float) -> None:
    """Write a word beside a point."""
    axes.annotate(text, (x, y), xytext=(7, 5), textcoords="offset points", color=SOFT, fontsize=12)
