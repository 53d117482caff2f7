"""`texneg report`: one self-contained HTML page from finished runs, with its numbers as JSON and Markdown.

What a run folder is, and which runs form an arm, is written in `texneg.train.report.runs`. Contact sheets are
the files `sheet*.png`, `.jpg` or `.webp` of the run folders, and those given with --sheets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from texneg import __version__
from texneg.cli.environment import environment
from texneg.cli.fields import Positional
from texneg.datasets.storage.atomic import write_bytes
from texneg.datasets.storage.json_files import write_json
from texneg.errors import InputError
from texneg.train.report import curves, markdown, plain, table
from texneg.train.report.page import embed, render
from texneg.train.report.runs import Arm, Run, group, read_run, shared_settings

SHEETS = ("sheet*.png", "sheet*.jpg", "sheet*.webp")


@dataclass(frozen=True)
class ReportConfig:
    """One HTML page that compares finished runs."""

    runs: Positional[tuple[str, ...]]
    """run folders; those that differ only in their seed form an arm"""
    out: str
    """the page, ending in .html; .json and .md are written beside it"""
    title: str = "Negatives with diminished semantics"
    """headline"""
    sheets: tuple[str, ...] = ()
    """contact sheets to show (PNG, JPEG or WebP)"""


def report(config: ReportConfig) -> int:
    """Write the page, the JSON and the Markdown."""
    out = Path(config.out)
    if out.suffix != ".html":
        raise InputError(f"--out {config.out!r} must end in .html; .json and .md are written beside it")
    if not config.runs:
        raise InputError("no runs given; name the folders that texneg pretrain made")
    runs = [read_run(folder) for folder in config.runs]
    arms = group(runs)
    numbers = collect(arms, title=config.title)
    files = [Path(sheet) for sheet in config.sheets] or _found_sheets(runs)
    page = render(numbers, arms, sheets=[(path.stem, embed(path)) for path in files])
    write_bytes(out, page.encode("utf-8", "replace"))
    write_json(out.with_suffix(".json"), numbers)
    write_bytes(out.with_suffix(".md"), markdown.render(numbers).encode("utf-8", "replace"))
    print(plain.render(numbers))
    print(f"{out}: {len(arms)} arms, {len(runs)} runs, {len(numbers['table'])} rows")
    return 0


def collect(arms: Sequence[Arm], *, title: str) -> dict[str, Any]:
    """Everything the report says, as plain values."""
    runs = [run for arm in arms for run in arm.runs]
    return {
        "title": title,
        "arms": [
            {
                "label": arm.label,
                "colour": arm.colour,
                "baseline": None if arm.baseline is None else arms[arm.baseline].label,
                "seeds": list(arm.seeds),
                "runs": [str(run.path) for run in arm.runs],
            }
            for arm in arms
        ],
        "table": table.build(arms),
        "similarity": curves.similarity(arms),
        "settings": shared_settings(runs),
        "protocol": protocol(runs),
        "environment": environment(),
        "version": __version__,
    }


def protocol(runs: Sequence[Run]) -> dict[str, str]:
    """How the numbers were made, in words; every way that occurs among the runs."""
    probes = [run.probe for run in runs if run.probe]
    tested = [run.ood for run in runs if run.ood]
    seconds = [max(line.get("seconds", 0) for line in run.metrics) for run in runs if run.metrics]
    facts = {
        "probe": [
            f"{p['protocol']}, penalty chosen on a held-out {p['validation_share']:.0%}" for p in probes
        ],
        "probe images": [f"{p['n_train']} in {len(p['classes'])} classes" for p in probes],
        "test transform": [measured["transform"] for measured in [*probes, *tested]],
        "pre-trained with": [
            f"texneg {run.record.get('version', '?')}, torch {run.record.get('torch', '?')}" for run in runs
        ],
        "pre-training": [f"{min(seconds):.0f} to {max(seconds):.0f} s a run"] if seconds else [],
    }
    return {name: "; ".join(sorted(set(ways))) for name, ways in facts.items() if ways}


def _found_sheets(runs: Sequence[Run]) -> list[Path]:
    return [path for run in runs for pattern in SHEETS for path in sorted(run.path.glob(pattern))]
