"""Finished cells: a line each in cells.jsonl, joined into the sets of ood.json.

A line is never rewritten. A line `{"removed": NAME}` takes all lines before it that have this name out.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from texneg.datasets.storage.json_files import append_json_line, read_json, read_json_lines, write_json
from texneg.errors import InputError
from texneg.train.evaluate.sets.base import Cell, SetKind

PROTOCOL = "ood-1"  # a new name measures everything again
CELLS, RESULT = "cells.jsonl", "ood.json"

Record = dict[str, Any]


def join_sets(records: Sequence[Record], kinds: Sequence[type[SetKind]]) -> list[Record]:
    """The sets of these kinds whose cells are all finished; the latest record of a cell counts."""
    known = {kind.name: kind for kind in kinds}
    sets: dict[tuple[str, str, str], dict[str, Record]] = {}
    for record in records:
        key = (record["head"], record["kind"], record["name"])
        sets.setdefault(key, {})[record.get("part", "")] = record
    joined = []
    for (_, kind, _), cells in sets.items():
        latest = list(cells.values())[-1]
        same = {name: latest.get(name) for name in ("parts", "whole")}
        records = [record for record in cells.values() if all(record.get(k) == v for k, v in same.items())]
        if kind in known and len(records) == (same["parts"] or 1):
            joined.append(join_cells(known[kind], records))
    return joined


def join_cells(kind: type[SetKind], records: Sequence[Record]) -> Record:
    """The record of a set: that of its only cell, or a headline and all cells."""
    first = records[0]
    if "part" not in first:
        return first
    same = {
        name: first.get(name)
        for name in (
            "kind",
            "name",
            "encoder",
            "head",
            "head_name",
            "in_distribution",
            "fitted_on",
            "transform",
            "version",
            "bad",
        )
    }
    same["unreadable"] = sum(record.get("unreadable", 0) for record in records)
    data = hash_fields(data=[record["data"] for record in records])
    return {**kind.headline(records), **same, "data": data, "cells": list(records)}


def hash_fields(**fields: Any) -> str:
    """sha256 over everything that decides a cell's numbers."""
    return hashlib.sha256(
        json.dumps([PROTOCOL, fields], sort_keys=True).encode("utf-8", "surrogateescape")
    ).hexdigest()


def list_commands(path: Path) -> list[list[str]]:
    """The commands that measured what ood.json holds; the current one stands last."""
    earlier: list[list[str]] = read_json(path).get("commands", []) if path.is_file() else []
    return [*(words for words in earlier if words != sys.argv), sys.argv]


def read_cells(path: Path) -> dict[str, Record]:
    """Read the finished cells, by id; a line that lacks something is left out."""
    needed = {"cell", "kind", "name", "data", "outcomes"}
    found: dict[str, Record] = {}
    for line in read_json_lines(path):
        if "removed" in line:
            found = {cell: record for cell, record in found.items() if record["name"] != line["removed"]}
        elif needed <= line.keys():
            found.pop(line["cell"], None)
            found[line["cell"]] = line
    return found


def remove_set(out: Path, name: str) -> None:
    """Take a set out of the results of a run folder, of all heads, with the outcomes of its images.

    Raises:
        InputError: there is none of this name.
    """
    finished = read_cells(out / CELLS)
    gone = [record for record in finished.values() if record["name"] == name]
    if not gone:
        names = dict.fromkeys(record["name"] for record in finished.values())
        raise InputError(
            f"--remove {name}: no such set in {out / CELLS}; it has {', '.join(names) or 'none'}"
        )
    append_json_line(out / CELLS, {"removed": name})
    if (out / RESULT).is_file():
        result = read_json(out / RESULT)
        kept = [record for record in result["sets"] if record["name"] != name]
        write_json(out / RESULT, {**result, "sets": kept})
    for record in gone:
        (out / record["outcomes"]).unlink(missing_ok=True)


def require_other_images(finished: Iterable[Record], same: Mapping[str, Any], cell: Cell, data: str) -> None:
    """Refuse a cell whose images another set has shown to the same head already.

    Args:
        finished: records there are.
        same: encoder, head, kind and options of the cell.
        cell: to be measured.
        data: fingerprint of its images.

    Raises:
        InputError: naming the other set.
    """
    for record in finished:
        twin = record["name"] != cell.name and record.items() >= same.items()
        if twin and get_content(record["data"]) == get_content(data) and "transform" in record:
            raise InputError(
                f"the same images as set {record['name']!r}: they would count twice; give them one name, or"
                f" take the other out with --remove {record['name']}"
            )


def get_content(fingerprint: str) -> str:
    """Return the part of a fingerprint that is of contents alone; all of one of an earlier version."""
    return fingerprint.partition("-")[2] or fingerprint
