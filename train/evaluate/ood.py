"""`texneg ood`: one encoder with one head on named test sets of every kind, resumable cell by cell.

The output folder holds `cells.jsonl` (one line for each finished cell, appended, never rewritten), `ood.json`
(all finished sets of this encoder and head) and `outcomes/*.npz` (every image, for paired comparisons). A
cell is measured again only when the weights, the head, its images, its options or the protocol changed.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path
from typing import Any

from texneg import __version__
from texneg.cli import console
from texneg.cli.fields import Positional
from texneg.cli.main import parse
from texneg.datasets.fingerprint import fingerprint
from texneg.datasets.storage.arrays import read_arrays
from texneg.datasets.storage.json_files import append_json_line, read_json_lines, write_json
from texneg.datasets.storage.places import parse_place, require_folder
from texneg.errors import InputError, RunFailed
from texneg.train.data.splits import open_test
from texneg.train.evaluate.class_space import find_class_map
from texneg.train.evaluate.features import Bad, describe_encoder, describe_unreadable, open_encoder
from texneg.train.evaluate.linear import load_head
from texneg.train.evaluate.sets import KINDS
from texneg.train.evaluate.sets.base import Cell, ProbedEncoder, SetKind, save_outcomes
from texneg.train.networks.imported import Foreign

PROTOCOL = "ood-1"  # a new name measures everything again

Record = dict[str, Any]


@dataclass(frozen=True)
class OodOptions:
    """Test one encoder with one head on named sets of images."""

    checkpoint: Positional[str]
    """run folder, encoder.pt, file of another project's weights, or timm:NAME"""
    head: str
    """head.pt of texneg probe on the same checkpoint; own: the classifier of a model of ImageNet's classes"""
    out: str
    """run folder for ood.json"""
    batch: int = 256
    """images a forward pass"""
    device: str = "auto"
    """auto, cpu or cuda"""
    cache: str | None = None
    """folder that keeps features between calls"""
    bad: Bad = "wrong"
    """an image that cannot be read: counts as wrong, is left out (skip), or ends its set's test (error)"""
    allow_truncated: bool = False
    """use truncated files as far as they go"""
    foreign: Foreign = Foreign()


@dataclass(frozen=True)
class OodConfig(OodOptions):
    """An encoder, a head, and the sets to test them on."""

    kinds: tuple[SetKind, ...] = ()
    """the sets, kind by kind"""


def ood(config: OodConfig) -> int:
    """Measure every cell that is not finished, then write ood.json.

    Raises:
        RunFailed: naming the cells that could not be measured; the others are finished.
    """
    require_folder(config.out, "--out")
    if config.cache:
        require_folder(config.cache, "--cache")
    if config.batch < 1:
        raise InputError(f"--batch {config.batch}: at least 1 image")
    encoder = open_encoder(config.checkpoint, config.device, config.foreign)
    probed = ProbedEncoder(
        encoder,
        load_head(config.head, encoder),
        batch=config.batch,
        cache=config.cache,
        bad=config.bad,
        allow_truncated=config.allow_truncated,
    )
    sets = [(kind, cells) for kind in config.kinds for cells in group_cells(kind)]
    if not sets:
        raise InputError("no test set given; name one or more: --sets sketch=/data/sketch")
    for cell in (cell for _, cells in sets for cell in cells):
        if not parse_place(cell.path).exists():
            raise InputError(f"set {cell.name!r}: {cell.path} does not exist; give its folder or .tar")
    measure_sets(Path(config.out), sets, probed)
    return 0


def read_command(words: list[str]) -> OodConfig:
    """Parse a command line, whose flags are those of `OodOptions` and of every kind in the table."""
    parts = [(kind.__name__, kind, field(default_factory=kind)) for kind in KINDS]
    flags = make_dataclass(
        "OodFlags", parts, bases=(OodOptions,), frozen=True, namespace={"__doc__": OodOptions.__doc__}
    )
    values = dict(vars(parse(flags, "ood", words)))
    return OodConfig(kinds=tuple(values.pop(name) for name, _, _ in parts), **values)


def group_cells(kind: SetKind) -> list[list[Cell]]:
    """The cells of each set of a kind."""
    sets: dict[str, list[Cell]] = {}
    for cell in kind.cells():
        sets.setdefault(cell.name, []).append(cell)
    return list(sets.values())


def measure_sets(out: Path, sets: Sequence[tuple[SetKind, Sequence[Cell]]], probed: ProbedEncoder) -> Record:
    """Measure the cells without a finished line; returns and writes what ood.json holds.

    Raises:
        RunFailed: after all others are measured and written, if a cell could not be measured.
    """
    finished, failed = read_cells(out / "cells.jsonl"), list[str]()
    for kind, cells in sets:
        records = []
        for cell in cells:
            try:
                record = measure_cell(out, kind, cell, probed, finished, parts=len(cells))
            except (InputError, OSError) as error:
                part = f" {cell.part}" if cell.part else ""
                failed.append(f"set {cell.name!r}{part} ({cell.path}): {error}")
                forget_cell(finished, kind, cell, probed)
                continue
            finished.pop(record["cell"], None)  # the latest of a name stands last
            finished[record["cell"]] = record
            records.append(record)
        if len(records) == len(cells):
            whole = join_cells(type(kind), records)
            console.out(f"{kind.summary(whole)}{describe_unreadable(whole['unreadable'], probed.bad)}")
    mine = [record for record in finished.values() if record.items() >= probed.weights.items()]
    result = {
        "protocol": PROTOCOL,
        **describe_encoder(probed.encoder),
        **probed.weights,
        "classes": list(probed.head.classes),
        "sets": join_sets(mine, [*KINDS, *(type(kind) for kind, _ in sets)]),
        "version": __version__,
    }
    write_json(out / "ood.json", result)
    if failed:
        raise RunFailed(
            f"{len(failed)} of {sum(len(cells) for _, cells in sets)} could not be measured"
            f" (what is finished is in {out / 'ood.json'}): {'; '.join(failed)}"
        )
    return result


def forget_cell(finished: dict[str, Record], kind: SetKind, cell: Cell, probed: ProbedEncoder) -> None:
    """Drop the earlier records of a cell that cannot be measured any more: they are of other images."""
    part = {"part": cell.part} if cell.part else {}
    own = {**probed.weights, "kind": kind.name, "name": cell.name, **part}
    for name in [name for name, record in finished.items() if record.items() >= own.items()]:
        del finished[name]


def measure_cell(
    out: Path, kind: SetKind, cell: Cell, probed: ProbedEncoder, finished: dict[str, Record], *, parts: int
) -> Record:
    """The record of a cell: that of a finished line, where nothing that decides it changed, or a new line.

    `parts` is the number of cells of its set.
    """
    images = replace(open_test(cell.path), allow_truncated=probed.allow_truncated)
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
    if record is not None and record.get("parts", 1) == parts and read_arrays(out / record["outcomes"]):
        return record
    found = kind.measure(cell, images, probed)
    outcomes = f"outcomes/{name[:16]}.npz"
    save_outcomes(out / outcomes, found.keys, found.values)
    record = {
        **found.numbers, **probed.weights, **part, **({"parts": parts} if part else {}), **reading,
        "unreadable": probed.unreadable.get(images.root, 0),
        "cell": name, "kind": kind.name, "name": cell.name, "path": cell.path, "data": data,
        "outcomes": outcomes, "options": options, "transform": transform, "version": __version__,
    }  # fmt: skip
    append_json_line(out / "cells.jsonl", record)
    return record


def join_sets(records: Sequence[Record], kinds: Sequence[type[SetKind]]) -> list[Record]:
    """The sets of these kinds whose cells are all finished; the latest record of a cell counts."""
    known = {kind.name: kind for kind in kinds}
    sets: dict[tuple[str, str], dict[str, Record]] = {}
    for record in records:
        sets.setdefault((record["kind"], record["name"]), {})[record.get("part", "")] = record
    joined = []
    for (kind, _), cells in sets.items():
        parts = list(cells.values())[-1].get("parts", 1)
        records = [record for record in cells.values() if record.get("parts", 1) == parts]
        if kind in known and len(records) == parts:
            joined.append(join_cells(known[kind], records))
    return joined


def join_cells(kind: type[SetKind], records: Sequence[Record]) -> Record:
    """The record of a set: that of its only cell, or a headline and all cells."""
    first = records[0]
    if "part" not in first:
        return first
    same = {name: first.get(name) for name in ("kind", "name", "encoder", "head", "version", "bad")}
    same["unreadable"] = sum(record.get("unreadable", 0) for record in records)
    data = hash_fields(data=[record["data"] for record in records])
    return {**kind.headline(records), **same, "data": data, "cells": list(records)}


def hash_fields(**fields: Any) -> str:
    """sha256 over everything that decides a cell's numbers."""
    return hashlib.sha256(
        json.dumps([PROTOCOL, fields], sort_keys=True).encode("utf-8", "surrogateescape")
    ).hexdigest()


def read_cells(path: Path) -> dict[str, Record]:
    """Read the finished cells, by id; a line that lacks something is left out."""
    needed = {"cell", "kind", "name", "data", "outcomes"}
    return {record["cell"]: record for record in read_json_lines(path) if needed <= record.keys()}
