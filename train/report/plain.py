"""The table for a terminal: a line a test set, a column an arm, mean over seeds and change to baseline."""

from collections.abc import Mapping
from typing import Any

NAME_WIDTH = 26


def render(numbers: Mapping[str, Any]) -> str:
    """Percent, and in brackets the change in points; the intervals are in the page."""
    labels = [arm["label"] for arm in numbers["arms"]]
    width = max(18, *(len(label) + 2 for label in labels))
    lines = [" " * NAME_WIDTH + "".join(f"{label:>{width}}" for label in labels)]
    for row in numbers["table"]:
        name = f"{row['name']} (shape bias)" if row["kind"] == "shape-bias" else row["name"]
        lines.append(f"{name:<{NAME_WIDTH}}" + "".join(f"{text(cell):>{width}}" for cell in row["cells"]))
    return "\n".join(lines)


def text(cell: Mapping[str, Any] | None) -> str:
    """One arm on one set."""
    if cell is None:
        return "-"
    change = cell["difference"]
    return f"{100 * cell['mean']:.1f}" + ("" if change is None else f" ({100 * change['mean']:+5.1f})")
