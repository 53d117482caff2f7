"""Rows of a benchmark, the limits some of them must keep, and how both are printed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Row:
    """One variant in one case."""

    case: str
    variant: str
    microseconds: float
    """median, for one image; only the ratios can be compared between runs"""
    ratios: Mapping[str, float]
    """name of the ratio to its median over the rounds of this run"""


@dataclass(frozen=True)
class Gate:
    """A ratio that must be reached, about two thirds of what was seen when it was set."""

    case: str
    variant: str
    ratio: str
    side: Literal["at least", "at most"]
    limit: float

    def value(self, rows: Sequence[Row]) -> float | None:
        """What was measured; None when this run did not time it."""
        for row in rows:
            if (row.case, row.variant) == (self.case, self.variant) and self.ratio in row.ratios:
                return row.ratios[self.ratio]
        return None

    def kept(self, value: float) -> bool:
        """Whether a measured value keeps the limit."""
        return value >= self.limit if self.side == "at least" else value <= self.limit


def table(rows: Sequence[Row]) -> str:
    """Plain text, a heading for each case."""
    lines = []
    for i, row in enumerate(rows):
        if i == 0 or row.case != rows[i - 1].case:
            lines += ["", row.case]
        ratios = "   ".join(f"{value:9.3g} {name}" for name, value in row.ratios.items())
        lines.append(f"  {row.variant:<28}{row.microseconds:10.2f} us an image   {ratios}")
    return "\n".join(lines)


def verdicts(rows: Sequence[Row], gates: Sequence[Gate]) -> list[str]:
    """One line for each limit that this run measured."""
    lines = []
    for gate in gates:
        value = gate.value(rows)
        if value is not None:
            word = "kept  " if gate.kept(value) else "MISSED"
            what = f"{gate.case}, {gate.variant}: {value:.3g} {gate.ratio}"
            lines.append(f"  {word} {what}, must be {gate.side} {gate.limit:g}")
    return lines
