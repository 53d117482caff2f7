"""How numbers were made: probes, encoders and versions, and the protocol of every set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from texneg.train.evaluate.sets.base import Record
from texneg.train.networks.preprocessing import Preprocessing
from texneg.train.report.commands import relate
from texneg.train.report.corruptions import describe_making
from texneg.train.report.runs import Run
from texneg.train.report.sets import Key, SetResult, Tested

HASH = 8  # characters of a fingerprint that are shown


@dataclass(frozen=True)
class Grid:
    """A table of words."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def describe_protocol(runs: Sequence[Run]) -> dict[str, str]:
    """Describe probe, transform and pre-training; every way that occurs among the runs."""
    probes = [(name, probe) for run in runs for name, probe in run.probes.items()]
    tested = [run.ood for run in runs if run.ood]
    seconds = [max(line.get("seconds", 0) for line in run.metrics) for run in runs if run.metrics]
    facts = {
        "probe": [f"{p['protocol']}, {describe_choice(p)}" for _, p in probes],
        "probe images": [
            f"{name}{': ' if name else ''}{p['n_train']} in {len(p['classes'])} classes" for name, p in probes
        ],
        "test transform": [
            *(p["transform"] for _, p in probes),
            *(one.get("transform") or found["transform"] for found in tested for one in found["sets"]),
        ],
        "pre-trained with": [run.versions for run in runs if run.trained],
        "trained elsewhere": [describe_foreign(run) for run in runs if not run.trained],
        "pre-training": [f"{min(seconds):.0f} to {max(seconds):.0f} s a run"] if seconds else [],
    }
    return {name: "; ".join(sorted(set(ways))) for name, ways in facts.items() if ways}


def describe_foreign(run: Run) -> str:
    """Describe an encoder that was trained elsewhere: its file, architecture and preprocessing."""
    measured = next(one for one in (*run.probes.values(), run.ood, *run.analyses.values()) if one)
    imported = measured.get("imported") or {}
    arch = imported.get("architecture", {}).get("arch", "unknown architecture")
    images = measured.get("preprocessing")
    shown = f", images: {Preprocessing(**images).describe()}" if images else ""
    return f"{run.title}: {arch} of {Path(imported.get('source', '?')).name}{shown}"


def describe_choice(probe: Mapping[str, Any]) -> str:
    """Describe how a probe came to its penalty, or to its learning rate."""
    if "choice" in probe:
        return str(probe["choice"])
    if probe.get("validation", 0.0) is None:
        return "the strongest penalty, for want of images to hold out"
    return f"penalty chosen on a held-out {probe['validation_share']:.0%}"


def describe_sets(tested: Tested, page: Path) -> Grid | None:
    """The protocol of every set, a row each, with the columns that say anything; None without sets."""
    found: dict[Key, list[SetResult]] = {}
    for key, one in (pair for runs in tested for run in runs for pair in run.items()):
        found.setdefault(key, []).append(one)
    rows = [_describe_set(key, everywhere, page) for key, everywhere in found.items()]
    head = [name for name in rows[0] if any(row[name] for row in rows)] if rows else []
    return Grid(head, [[row[name] for name in head] for row in rows]) if rows else None


def _describe_set(key: Key, everywhere: Sequence[SetResult], page: Path) -> dict[str, str]:
    record: Record = everywhere[0].record
    crops = dict.fromkeys(str(one.record.get("transform") or "") for one in everywhere)
    cells = record.get("cells") or [record]
    paths = list(dict.fromkeys(str(cell["path"]) for cell in cells if "path" in cell))
    place = relate(paths[0], page.parent) if len(paths) == 1 else ", ".join(paths[:1])
    return {
        "set": key[2],
        "kind": key[1],
        "head": key[0],
        "images at": f"{place} and {len(paths) - 1} more" if len(paths) > 1 else place,
        "images": str(record.get("n", "")),
        "class space": _describe_space(record),
        "crop": " or ".join(crop for crop in crops if crop),
        "corrupted": describe_making(record),
        "unreadable": _describe_unreadable(record),
        "data": str(record.get("data", ""))[:HASH],
        "version": str(record.get("version") or ""),
    }


def _describe_space(record: Record) -> str:
    """Say what the head chooses among: masked, then unmasked."""
    if "shape_bias" in record:
        return f"{record['classes']} categories"
    if "classes" not in record:
        return ""
    declared = record.get("declared")
    of = "" if declared in (None, "head") else f" of {declared}"
    masked = record.get("choices") or record["classes"]
    whole = record.get("head_classes") or masked
    among = "" if masked == whole == record["classes"] else f"; masked among {masked}, unmasked among {whole}"
    return f"{record['classes']} classes{of}{among}"


def _describe_unreadable(record: Record) -> str:
    count = record.get("unreadable", 0)
    done = "counted as wrong" if record.get("bad", "wrong") == "wrong" else "left out"
    return f"{count}, {done}" if count else ""
