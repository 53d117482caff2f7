"""Speed as ratios within one run: timing in turns, rows, and the limits that some ratios must keep.

Times of different runs, machines or tables cannot be compared; the ratios of one run can. No machine is ever
quiet, so variants take turns in short slots, in an order that rotates, and drifts hit all alike. Two variants
are compared within each round of slots; the median of those ratios is the figure to quote.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import groupby
from statistics import median
from typing import Literal, TypeVar

import torch

from texneg.bench.common.results import RatioConfig, write_results
from texneg.cli.environment import environment

K = TypeVar("K")

TIME = "µs an image"


@dataclass(frozen=True)
class Timing:
    """Seconds a call of one function, a slot in each round."""

    slots: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """The median slot."""
        return median(self.slots)

    def over(self, other: "Timing") -> float:
        """Time as a multiple of the other's: the median of the ratios within each round."""
        return median(own / base for own, base in zip(self.slots, other.slots, strict=True))


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
    """A ratio that must be reached, about two thirds of the one seen when it was set."""

    case: str
    variant: str
    ratio: str
    side: Literal["at least", "at most"]
    limit: float

    def value(self, rows: Sequence[Row]) -> float | None:
        """The measured value; None when this run did not time it."""
        for row in rows:
            if (row.case, row.variant) == (self.case, self.variant) and self.ratio in row.ratios:
                return row.ratios[self.ratio]
        return None

    def kept(self, value: float) -> bool:
        """Tell a value on the right side of the limit from one on the wrong side."""
        return value >= self.limit if self.side == "at least" else value <= self.limit


def report(config: RatioConfig, rows: Sequence[Row], gates: Sequence[Gate], **about: str) -> int:
    """Print rows and limits and write them; 0, or 1 when `check` finds a limit missed.

    Args:
        config: the file to write to, and `check`.
        rows: of all cases.
        gates: limits; those of cases that were not run are left out.
        about: added to the environment.
    """
    found = verdicts(rows, gates)
    print("\n".join(f"{name}: {value}" for name, value in (environment() | about).items()))
    print(table(rows))
    if found:
        print("\nlimits:\n" + "\n".join(found))
    write_results(config, {"rows": [asdict(row) for row in rows], "limits": found}, **about)
    missed = [gate for gate in gates if (value := gate.value(rows)) is not None and not gate.kept(value)]
    return 1 if config.check and missed else 0


def compare(
    variants: Mapping[K, Callable[[], object]],
    *,
    rounds: int = 20,
    slot_s: float = 0.02,
    clock: Callable[[], float] = time.thread_time,
) -> dict[K, Timing]:
    """Time functions in turn, after a call of each that compiles and warms up.

    Args:
        variants: name to function; each call does the same amount of work.
        rounds: slots of each variant.
        slot_s: seconds of one slot; a call that takes longer fills a slot alone.
        clock: seconds; the default counts the CPU time of the calling thread.
    """
    calls = {name: _calls_in(function, slot_s, clock) for name, function in variants.items()}
    names = list(variants)
    seconds: dict[K, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            seconds[name].append(_slot(variants[name], calls[name], clock))
    return {name: Timing(tuple(slots)) for name, slots in seconds.items()}


def _calls_in(function: Callable[[], object], slot_s: float, clock: Callable[[], float]) -> int:
    """Calls that fill a slot."""
    function()
    calls = 1
    while (seconds := _slot(function, calls, clock) * calls) < slot_s / 4:
        calls *= 4
    return max(1, round(calls * slot_s / max(seconds, 1e-9)))


def _slot(function: Callable[[], object], calls: int, clock: Callable[[], float]) -> float:
    """Seconds a call."""
    start = clock()
    for _ in range(calls):
        function()
    return (clock() - start) / calls


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch with one CPU thread, so that CPU time of this thread is all there is."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


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
            lines.append(f"  {word} {what}, must be {gate.side} {gate.limit:g}")
    return lines
