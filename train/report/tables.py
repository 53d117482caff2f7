"""The tables of a report: rows by arms, the same ones on the page, in Markdown, as CSV and in LaTeX."""

from collections.abc import Sequence
from dataclasses import dataclass

from texneg.train.evaluate.analyses.base import Analysis
from texneg.train.evaluate.sets.base import SetKind
from texneg.train.report.rows import Row
from texneg.train.report.runs import Arm
from texneg.train.report.sets import Key, Tested
from texneg.train.report.table import compare_arms
from texneg.train.report.text import Format, decimal, name_group, percent, points, with_sign


@dataclass(frozen=True)
class Unit:
    """Formats of a table's numbers."""

    value: Format
    change: Format
    name: str
    """as the page calls it"""


PERCENT = Unit(percent, points, "%")
DECIMAL = Unit(decimal, with_sign, "")


@dataclass(frozen=True)
class Table:
    """Numbers of all arms, a row each."""

    name: str
    """of its files"""
    heading: str
    note: str
    """what its numbers are"""
    rows: Sequence[Row]
    unit: Unit = PERCENT
    first: str = ""
    """head of the first column"""
    paired: bool = False
    """an entry is masked and unmasked accuracy"""
    lower_is_better: bool = False
    judged: bool = True
    """a change is better or worse"""

    @property
    def groups(self) -> list[tuple[str, list[Row]]]:
        """Rows by head and group, in their order."""
        found: dict[tuple[str, str], list[Row]] = {}
        for row in self.rows:
            found.setdefault((row.head, row.group), []).append(row)
        return [(name_group(rows[0]), rows) for rows in found.values()]

    def tone(self, direction: int) -> str:
        """Judge a change: noise, better or worse, or beyond noise where neither applies."""
        if direction and not self.judged:
            return "beyond"
        return ("noise", "better", "worse")[-direction if self.lower_is_better else direction]


def tabulate_sets(rows: Sequence[Row]) -> Table:
    """The table of test sets."""
    note = (
        "Percent, masked / unmasked, ± standard deviation over seeds, [95 % interval over images] of the"
        " masked; ° no better than chance; change to the baseline in points."
    )
    return Table("sets", "Test sets", note, rows, first="Test set", paired=True)


def tabulate_analysis(analysis: type[Analysis], rows: Sequence[Row]) -> Table:
    """The table of an analysis."""
    note = "Mean ± standard deviation over seeds; change to the baseline."
    return Table(analysis.name, analysis.heading, note, rows, DECIMAL, judged=False)


def tabulate_kinds(arms: Sequence[Arm], tested: Tested) -> list[Table]:
    """A table for each kind of set whose number has parts, such as categories: those, set by set."""
    keys = list(dict.fromkeys(key for runs in tested for run in runs for key in run))
    tables = []
    for kind in dict.fromkeys(one.kind for runs in tested for run in runs for one in run.values()):
        rows = [row for key in keys if key[1] == kind.name for row in _split(arms, tested, key, kind)]
        if rows:
            tables.append(Table(f"{kind.name}-parts", kind.heading or kind.name, kind.parts_note, rows))
    return tables


def _split(arms: Sequence[Arm], tested: Tested, key: Key, kind: type[SetKind]) -> list[Row]:
    """The parts of a set's number, a row each."""
    found = [
        {
            str(seed): kind.parts(run[key].record)
            for seed, run in zip(arm.seeds, runs, strict=True)
            if key in run
        }
        for arm, runs in zip(arms, tested, strict=True)
    ]
    names = dict.fromkeys(name for arm in found for parts in arm.values() for name in parts)
    values = {
        name: [{seed: parts[name] for seed, parts in arm.items() if name in parts} for arm in found]
        for name in names
    }
    return [
        Row(name, None, compare_arms(arms, by_arm), head=key[0], group=key[2])
        for name, by_arm in values.items()
    ]
