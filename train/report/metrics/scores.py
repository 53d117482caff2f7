"""Top-5 accuracy, number of ways, and calibration of every arm on every set."""

from collections.abc import Sequence
from dataclasses import dataclass

from texneg.train.evaluate.sets.base import Record
from texneg.train.report.metrics.base import (
    ABSENT,
    MetricTable,
    Spread,
    TestedArms,
    average_cells,
    cells_of,
    name_set,
    spread,
    write_spread,
)
from texneg.train.report.sets import Key


@dataclass(frozen=True)
class PooledBin:
    """Images of similar confidence, of all cells and seeds of an arm."""

    n: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class ArmScores:
    """One arm on one set; None where its files do not have a number."""

    top5: Spread | None
    unmasked_top5: Spread | None
    ece: Spread | None
    """mean over the set's cells; 15 bins"""
    nll: Spread | None
    over: str | None
    """classes among which the confidences are: masked or all"""
    bins: tuple[PooledBin, ...]
    """for a reliability diagram; empty without calibration"""


@dataclass(frozen=True)
class SetScores:
    """A set with the scores of all arms."""

    head: str
    kind: str
    name: str
    choices: int | None
    """masked accuracy is of so many ways"""
    head_classes: int | None
    """and unmasked accuracy of so many"""
    arms: tuple[ArmScores | None, ...]


def collect_scores(tested: TestedArms) -> list[SetScores]:
    """Scores of all sets of which a run has top-5 accuracy or calibration."""
    found = [_collect_set(tested, key) for key in tested.sets()]
    return [one for one in found if any(arm and (arm.top5 or arm.ece) for arm in one.arms)]


def _collect_set(tested: TestedArms, key: Key) -> SetScores:
    first = cells_of(next(tested.everywhere(key)).record)[0]
    arms = []
    for number in range(len(tested.arms)):
        records = [one.record for one in tested.of_arm(number, key).values()]
        arms.append(_score(records) if records else None)
    return SetScores(*key, first.get("choices"), first.get("head_classes"), tuple(arms))


def _score(records: Sequence[Record]) -> ArmScores:
    def over_seeds(*names: str) -> Spread | None:
        return spread([average_cells(record, *names) for record in records])

    told = [one for record in records for cell in cells_of(record) if (one := cell.get("calibration"))]
    return ArmScores(
        top5=over_seeds("masked", "top5"),
        unmasked_top5=over_seeds("unmasked", "top5"),
        ece=over_seeds("calibration", "ece"),
        nll=over_seeds("calibration", "nll"),
        over=told[0]["over"] if told else None,
        bins=pool_bins([one["bins"] for one in told]),
    )


def pool_bins(every: Sequence[Sequence[Record]]) -> tuple[PooledBin, ...]:
    """Pool the bins of several calibrations, place by place."""
    pooled = []
    for same in zip(*every, strict=True):
        n = sum(one["n"] for one in same)
        sums = [sum(one["n"] * (one[name] or 0.0) for one in same) for name in ("confidence", "accuracy")]
        pooled.append(PooledBin(n, *(total / n for total in sums)) if n else PooledBin(0, None, None))
    return tuple(pooled)


def tabulate_scores(tested: TestedArms, found: Sequence[SetScores]) -> MetricTable | None:
    """Tabulate a row for each set; None without any."""
    if not found:
        return None
    rows = []
    for one in found:
        cells = [
            name_set((one.head, one.kind, one.name)),
            f"{one.choices or ABSENT} / {one.head_classes or ABSENT}",
        ]
        for arm in one.arms:
            if arm is None:
                cells.append(ABSENT)
                continue
            top5 = " / ".join(write_spread(value) for value in (arm.top5, arm.unmasked_top5))
            ece, nll = write_spread(arm.ece), write_spread(arm.nll, scale=1, digits=2)
            cells.append(f"{top5}; ECE {ece}; NLL {nll}")
        rows.append(tuple(cells))
    return MetricTable(
        "top5-calibration",
        "Top-5 and calibration",
        "Top-5 in %, masked / unmasked, where there are more than five choices; expected calibration error, %"
        " (15 bins of equal width) and negative log-likelihood of the masked answers; ± sd over seeds.",
        ("set", "ways, masked / unmasked", *(arm.label for arm in tested.arms)),
        tuple(rows),
    )
