"""Sets of corruptions as a report reads them: rows by corruption and severity, and accuracy over severities.

Such a set has a cell for each corruption and severity, whose part is called NAME-SEVERITY.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from texneg.datasets.corruptions.corrupt import ALL
from texneg.train.evaluate.sets.base import Record
from texneg.train.report.rows import Row
from texneg.train.report.runs import Arm
from texneg.train.report.sets import Key, SetResult, Tested
from texneg.train.report.table import compare_arms, make_set_row
from texneg.train.report.tables import Table

FAMILIES = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur"),
    "weather": ("snow", "frost", "fog", "brightness", "spatter"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression", "saturate"),
}
OTHERS = "other corruptions"


@dataclass(frozen=True)
class Curves:
    """One set of corruptions: its rows, and what every arm reaches at each severity."""

    key: Key
    rows: Sequence[Row]
    """a row each corruption, mean over severities, by family"""
    severities: Sequence[Row]
    """a row each corruption and severity"""
    values: Mapping[str, Sequence[Mapping[int, float]]]
    """by corruption, then arm: mean accuracy by severity; 0 is the clean set, where it is known"""
    made: str
    """JPEG, constants and pictures, where they are recorded"""

    @property
    def title(self) -> str:
        """Name of the set, and the head where it has a name."""
        head, _, name = self.key
        return f"{name} [{head}]" if head else name


def read_curves(arms: Sequence[Arm], tested: Tested) -> list[Curves]:
    """The sets of all heads whose cells are corruptions at severities."""
    keys = dict.fromkeys(
        key for runs in tested for run in runs for key, one in run.items() if is_corrupted(one)
    )
    return [make_curves(arms, tested, key) for key in keys]


def is_corrupted(result: SetResult) -> bool:
    """Return True for a set whose cells are all called NAME-SEVERITY."""
    cells = result.record.get("cells", ())
    return bool(cells) and all(split_part(cell) for cell in cells)


def split_part(cell: Record) -> tuple[str, int] | None:
    """Corruption and severity of a cell; None for any other."""
    name, _, severity = str(cell.get("part", "")).rpartition("-")
    return (name, int(severity)) if name and severity.isdecimal() else None


def find_family(name: str) -> str:
    """Family of a corruption by its name."""
    return next((family for family, names in FAMILIES.items() if name in names), OTHERS)


def order(names: Iterable[str]) -> list[str]:
    """Corruptions family by family, in the published order."""
    families, known = [*FAMILIES, OTHERS], list(ALL)
    return sorted(
        dict.fromkeys(names),
        key=lambda name: (
            families.index(find_family(name)),
            known.index(name) if name in known else 99,
            name,
        ),
    )


def make_curves(arms: Sequence[Arm], tested: Tested, key: Key) -> Curves:
    """The rows and curves of one set."""
    first = next(run[key] for runs in tested for run in runs if key in run)
    parts = [part for cell in first.record["cells"] if (part := split_part(cell))]
    names = order(name for name, _ in parts)
    rows = [_make_row(arms, tested, key, name) for name in names]
    by_part = {(name, severity): _read_part(arms, tested, key, name, severity) for name, severity in parts}
    several = len({one for runs in tested for run in runs for one in run if is_corrupted(run[one])}) > 1
    title = f"{key[2]}: " if several else ""
    severities = [
        replace(
            _name_row(key, name, title),
            name=f"{describe(name)} {severity}",
            entries=compare_arms(arms, by_part[name, severity]),
        )
        for name in names
        for _, severity in sorted(part for part in parts if part[0] == name)
    ]
    clean = _find_clean(arms, tested, key)
    values: dict[str, list[Mapping[int, float]]] = {name: [] for name in names}
    for name in names:
        mine = sorted(severity for other, severity in parts if other == name)
        for i in range(len(arms)):
            found = [(0, clean[i]), *((severity, by_part[name, severity][i]) for severity in mine)]
            values[name].append({severity: fmean(seeds.values()) for severity, seeds in found if seeds})
    rows = [replace(row, group=f"{title}{row.group}") for row in rows]
    return Curves(key, rows, severities, values, describe_making(first.record))


def _name_row(key: Key, name: str, title: str) -> Row:
    return Row(describe(name), None, (), head=key[0], group=f"{title}{find_family(name)}")


def describe(name: str) -> str:
    """Name of a corruption in words."""
    return {"jpeg_compression": "JPEG compression"}.get(name, name.replace("_", " "))


def _make_row(arms: Sequence[Arm], tested: Tested, key: Key, name: str) -> Row:
    """The row of one corruption: the set as if it had no other."""
    reduced = [[{key: _reduce(run[key], name)} if key in run else {} for run in runs] for runs in tested]
    row = make_set_row(arms, reduced, key, {})
    return replace(row, name=describe(name), group=find_family(name), kind=None, parts=0)


def _reduce(result: SetResult, name: str) -> SetResult:
    """The part of a set that one corruption is."""
    kept = [i for i, cell in enumerate(result.record["cells"]) if (split_part(cell) or ("",))[0] == name]
    cells = [result.record["cells"][i] for i in kept]
    record = {**result.record, **result.kind.headline(cells), "cells": cells}
    outcomes = tuple(result.outcomes[i] for i in kept)
    return replace(result, record=record, value=result.kind.value(record), outcomes=outcomes)


def _read_part(
    arms: Sequence[Arm], tested: Tested, key: Key, name: str, severity: int
) -> list[dict[str, float]]:
    """Values of one cell by arm and seed."""
    found: list[dict[str, float]] = []
    for arm, runs in zip(arms, tested, strict=True):
        values = {}
        for seed, run in zip(arm.seeds, runs, strict=True):
            cells = run[key].record["cells"] if key in run else ()
            for cell in cells:
                value = run[key].kind.value(cell) if split_part(cell) == (name, severity) else None
                if value is not None:
                    values[str(seed)] = value
        found.append(values)
    return found


def _find_clean(arms: Sequence[Arm], tested: Tested, key: Key) -> list[dict[str, float]]:
    """Accuracies on the images before their corruption, by arm and seed, where a run was tested on them."""
    found: list[dict[str, float]] = []
    for arm, runs in zip(arms, tested, strict=True):
        values = {}
        for seed, run in zip(arm.seeds, runs, strict=True):
            data = {cell["data"] for cell in run[key].record["cells"]} if key in run else set()
            for (head, _, _), one in run.items():
                same = one.record["data"] in data and "cells" not in one.record
                if same and head == key[0] and one.kind.averaged and one.value is not None:
                    values[str(seed)] = one.value
        found.append(values)
    return found


def describe_making(record: Record) -> str:
    """Say how the images were corrupted, as far as it is recorded."""
    parts = []
    if "jpeg_quality" in record:
        quality = record["jpeg_quality"]
        parts.append(f"JPEG {quality} after the corruption" if quality else "no JPEG after the corruption")
    if "constants" in record:
        other = "" if record.get("published_size", True) else ", which are for another image size"
        parts.append(f"constants of {record['constants']}{other}")
    if record.get("own_frost"):
        parts.append("frost drawn by texneg")
    return "; ".join(parts)


def tabulate(curves: Sequence[Curves]) -> list[Table]:
    """Tables of sets of corruptions: by corruption, and by severity."""
    if not curves:
        return []
    note = (
        "Masked accuracy, percent, mean over severities, ± standard deviation over seeds; change in points."
    )
    single = "Masked accuracy, percent, ± standard deviation over seeds; change in points."
    return [
        Table(
            "corruptions",
            "By corruption",
            note,
            [row for one in curves for row in one.rows],
            first="Corruption",
        ),
        Table(
            "severities",
            "By corruption and severity",
            single,
            [row for one in curves for row in one.severities],
            first="Corruption and severity",
        ),
    ]
