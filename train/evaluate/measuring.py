"""The measurements of `texneg ood`: every cell with every head, and what is finished already.

The output folder holds `cells.jsonl` (one line for each finished cell, appended, never rewritten), `ood.json`
(all finished sets of this encoder and its heads) and `outcomes/*.npz` (every image, for paired comparisons).
A cell is measured again only when the weights, the head, its images, its options or the protocol changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from texneg import __version__
from texneg.cli import console
from texneg.datasets.fingerprint import fingerprint, sample_fingerprint
from texneg.datasets.images import ImageSet
from texneg.datasets.storage.arrays import read_arrays
from texneg.datasets.storage.json_files import append_json_line, read_json, write_json
from texneg.errors import InputError, RunFailed
from texneg.train.data.splits import open_test, report_inputs
from texneg.train.evaluate.cells import (
    CELLS,
    PROTOCOL,
    RESULT,
    Record,
    get_content,
    hash_fields,
    join_cells,
    join_sets,
    list_commands,
    read_cells,
    require_other_images,
)
from texneg.train.evaluate.class_space import NothingShared, find_class_map
from texneg.train.evaluate.encoders import describe_encoder
from texneg.train.evaluate.features import describe_unreadable
from texneg.train.evaluate.outcomes import save_outcomes
from texneg.train.evaluate.sets import KINDS
from texneg.train.evaluate.sets.base import Cell, ProbedEncoder, SetKind


@dataclass(frozen=True)
class CellSet:
    """The cells of one set, and the kind that measures them."""

    kind: SetKind
    cells: tuple[Cell, ...]

    @property
    def whole(self) -> dict[str, int | str]:
        """Record of the cells that belong together, where there are several."""
        if not self.cells[0].part:
            return {}
        named = [[cell.part, cell.options] for cell in self.cells]
        return {"parts": len(self.cells), "whole": hash_fields(cells=named)[:16]}


class Failures:
    """Cells that could not be measured, those of one set with the same reason together."""

    def __init__(self) -> None:
        self.count = 0
        self._cells: dict[tuple[str, str, str], list[Cell]] = {}

    def add(self, cell: Cell, with_head: str, error: Exception) -> None:
        """Count a cell."""
        self.count += 1
        self._cells.setdefault((cell.name, with_head, str(error)), []).append(cell)

    def describe(self) -> str:
        """Say which cells they are, and why."""
        words = []
        for (name, with_head, reason), cells in self._cells.items():
            part = f" {cells[0].part}" if cells[0].part else ""
            more = f" and {len(cells) - 1} more cells" if len(cells) > 1 else ""
            words.append(f"set {name!r}{part}{more} ({cells[0].path}){with_head}: {reason}")
        return "; ".join(words)


class CellImages:
    """The images of cells, opened once for all heads, and once for cells of the same path."""

    def __init__(self, *, allow_truncated: bool) -> None:
        self._allow_truncated = allow_truncated
        self._latest: tuple[Cell, ImageSet] | None = None

    def open(self, cell: Cell) -> ImageSet:
        """Open the images of a cell; raises `InputError` where there are none."""
        if self._latest:
            known, images = self._latest
            if cell is known or (known.images is None is cell.images and cell.path == known.path):
                return images
        images = open_test(cell.path) if cell.images is None else cell.images()
        if cell.images is not None:
            report_inputs(images)
        images = replace(images, allow_truncated=self._allow_truncated)
        self._latest = (cell, images)
        return images


def measure_sets(out: Path, sets: Sequence[CellSet], heads: Sequence[ProbedEncoder]) -> Record:
    """Measure the cells without a finished line; returns and writes what ood.json holds.

    Raises:
        RunFailed: after all others are measured and written, if a cell could not be measured.
    """
    finished, failures, total = read_cells(out / CELLS), Failures(), 0
    opened = CellImages(allow_truncated=heads[0].allow_truncated)
    for cell_set in sets:
        total += measure_set(out, cell_set, heads, finished, failures, opened)
    encoder = heads[0].encoder
    mine, earlier = choose_current(out, list(finished.values()), heads)
    if earlier:
        console.info(
            f"left out of ood.json, for their images were cut otherwise by an earlier version:"
            f" {', '.join(earlier)}; give these sets once more"
        )
    result = {
        "protocol": PROTOCOL,
        **describe_encoder(encoder),
        "encoder": encoder.fingerprint,
        "heads": [
            {"name": one.name, "head": one.weights["head"], "classes": list(one.head.classes)}
            for one in heads
        ],
        "sets": join_sets(mine, [*KINDS, *(type(one.kind) for one in sets)]),
        "commands": list_commands(out / RESULT),
        "version": __version__,
    }
    write_json(out / RESULT, result)
    if failures.count:
        raise RunFailed(
            f"{failures.count} of {total} could not be measured"
            f" (what is finished is in {out / RESULT}): {failures.describe()}"
        )
    return result


def measure_set(
    out: Path,
    cell_set: CellSet,
    heads: Sequence[ProbedEncoder],
    finished: dict[str, Record],
    failures: Failures,
    opened: CellImages,
) -> int:
    """Measure the cells of one set, each with all heads before the next, so that they share its features.

    Returns:
        The number of measurements that were asked for; sets that share no class with a head are none.
    """
    kind, cells = cell_set.kind, cell_set.cells
    records: dict[int, list[Record]] = {place: [] for place in range(len(heads))}
    asked = list(records)
    for number, cell in enumerate(cells, 1):
        for place in list(asked):
            probed = heads[place]
            with_head = f" with head {probed.name or 'head'}" if len(heads) > 1 else ""
            try:
                record = measure_cell(out, cell_set, cell, opened.open(cell), probed, finished)
            except (InputError, OSError) as error:
                forget_cell(finished, kind, cell, probed)
                if isinstance(error, NothingShared) and len(heads) > 1:
                    console.info(f"set {cell.name!r} shares no class with head {probed.name}: not tested")
                    asked.remove(place)
                    continue
                failures.add(cell, with_head, error)
                continue
            if record["cell"] not in finished and len(cells) > 1:
                value = kind.describe_value(record)
                console.info(f"{cell.name} {cell.part}{with_head}: {value} ({number} of {len(cells)})")
            finished.pop(record["cell"], None)  # the latest of a name stands last
            finished[record["cell"]] = record
            records[place].append(record)
    for place in asked:
        if len(records[place]) == len(cells):
            whole = join_cells(type(kind), records[place])
            probed = heads[place]
            head = f"[{probed.name or 'head'}] " if len(heads) > 1 else ""
            notes = describe_unreadable(whole["unreadable"], probed.bad)
            notes += "; these are the images that the head was fitted on" if whole.get("fitted_on") else ""
            console.out(f"{head}{kind.summary(whole)}{notes}")
    return len(asked) * len(cells)


def choose_current(
    out: Path, records: Sequence[Record], heads: Sequence[ProbedEncoder]
) -> tuple[list[Record], list[str]]:
    """Choose the records of this encoder and its heads as they are now; name sets of earlier versions."""
    now = {one.name: one.weights["head"] for one in heads}
    for path in out.glob("probe*.json"):
        found = read_json(path)
        now.setdefault(found.get("name", ""), str(found.get("head")))
    encoder = heads[0].weights["encoder"]
    mine = [
        record
        for record in records
        if record["encoder"] == encoder
        and record["head"] == now.get(record.get("head_name", ""), record["head"])
    ]
    there = {(record["head"], record["name"]) for record in mine if "transform" in record}
    lost = [record for record in mine if "transform" not in record]
    names = dict.fromkeys(record["name"] for record in lost if (record["head"], record["name"]) not in there)
    return [record for record in mine if "transform" in record], list(names)


def forget_cell(finished: dict[str, Record], kind: SetKind, cell: Cell, probed: ProbedEncoder) -> None:
    """Drop the earlier records of a cell that cannot be measured any more: they are of other images."""
    part = {"part": cell.part} if cell.part else {}
    own = {**probed.weights, "kind": kind.name, "name": cell.name, **part}
    for name in [name for name, record in finished.items() if record.items() >= own.items()]:
        del finished[name]


def measure_cell(
    out: Path,
    cell_set: CellSet,
    cell: Cell,
    images: ImageSet,
    probed: ProbedEncoder,
    finished: dict[str, Record],
) -> Record:
    """The record of a cell: that of a finished line, where nothing that decides it changed, or a new line.

    Raises:
        InputError: the images are of no use, whether the cell is finished or not.
    """
    kind = cell_set.kind
    kind.check(cell, images, probed)
    data = fingerprint(images, out)
    part = {"part": cell.part} if cell.part else {}
    reading = {"bad": probed.bad, "allow_truncated": probed.allow_truncated}
    options = cell.options | ({} if cell.train is None else {"train": fingerprint(cell.train, out)})
    if declared := find_class_map(cell.classes, cell.name, images):
        options |= {"classes": declared.fingerprint}
    transform = probed.preprocessing(ready_cut=cell.ready_cut).transform
    decisive = {
        "data": data, "kind": kind.name, "name": cell.name, **part, **reading, **options,
        "transform": transform,
    }  # fmt: skip
    name = hash_fields(**probed.weights, **decisive)
    record = finished.get(name)
    fitted = bool(probed.head.data) and get_content(sample_fingerprint(images)) == get_content(
        probed.head.data
    )
    told = {
        "in_distribution": cell.in_distribution, "head_name": probed.name, "fitted_on": fitted,
        **cell_set.whole,
    }  # fmt: skip
    if record and told["in_distribution"] and not record["in_distribution"]:
        record = None  # answers of such a set are kept in more detail
    if record and read_arrays(out / record["outcomes"]):
        if record.items() >= told.items():
            return record
        record = record | told
        append_json_line(out / CELLS, record)
        return record
    require_other_images(
        finished.values(), {**probed.weights, "kind": kind.name, **part, "options": options}, cell, data
    )
    found = kind.measure(cell, images, probed)
    outcomes = f"outcomes/{name[:16]}.npz"
    save_outcomes(out / outcomes, found.keys, found.values, found.answers)
    record = {
        **found.numbers, **probed.weights, **told, **part, **reading,
        "unreadable": probed.unreadable.get(images.root, 0),
        "cell": name, "kind": kind.name, "name": cell.name, "path": cell.path, "data": data,
        "outcomes": outcomes, "options": options, "transform": transform, "version": __version__,
    }  # fmt: skip
    append_json_line(out / CELLS, record)
    return record
