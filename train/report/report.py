"""`texneg report`: one self-contained HTML page from finished runs, with its numbers as JSON and Markdown.

What a run folder is, and which runs form an arm, is written in `texneg.train.report.runs`. Contact sheets are
the files `sheet*.png`, `.jpg` or `.webp` of the run folders, and those given with --sheets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from texneg import __version__
from texneg.cli import console
from texneg.cli.environment import environment
from texneg.cli.fields import Positional
from texneg.datasets.storage.atomic import write_bytes
from texneg.datasets.storage.json_files import write_json
from texneg.datasets.storage.places import require_folder
from texneg.errors import InputError
from texneg.train.evaluate.sets.base import parse_paths
from texneg.train.networks.preprocessing import Preprocessing
from texneg.train.report.metrics.collect import collect_metrics
from texneg.train.report.page import embed_image, render
from texneg.train.report.runs import Run, describe_equality, find_shared_settings, group_runs, read_run
from texneg.train.report.table import build_analyses, build_table, find_headline
from texneg.train.report.text import render_markdown, render_plain, render_plain_table

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
    groups: tuple[str, ...] = ()
    """groups of sets as NAME=GROUP, such as line-drawings=renditions; only sets of a group with the same
    classes are averaged"""
    reference: str | None = None
    """run folder whose corruption errors are 100; without it AlexNet's published ones where they apply (1,000
    classes, five severities, published files or JPEG 85), else the baseline's"""
    reference_line: tuple[str, ...] = ()
    """CSV of networks for effective robustness: name, in_distribution, and columns named after sets; without
    it the line of a set goes through the runs of the other arms"""
    human: tuple[str, ...] = ()
    """folders of the trials of people that model-vs-human publishes (raw-data, or one of its folders), or
    SET=FOLDER: error consistency with people, and the range of their shape bias"""


def report(config: ReportConfig) -> int:
    """Write the page, the JSON and the Markdown."""
    out = Path(config.out)
    if out.suffix != ".html":
        raise InputError(f"--out {config.out!r} must end in .html; .json and .md are written beside it")
    if not config.runs:
        raise InputError("no runs given; name the folders that texneg pretrain made")
    require_folder(out.parent, "--out")
    runs = [read_run(folder) for folder in config.runs]
    arms = group_runs(runs)
    table = build_table(arms, parse_paths(config.groups, "--groups"))
    analyses = build_analyses(arms)
    metrics = collect_metrics(
        arms,
        reference=read_run(config.reference) if config.reference else None,
        lines=config.reference_line,
        humans=config.human,
    )
    settings, protocol, machine = find_shared_settings(runs), describe_protocol(runs), environment()
    numbers = {
        "title": config.title,
        "arms": [
            {
                "label": arm.label,
                "colour": arm.look.number,
                "baseline": None if arm.baseline is None else arms[arm.baseline].label,
                "seeds": list(arm.seeds),
                "runs": [str(run.path) for run in arm.runs],
            }
            for arm in arms
        ],
        "table": [row.to_json() for row in table],
        "analyses": {analysis.name: [row.to_json() for row in rows] for analysis, rows in analyses},
        "metrics": metrics.to_json(),
        "headline": headline.name if (headline := find_headline(table)) else None,
        "equality": describe_equality(arms),
        "settings": settings,
        "protocol": protocol,
        "environment": machine,
        "version": __version__,
    }
    sheets = [Path(sheet) for sheet in config.sheets] or find_sheets(runs)
    page = render(numbers, arms, table, analyses, sheets=[(path.stem, embed_image(path)) for path in sheets])
    facts = {**protocol, **machine}
    markdown = render_markdown(
        config.title,
        arms,
        table,
        analyses,
        metrics=metrics.tables,
        settings=settings,
        facts=facts,
        equality=describe_equality(arms),
    )
    write_bytes(out, page.encode("utf-8", "replace"))
    write_json(out.with_suffix(".json"), numbers)
    write_bytes(out.with_suffix(".md"), markdown.encode("utf-8", "replace"))
    if not table and not analyses:
        console.info("warning: no run has results yet: make some with texneg probe, ood or analyze")
    console.out(render_plain(arms, table))
    for one in metrics.tables:
        console.out(render_plain_table(one))
    console.out(f"{out}: {len(arms)} arms, {len(runs)} runs, {len(table)} rows")
    return 0


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


def find_sheets(runs: Sequence[Run]) -> list[Path]:
    """The contact sheets in the folders of the runs."""
    return [path for run in runs for pattern in SHEETS for path in sorted(run.path.glob(pattern))]
