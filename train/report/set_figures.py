"""Figures of test sets: accuracy and its change by arm, and shape bias by category. Data in, SVG text out."""

from collections.abc import Mapping, Sequence
from typing import Any

from texneg.train.report.runs import Arm
from texneg.train.report.svg import colour, line, linear, mark, number, picture, text, ticks

WIDTH = 1096
LABELS, MIDDLE, GAP = 210, 660, 52  # ends of the label column and of the accuracy panel, pixels
STEP, PAD = 15, 16  # one arm's share of a row, and the row's padding


def sets_figure(arms: Sequence[Arm], rows: Sequence[Mapping[str, Any]]) -> str:
    """Accuracy of every arm on every set with its interval, and beside it the change to the baseline."""
    row = STEP * len(arms) + PAD
    top, floor = 34, 34 + row * len(rows)
    reach = _reach(rows)
    x, change = linear(0, 100, LABELS, MIDDLE), linear(-reach, reach, MIDDLE + GAP, WIDTH - 8)
    compared = any(arm.baseline is not None for arm in arms)
    parts = [text(LABELS, 16, "Accuracy, %", class_="panel")]
    for tick in ticks(0, 100, 5):
        parts += _tick(x(tick), number(tick), top, floor)
    if compared:
        parts.append(text(MIDDLE + GAP, 16, "Change to the baseline, points", class_="panel"))
        for tick in ticks(-reach, reach, 6):
            parts += _tick(change(tick), number(tick), top, floor, strong=tick == 0)
    for place, data in enumerate(rows):
        head = top + row * place
        parts.append(line(0, head, WIDTH, head, class_="rule"))
        parts.append(text(0, head + row / 2 + (0 if data["n"] else 5), data["name"], class_="name"))
        if data["n"]:
            note = f"n {data['n']} · {data['classes']} classes"
            parts.append(text(0, head + row / 2 + 16, note, class_="tick"))
        if data["chance"] is not None:
            at = x(100 * data["chance"])
            parts.append(line(at, head + 4, at, head + row - 4, class_="chance"))
        for i, (arm, cell) in enumerate(zip(arms, data["cells"], strict=True)):
            y = head + PAD / 2 + STEP * (i + 0.5)
            if cell:
                parts += _accuracy(arm, cell, x, y)
            if cell and cell["difference"]:
                parts += _change(arm, cell["difference"], change, y, reach)
    parts.append(line(0, floor, WIDTH, floor, class_="rule"))
    return picture(WIDTH, floor + 24, "Accuracy by test set and arm, and change to the baseline", parts)


def _tick(at: float, label: str, top: float, floor: float, *, strong: bool = False) -> list[str]:
    return [
        line(at, top, at, floor, class_="axis" if strong else "grid"),
        text(at, floor + 18, label, class_="tick", text_anchor="middle"),
    ]


def _accuracy(arm: Arm, cell: Mapping[str, Any], x: Any, y: float) -> list[str]:
    parts = []
    if cell["low"] is not None:
        parts.append(
            line(x(100 * cell["low"]), y, x(100 * cell["high"]), y, stroke=colour(arm.colour), stroke_width=2)
        )
    for value in cell["seeds"].values() if len(cell["seeds"]) > 1 else ():
        at = x(100 * value)
        parts.append(line(at, y - 5, at, y + 5, stroke=colour(arm.colour), stroke_width=1.2, opacity=0.6))
    parts.append(mark(arm.colour, x(100 * cell["mean"]), y, title=f"{arm.label}: {100 * cell['mean']:.1f} %"))
    return parts


def _change(arm: Arm, difference: Mapping[str, Any], x: Any, y: float, reach: float) -> list[str]:
    """Thin line: over seeds, cut at the panel's edge. Thick line: over images."""
    parts = []
    for name, width in (("over_seeds", 1), ("over_images", 3.2)):
        if difference[name]:
            low, high = (x(max(-reach, min(reach, 100 * end))) for end in difference[name])
            parts.append(line(low, y, high, y, stroke=colour(arm.colour), stroke_width=width))
    title = f"{arm.label}: {100 * difference['mean']:+.1f} points"
    return [*parts, mark(arm.colour, x(100 * difference["mean"]), y, title=title)]


def _reach(rows: Sequence[Mapping[str, Any]]) -> float:
    """Half the width of the change panel in points: covers seeds and image intervals."""
    ends = [2.0]
    for data in rows:
        for cell in data["cells"]:
            difference = cell and cell["difference"]
            if difference:
                ends += [abs(100 * end) for end in (difference["mean"], *(difference["over_images"] or ()))]
                ends += [abs(100 * value) for value in difference["seeds"].values()]
    return 1.15 * max(ends)


def shape_figure(arms: Sequence[Arm], row: Mapping[str, Any]) -> str:
    """Share of shape decisions by category of one cue-conflict set; vertical lines are the pooled shares."""
    cells = [(arm, cell) for arm, cell in zip(arms, row["cells"], strict=True) if cell]
    categories = sorted({name for _, cell in cells for name in cell["by_category"]})
    left, right, top, step = 150, WIDTH - 24, 40, 26
    floor = top + step * len(categories)
    x = linear(0, 100, left, right)
    parts = [
        text(left, 16, "← decides by texture", class_="label"),
        text(right, 16, "decides by shape →", class_="label", text_anchor="end"),
    ]
    for tick in ticks(0, 100, 10):
        parts += _tick(x(tick), f"{tick:g} %", top, floor, strong=tick == 50)
    for place, name in enumerate(categories):
        y = top + step * (place + 0.5)
        parts.append(line(left, y, right, y, class_="rule"))
        parts.append(text(left - 14, y + 4, name, class_="name", text_anchor="end"))
    for arm, cell in cells:
        at = x(100 * cell["mean"])
        parts.append(line(at, top, at, floor, stroke=colour(arm.colour), stroke_width=2, opacity=0.8))
        for place, name in enumerate(categories):
            share = cell["by_category"].get(name)
            if share is not None:
                y = top + step * (place + 0.5)
                parts.append(
                    mark(arm.colour, x(100 * share), y, 5, title=f"{arm.label}, {name}: {100 * share:.0f} %")
                )
    return picture(WIDTH, floor + 24, "Shape bias by category and arm", parts)
