"""Figures for the report: plain matplotlib, saved as SVG with text as text and in the page's colours.

A figure is drawn in stand-in colours, which its SVG exchanges for CSS variables of the page: light mode, dark
mode and print share one drawing. Lengths are CSS pixels.
"""

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 1096  # of the page's text, pixels
ARMS = 8  # colours in the page; more arms start over
MARKERS = "os^D"
DASHES = ((0, ()), (0, (4, 1.8)), (0, (1.2, 1.8)), (0, (5, 1.8, 1.2, 1.8)))
INK, SOFT, GRID, AXIS, PAPER, FAINT = (f"#01020{i}" for i in range(6))  # stand-ins, nearly black
_VARIABLES = {INK: "ink", SOFT: "soft", GRID: "grid", AXIS: "axis", PAPER: "paper", FAINT: "faint"}
_ARM = "#01030"  # and one digit
_LEFT_OUT = re.compile(
    r'<metadata>.*?</metadata>|<style\b.*?</style>|<!--.*?-->| id="[\w.]+_\d+"', flags=re.DOTALL
)
_POINTS = 72  # pixels an inch: one unit of the SVG is then a point, and a pixel of the page


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


def subplots(rows: int = 1, columns: int = 1, *, height: float, **options: Any) -> tuple["Figure", Any]:
    """A figure as wide as the page, `height` pixels high, and its axes, as `matplotlib.pyplot.subplots`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / _POINTS, height / _POINTS), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


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
        matplotlib.rcParams.update({**_style(), "svg.hashsalt": title})
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
    return {
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
