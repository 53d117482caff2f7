"""Rows of a benchmark, the limits some of them must keep, and how both are printed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

MS = "ms"
TIME = "us an image"
ABSOLUTE = " (absolute, for a server core of about 3.3 GHz)"


@dataclass(frozen=True)
class Row:
    """One variant in one case."""

    case: str
    variant: str
    microseconds: float | None
    """median, for one image; only the ratios can be compared between runs; None where nothing was timed"""
    ratios: Mapping[str, float]
    """name of the ratio to its median over the rounds of this run"""
    figures: Mapping[str, float] = field(default_factory=dict)
    """what else was measured; printed where there is no ratio"""


@dataclass(frozen=True)
class Gate:
    """A ratio that must be reached, about two thirds of what was seen when it was set; or milliseconds."""

    case: str
    variant: str
    ratio: str
    """name of the ratio; `MS` for milliseconds an image, which mean something on one class of machine only"""
    side: Literal["at least", "at most"]
    limit: float

    def value(self, rows: Sequence[Row]) -> float | None:
        """What was measured; None when this run did not time it."""
        for row in rows:
            if (row.case, row.variant) == (self.case, self.variant):
                measured = row.ratios
                if self.ratio == MS and row.microseconds is not None:
                    measured = {MS: row.microseconds / 1000}
                if self.ratio in measured:
                    return measured[self.ratio]
        return None

    def kept(self, value: float) -> bool:
        """Whether a measured value keeps the limit."""
        return value >= self.limit if self.side == "at least" else value <= self.limit


def table(rows: Sequence[Row]) -> str:
    """Plain text, a heading and its columns for each case."""
    lines = []
    for case, group in groupby(rows, key=lambda row: row.case):
        cells = {row.variant: _cells(row) for row in group}
        names = dict.fromkeys(name for some in cells.values() for name in some)
        columns = sorted(names, key=lambda name: name != TIME)
        lines += ["", case, _line("", dict(zip(columns, columns, strict=True)), columns)]
        lines += [_line(variant, some, columns) for variant, some in cells.items()]
    return "\n".join(lines)


def _cells(row: Row) -> dict[str, str]:
    time = {} if row.microseconds is None else {TIME: f"{row.microseconds:.2f}"}
    return time | {name: f"{value:.3g}" for name, value in (row.ratios or row.figures).items()}


def _line(variant: str, cells: Mapping[str, str], columns: Sequence[str]) -> str:
    values = "".join(f"  {cells.get(name, ''):>{max(len(name), 9)}}" for name in columns)
    return f"  {variant:<30}{values}".rstrip()


def verdicts(rows: Sequence[Row], gates: Sequence[Gate]) -> list[str]:
    """One line for each limit that this run measured."""
    lines = []
    for gate in gates:
        value = gate.value(rows)
        if value is not None:
            word = "kept  " if gate.kept(value) else "MISSED"
            what = f"{gate.case}, {gate.variant}: {value:.3g} {gate.ratio}"
            note = ABSOLUTE if gate.ratio == MS else ""
            lines.append(f"  {word} {what}, must be {gate.side} {gate.limit:g}{note}")
    return lines
