"""Small parts of hand-made SVG: scales, ticks, elements. Colours are CSS variables of the page around it."""

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape

Scale = Callable[[float], float]
Point = Sequence[float]

ARMS = 8  # colours in the page; more arms start over
_MARKS = 4


def linear(low: float, high: float, start: float, end: float) -> Scale:
    """Map low ... high onto start ... end pixels."""
    width = (high - low) or 1.0
    return lambda value: start + (value - low) / width * (end - start)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers 1, 2 or 5 times a power of ten apart inside low ... high, about `count` of them."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """A tick label with a proper minus sign."""
    return f"{value:g}".replace("-", "−")


def tag(name: str, *children: str, **attributes: object) -> str:
    """One element. `_` in an attribute's name stands for `-`, at its end for nothing; values are escaped."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}>{''.join(children)}</{name}>" if children else f"<{name}{written}/>"


def text(x: float, y: float, content: str, **attributes: object) -> str:
    """Text, escaped."""
    return tag("text", escape(content), x=x, y=y, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, **attributes: object) -> str:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, **attributes)


def polyline(points: Iterable[Point], **attributes: object) -> str:
    """An open line through the points."""
    return tag("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), fill="none", **attributes)


def area(points: Sequence[Point], floor: float, **attributes: object) -> str:
    """The surface between a line and a horizontal floor."""
    closed = [(points[0][0], floor), *points, (points[-1][0], floor)]
    return tag("polygon", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in closed), **attributes)


def colour(arm: int) -> str:
    """The CSS colour of an arm."""
    return f"var(--arm-{arm % ARMS})"


def mark(arm: int, x: float, y: float, size: float = 4.5, *, title: str = "") -> str:
    """An arm's marker, so that colour is never the only difference: disc, square, triangle, diamond."""
    note = (tag("title", escape(title)),) if title else ()
    look = {"fill": colour(arm), "stroke": "var(--paper)", "stroke_width": 1.2}
    if arm % _MARKS == 0:
        return tag("circle", *note, cx=x, cy=y, r=size, **look)
    corners = {
        1: [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        2: [(0, -1.2), (1.15, 0.85), (-1.15, 0.85)],
        3: [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
    }[arm % _MARKS]
    return tag(
        "polygon",
        *note,
        points=" ".join(f"{x + a * size:.1f},{y + b * size:.1f}" for a, b in corners),
        **look,
    )


def picture(width: float, height: float, title: str, children: Iterable[str]) -> str:
    """A whole drawing that scales with the page and names itself to screen readers."""
    return tag(
        "svg",
        *children,
        viewBox=f"0 0 {width:g} {height:g}",
        style=f"max-width:{width:g}px",
        role="img",
        aria_label=title,
    )


def _short(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
