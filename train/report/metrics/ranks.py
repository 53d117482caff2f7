"""Mean reciprocal rank of the right class among all classes of the head, of every arm on every set."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from texneg.train.evaluate.sets.base import Record
from texneg.train.report.metrics.base import (
    ABSENT,
    MetricTable,
    Spread,
    TestedArms,
    cells_of,
    name_set,
    spread,
    write_spread,
)
from texneg.train.report.sets import Key


@dataclass(frozen=True)
class ArmRanks:
    """One arm on one set."""

    mrr: Spread
    low: float | None
    """95 % over images, mean over runs; None where a set has no such interval"""
    high: float | None


@dataclass(frozen=True)
class SetRanks:
    """A set with the ranks of all arms."""

    head: str
    kind: str
    name: str
    cue: str
    """shape or texture, of sets of cues; else empty"""
    chance: float
    arms: tuple[ArmRanks | None, ...]


def collect_ranks(tested: TestedArms) -> list[SetRanks]:
    """Ranks of all sets of which a run has them; a set of cue conflict stands there twice."""
    keys = dict.fromkeys(key for arm in tested.results for run in arm for key in run)
    found = [one for key in keys for one in _collect_set(tested, key)]
    return [one for one in found if any(one.arms)]


def _collect_set(tested: TestedArms, key: Key) -> list[SetRanks]:
    every = [read_ranks(one.record) for one in tested.everywhere(key)]
    cues = dict.fromkeys(cue for ranks in every for cue in ranks)
    sets = []
    for cue in cues:
        arms = []
        for number in range(len(tested.arms)):
            ranks = [read_ranks(one.record) for one in tested.of_arm(number, key).values()]
            arms.append(_average([one[cue] for one in ranks if cue in one]))
        chance = next(one[cue]["chance"] for one in every if cue in one)
        sets.append(SetRanks(*key, cue, chance, tuple(arms)))
    return sets


def read_ranks(record: Record) -> dict[str, Record]:
    """Read the mean reciprocal ranks of a set by cue; of one of several cells their mean."""
    cells = cells_of(record)
    if not all("mrr" in cell for cell in cells):
        return {}
    first = cells[0]["mrr"]
    if "value" not in first:
        return dict(first)
    means = {name: fmean(cell["mrr"][name] for cell in cells) for name in ("value", "chance")}
    return {record.get("cue", ""): means if len(cells) > 1 else first}


def _average(ranks: Sequence[Record]) -> ArmRanks | None:
    found = spread([one["value"] for one in ranks])
    if found is None:
        return None
    whole = all(one.get("low") is not None for one in ranks)
    low, high = ((fmean(one[end] for one in ranks) if whole else None) for end in ("low", "high"))
    return ArmRanks(found, low, high)


def tabulate_ranks(tested: TestedArms, found: Sequence[SetRanks]) -> MetricTable | None:
    """Tabulate a row for each set and cue; None without any."""
    if not found:
        return None
    rows = []
    for one in found:
        cells = [name_set((one.head, one.kind, one.name)), one.cue or ABSENT, f"{100 * one.chance:.1f}"]
        for arm in one.arms:
            if arm is None:
                cells.append(ABSENT)
                continue
            ends = (
                "" if arm.low is None or arm.high is None else f" [{100 * arm.low:.1f}, {100 * arm.high:.1f}]"
            )
            cells.append(f"{write_spread(arm.mrr)}{ends}")
        rows.append(tuple(cells))
    return MetricTable(
        "reciprocal-rank",
        "Mean reciprocal rank",
        "100 x mean of 1 / rank of the right class among all classes of the head, ± sd over seeds [95 % over"
        " images]; 100 where it always comes first. Of images of one cue the right class is the cue's; of cue"
        " conflict both are ranked. Chance is that of a random order.",
        ("set", "cue", "chance", *(arm.label for arm in tested.arms)),
        tuple(rows),
    )
