"""Compare the speed of several functions in one run, on a machine that is never quiet.

Variants take turns in short slots, in an order that rotates, so that drifts hit all alike. Two variants are
compared within each round of slots; the median of those ratios is the figure to quote.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Timing:
    """Seconds a call of one function, a slot in each round."""

    slots: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """The median slot."""
        return median(self.slots)

    def over(self, other: "Timing") -> float:
        """How many times as long as the other this takes: the median of the ratios within each round."""
        return median(own / base for own, base in zip(self.slots, other.slots, strict=True))


def compare(
    variants: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 20,
    slot_s: float = 0.02,
    clock: Callable[[], float] = time.thread_time,
) -> dict[str, Timing]:
    """Time functions in turn, after a call of each that compiles and warms up.

    Args:
        variants: name to function; each call does the same amount of work.
        rounds: slots of each variant.
        slot_s: seconds of one slot; a call that takes longer fills a slot alone.
        clock: seconds; the default counts the CPU time of the calling thread.
    """
    calls = {name: _calls_in(function, slot_s, clock) for name, function in variants.items()}
    names = list(variants)
    seconds: dict[str, list[float]] = {name: [] for name in names}
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
