"""Figures for the report: plain matplotlib, saved as SVG with text as text and in the page's colours.

A figure is drawn in stand-in colours, which its SVG exchanges for CSS variables of the page: light mode, dark
mode and print share one drawing. It is drawn twice, for wide and for narrow pages: there `subplots` puts its
panels below one another, and a function that wants more asks `is_narrow`. Lengths are CSS pixels.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, NARROW_WIDTH = 1096, 360  # of the page's text, pixels
NAME = 18  # pixels more for the name of a row above it, on a narrow page
ARMS = 8  # colours in the page; more arms start over
MARKERS = "os^DvPX*"
DASHES = ((0, ()), (0, (4, 1.8)), (0, (1.2, 1.8)), (0, (5, 1.8, 1.2, 1.8)))
INK, SOFT, GRID, AXIS, PAPER, FAINT = (f"#01020{i}" for i in range(6))  # stand-ins, nearly black
_VARIABLES = {INK: "ink", SOFT: "soft", GRID: "grid", AXIS: "axis", PAPER: "paper", FAINT: "faint"}
_ARM = "#01030"  # and one digit
_LEFT_OUT = re.compile(
    r'<metadata>.*?</metadata>|<style\b.*?</style>|<!--.*?-->| id="[\w.]+_\d+"', flags=re.DOTALL
)
_POINTS = 72  # pixels an inch: one unit of the SVG is then a point, and a pixel of the page
_narrow: ContextVar[bool] = ContextVar("narrow", default=False)


@dataclass(frozen=True)
class Look:
    """Label, colour, marker and dashes of an arm, the same in every figure."""

    label: str
    number: int
    """0 for the first baseline, then 1, 2, ..."""

    @property
    def colour(self) -> str:
        """Stand-in for the page's colour of this arm."""
        return f"{_ARM}{self.number % ARMS}"

    @property
    def marker(self) -> str:
        """Name of its marker, so that colour is never the only difference."""
        return MARKERS[self.number % len(MARKERS)]

    @property
    def line(self) -> dict[str, Any]:
        """Options of `Axes.plot` for a curve of this arm."""
        return {"color": self.colour, "linestyle": DASHES[self.number % len(DASHES)]}

    @property
    def point(self) -> dict[str, Any]:
        """Options of `Axes.plot` for a marker of this arm."""
        return {"color": self.colour, "marker": self.marker, "linestyle": "none", "zorder": 4}


def is_narrow() -> bool:
    """Return True while a figure is drawn for a narrow page."""
    return _narrow.get()


@contextmanager
def narrow_page() -> Iterator[None]:
    """Draw for a narrow page inside this context."""
    token = _narrow.set(True)
    try:
        yield
    finally:
        _narrow.reset(token)


def subplots(
    rows: int = 1, columns: int = 1, *, height: float, narrow_columns: int = 1, **options: Any
) -> tuple["Figure", Any]:
    """A figure as wide as the page, and its axes, as `matplotlib.pyplot.subplots` returns them.

    Args:
        rows: of panels on a wide page.
        columns: of panels on a wide page.
        height: of the figure on a wide page; on a narrow one each row keeps its height.
        narrow_columns: panels side by side on a narrow page, where the others follow below.
        options: of `matplotlib.figure.Figure.subplots`.
    """
    from matplotlib.figure import Figure

    if not is_narrow() or columns <= narrow_columns:
        width = NARROW_WIDTH if is_narrow() else WIDTH
        figure = Figure(figsize=(width / _POINTS, height / _POINTS), layout="constrained")
        return figure, figure.subplots(rows, columns, **options)
    panels = rows * columns
    lines = -(-panels // narrow_columns)
    figure = Figure(figsize=(NARROW_WIDTH / _POINTS, height / rows * lines / _POINTS), layout="constrained")
    squeeze = options.pop("squeeze", True)
    options.pop("width_ratios", None)
    grid = figure.subplots(lines, narrow_columns, squeeze=False, **options).ravel()
    for spare in grid[panels:]:
        spare.remove()
    axes = grid[:panels].reshape(rows, columns)
    return figure, axes.squeeze() if squeeze else axes


def name_rows(axes: "Axes", names: Sequence[str]) -> None:
    """Name the rows 0, 1, ... from above: beside them, or on a narrow page above them.

    There a row needs `NAME` pixels more, and what it shows stands `lower_row()` lower.
    """
    axes.set_ylim(len(names) - 0.5, -0.5)
    if not is_narrow():
        axes.set_yticks(range(len(names)), names, color=INK, size=14)
        return
    axes.set_yticks([])
    for place, name in enumerate(names):
        where = axes.get_yaxis_transform()
        axes.text(0, place - 0.47, name, transform=where, va="top", color=INK, size=12)


def lower_row() -> float:
    """Share of a row by which its markers make room for its name."""
    return 0.2 if is_narrow() else 0.0


def shorten(name: str, most: int) -> str:
    """Cut a name that is longer than this many characters."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def to_drawing(title: str, make: Callable[[], "Figure | None"]) -> str | None:
    """A figure for the page: its SVG for wide pages and that for narrow ones, of which CSS shows one."""
    wide = to_svg(title, make)
    if wide is None:
        return None
    with narrow_page():
        narrow = to_svg(title, make)
    return f'<div class="for-wide">{wide}</div><div class="for-narrow">{narrow}</div>'


def to_svg(title: str, make: Callable[[], "Figure | None"]) -> str | None:
    """The SVG element of the figure that `make` returns; None where it returns none.

    Args:
        title: names the figure to screen readers.
        make: called while the page's style holds; uses `subplots`, colours of this module and looks of arms.
    """
    import matplotlib

    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()  # whatever style the user has chosen
        matplotlib.rcParams.update({**_style(), "svg.hashsalt": f"{title}{' narrow' * is_narrow()}"})
        warnings.filterwarnings("ignore", "constrained_layout not applied")  # names as long as the figure
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the reader's fonts are not ours
        figure = make()
        if figure is None:
            return None
        figure.savefig(buffer, format="svg", metadata=nothing)
    text = _LEFT_OUT.sub("", buffer.getvalue()).replace("xlink:href", "href")
    for name, variable in _VARIABLES.items():
        text = text.replace(name, f"var(--{variable})")
    text = re.sub(_ARM + r"(\d)", r"var(--arm-\1)", text)
    width, height = figure.get_size_inches() * _POINTS
    opening = f'<svg viewBox="0 0 {width:g} {height:g}" style="max-width:{width:g}px" role="img"'
    content = text[text.index(">", text.index("<svg")) :].rstrip()
    return f'{opening} aria-label="{escape(title)}"{content}'


def _style() -> Any:
    """Matplotlib's settings for all figures."""
    style = {
        "axes.axisbelow": True,
        "axes.edgecolor": AXIS,
        "axes.facecolor": "none",
        "axes.grid": True,
        "axes.labelcolor": SOFT,
        "axes.labelsize": 13,
        "axes.prop_cycle": f"cycler(color={[f'{_ARM}{i}' for i in range(ARMS)]})",
        "axes.spines.left": False,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titlepad": 12,
        "axes.titlesize": 14,
        "axes.titleweight": "bold",
        "figure.constrained_layout.w_pad": 0.1,
        "figure.facecolor": "none",
        "font.family": "DejaVu Sans",  # for measuring; the page sets its own
        "font.size": 13,
        "grid.color": GRID,
        "grid.linewidth": 1,
        "lines.linewidth": 1.8,
        "lines.markeredgecolor": PAPER,
        "lines.markersize": 9,
        "svg.fonttype": "none",
        "text.color": INK,
        "text.parse_math": False,  # a name with $ is a name
        "xtick.color": AXIS,
        "xtick.labelcolor": SOFT,
        "xtick.labelsize": 12,
        "xtick.major.size": 0,
        "ytick.color": AXIS,
        "ytick.labelcolor": SOFT,
        "ytick.labelsize": 12,
        "ytick.major.size": 0,
    }
    if is_narrow():
        sizes = {"axes.labelsize": 12, "axes.titlesize": 13, "font.size": 12, "xtick.labelsize": 11}
        style |= sizes | {"ytick.labelsize": 11, "lines.markersize": 8, "axes.titlepad": 8}
    return style
