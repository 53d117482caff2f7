"""`texneg report`: one self-contained HTML page from finished runs, and its numbers in other forms.

Beside PAGE.html it writes PAGE.json, PAGE.md, and the folder PAGE-tables with every table as CSV and LaTeX.

What a run folder is, and which runs form an arm, is written in `texneg.train.report.runs`. Contact sheets are
the files `sheet*.png`, `.jpg` or `.webp` of the run folders, and those given with --sheets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from texneg.cli import console
from texneg.cli.fields import Positional
from texneg.datasets.storage.atomic import write_bytes
from texneg.datasets.storage.json_files import write_json
from texneg.datasets.storage.places import require_folder
from texneg.errors import InputError
from texneg.train.evaluate.sets.base import parse_paths
from texneg.train.report.content import read_content
from texneg.train.report.files import write_tables
from texneg.train.report.markdown import render_markdown
from texneg.train.report.metrics.collect import collect_metrics
from texneg.train.report.page import render
from texneg.train.report.pictures import embed_image
from texneg.train.report.runs import Run, group_runs, read_run
from texneg.train.report.text import render_plain

SHEETS = ("sheet*.png", "sheet*.jpg", "sheet*.webp")


@dataclass(frozen=True)
class ReportConfig:
    """One HTML page that compares finished runs."""

    runs: Positional[tuple[str, ...]]
    """run folders; those that differ only in their seed form an arm"""
    out: str
    """the page, ending in .html; .json, .md and tables as CSV and LaTeX are written beside it"""
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
    """published networks for effective robustness: timm's results-sketch.csv and the like, or their folder;
    benchmark.csv of Gavrikov and Keuper; or a CSV of name, in_distribution, and columns named after sets.
    Without it the line of a set goes through the runs of the other arms"""
    family: tuple[str, ...] = ()
    """which of these networks count: patterns of their names, such as *resnet50*, or a JSON file of names"""
    human: tuple[str, ...] = ()
    """folders of the trials of people that model-vs-human publishes (raw-data, or one of its folders), or
    SET=FOLDER: error consistency with people, and the range of their shape bias"""


def report(config: ReportConfig) -> int:
    """Write the page, the JSON, the Markdown and the tables."""
    out = Path(config.out)
    if out.suffix != ".html":
        raise InputError(f"--out {config.out!r} must end in .html; .json and .md are written beside it")
    if not config.runs:
        raise InputError("no runs given; name the folders that texneg pretrain made")
    require_folder(out.parent, "--out")
    runs = [read_run(folder) for folder in config.runs]
    arms = group_runs(runs)
    metrics = collect_metrics(
        arms,
        reference=read_run(config.reference) if config.reference else None,
        lines=config.reference_line,
        family=config.family,
        humans=config.human,
    )
    content = read_content(config.title, arms, parse_paths(config.groups, "--groups"), metrics, out)
    sheets = [Path(sheet) for sheet in config.sheets] or find_sheets(runs)
    page = render(content, sheets=[(path.stem, embed_image(path)) for path in sheets])
    write_bytes(out, page.encode("utf-8", "replace"))
    write_json(out.with_suffix(".json"), content.to_json())
    write_bytes(out.with_suffix(".md"), render_markdown(content).encode("utf-8", "replace"))
    if content.tables:
        write_tables(out.with_name(f"{out.stem}-tables"), content.tables, metrics.tables, arms)
    if not content.rows and not content.analyses:
        console.info("warning: no run has results yet: make some with texneg probe, ood or analyze")
    console.out(render_plain(arms, content.rows))
    if metrics.tables:
        console.out(f"also there: {', '.join(dict.fromkeys(one.heading for one in metrics.tables))}")
    console.out(f"{out}: {len(arms)} arms, {len(runs)} runs, {len(content.rows)} rows")
    return 0


def find_sheets(runs: Sequence[Run]) -> list[Path]:
    """The contact sheets in the folders of the runs."""
    return [path for run in runs for pattern in SHEETS for path in sorted(run.path.glob(pattern))]
