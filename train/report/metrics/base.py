"""Tables of metrics, and the results of all arms that they are made of."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from texneg.errors import InputError
from texneg.train.evaluate.intervals import mean_sd
from texneg.train.evaluate.sets.accuracy import Accuracy
from texneg.train.evaluate.sets.base import Record
from texneg.train.evaluate.sets.corruptions import Corruptions
from texneg.train.report.runs import Arm
from texneg.train.report.sets import Key, SetResult, Tested, read_tested

ABSENT = "–"


@dataclass(frozen=True)
class MetricTable:
    """A table as it is printed: in Markdown, in the terminal, on the page."""

    name: str
    """for files: letters and hyphens"""
    heading: str
    note: str
    """how to read it, and what went into it"""
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class TestedArms(NamedTuple):
    """The arms of a report, and the sets that each run of them was tested on."""

    arms: Sequence[Arm]
    results: Tested
    """by arm, then by run"""

    def sets(self) -> list[Key]:
        """Keys of the sets whose headline is an accuracy, in order of appearance."""
        found = dict.fromkeys(key for arm in self.results for run in arm for key in run)
        return [key for key in found if key[1] in (Accuracy.name, Corruptions.name)]

    def of_arm(self, number: int, key: Key) -> dict[int, SetResult]:
        """Results of an arm on a set, by the places of its runs."""
        return {place: run[key] for place, run in enumerate(self.results[number]) if key in run}

    def everywhere(self, key: Key) -> Iterator[SetResult]:
        """Results of all runs on a set."""
        return (run[key] for arm in self.results for run in arm if key in run)


@dataclass(frozen=True)
class Spread:
    """A number over the seeds of an arm."""

    mean: float
    sd: float | None
    """None with a single seed"""


def read_tested_arms(arms: Sequence[Arm]) -> TestedArms:
    """Read what the runs of these arms were tested on."""
    return TestedArms(arms, read_tested(arms))


def spread(values: Sequence[float | None]) -> Spread | None:
    """Mean and deviation of the values that are there; None without any."""
    found = [value for value in values if value is not None]
    return Spread(*mean_sd(found)) if found else None


def cells_of(record: Record) -> Sequence[Record]:
    """The cells of a set."""
    found: Sequence[Record] = record.get("cells", [record])
    return found


def average_cells(record: Record, *names: str) -> float | None:
    """Mean over a set's cells of a number that lies below these names; None where a cell lacks it."""
    values: list[float] = []
    for cell in cells_of(record):
        found: Any = cell
        for name in names:
            found = (found or {}).get(name)
        if found is None:
            return None
        values.append(found)
    return fmean(values)


def write_spread(found: Spread | None, *, scale: float = 100.0, digits: int = 1) -> str:
    """Write mean and deviation; a dash for none."""
    if found is None:
        return ABSENT
    sd = "" if found.sd is None else f" ± {scale * found.sd:.{digits}f}"
    return f"{scale * found.mean:.{digits}f}{sd}".replace("-", "−")


def name_set(key: Key) -> str:
    """Name of a set, with the head that answers where it has a name."""
    head, _, name = key
    return f"{name} (head {head})" if head else name


def read_csv(path: str | Path, flag: str) -> list[list[str]]:
    """Read the rows of a CSV file; anything else raises `InputError` that names the flag."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            return [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{flag} {path}: not a CSV file ({error}); give another") from error
