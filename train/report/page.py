"""The report as one HTML page that loads nothing: drawings inline, pictures as data URIs."""

import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image, UnidentifiedImageError

from texneg.errors import InputError
from texneg.train.evaluate.analyses.base import Analysis
from texneg.train.evaluate.figures import ARMS, to_svg
from texneg.train.evaluate.linear import OWN
from texneg.train.evaluate.sets.base import ArmResult, SetKind
from texneg.train.report import text
from texneg.train.report.figures import draw_sets, draw_training, read_curves
from texneg.train.report.runs import Arm
from texneg.train.report.sweeps import Sweep, draw_sweep, find_sweeps
from texneg.train.report.table import Row, find_headline

SHEET_WIDTH = 2080  # pixels, twice the width of the page
SHAPES = (  # of the markers in legends, the same as in the figures
    '<circle r="5.4"/>',
    '<path d="M-4.9-4.9H4.9V4.9H-4.9Z"/>',
    '<path d="M0-6.2 6 4.6H-6Z"/>',
    '<path d="M0-6.6 6.6 0 0 6.6-6.6 0Z"/>',
)


@dataclass(frozen=True)
class Section:
    """A part of the page: words, a figure, and the rows of an analysis."""

    heading: str
    lede: str
    caption: str
    svg: str | None = None
    rows: Sequence[Row] = ()


def render(
    numbers: Mapping[str, Any],
    arms: Sequence[Arm],
    table: Sequence[Row],
    analyses: Sequence[tuple[type[Analysis], Sequence[Row]]],
    *,
    sheets: Sequence[tuple[str, str]],
) -> str:
    """The page as text; names and settings are escaped, drawings are made here.

    Args:
        numbers: content of report.json, which the page carries too.
        arms: of the report.
        table: rows of the test sets.
        analyses: and the rows of their numbers.
        sheets: names of contact sheets and their data URIs.
    """
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    pages.filters |= {
        "percent": text.percent,
        "points": text.points,
        "decimal": text.decimal,
        "signed": text.with_sign,
        "interval": text.interval,
        "marker": marker,
        "name_group": text.name_group,
        "left_out": text.describe_left_out,
    }
    curves = read_curves(arms)
    accuracies = [row for row in table if row.averaged]
    return pages.get_template("report.html.jinja").render(
        **{
            name: numbers[name]
            for name in ("title", "equality", "settings", "protocol", "environment", "version")
        },
        arms=arms,
        table=table,
        points=text.points,
        signed=text.with_sign,
        data=json.dumps(numbers, sort_keys=True).replace("<", "\\u003c"),
        sheets=sheets,
        analyses=[analysis_section(arms, *analysis) for analysis in analyses],
        training_svg=curves and to_svg("Training curves by arm", lambda: draw_training(arms, curves)),
        sets_svg=accuracies and to_svg("Accuracy by test set and arm", lambda: draw_sets(arms, accuracies)),
        sweeps=[section for sweep in find_sweeps(arms) if (section := sweep_section(arms, sweep, table))],
        kinds=list(set_sections(arms, table)),
        headline=find_headline(table),
        heads=list(dict.fromkeys(row.head for row in table)),
        both=text.BOTH,
        own=bool(table) and all(row.head == OWN for row in table),
        negatives=any(run.settings != run.baseline for arm in arms for run in arm.runs),
    )


def analysis_section(arms: Sequence[Arm], analysis: type[Analysis], rows: Sequence[Row]) -> Section:
    """The section of an analysis that at least one run has."""
    found = [
        (arm.look, [run.analyses[analysis.name] for run in arm.runs if analysis.name in run.analyses])
        for arm in arms
    ]
    svg = to_svg(analysis.heading, lambda: analysis.figure([arm for arm in found if arm[1]]))
    return Section(analysis.heading, analysis.lede, analysis.caption, svg, rows)


def sweep_section(arms: Sequence[Arm], sweep: Sweep, table: Sequence[Row]) -> Section | None:
    """The section of a setting that was swept; None where its arms were not tested."""
    name = sweep.setting.replace("_", " ")
    svg = to_svg(f"Sweep of {name}", lambda: draw_sweep(sweep, arms, table))
    if svg is None:
        return None
    caption = (
        "Markers are means over seeds, thin lines one standard deviation to both sides; dashes and crosses"
        " are the baseline. Trade-off: up is better out of distribution, right is better in it; a curve that"
        " rises to the left pays with accuracy on images like those that were trained on."
    )
    return Section(f"Sweep of {name}", f"Arms that differ in {name} alone.", caption, svg)


def set_sections(arms: Sequence[Arm], table: Sequence[Row]) -> Iterator[Section]:
    """A section for each test set whose kind draws a figure of it."""
    for row in table:
        kind = row.kind
        shown = [
            ArmResult(arm.look, entry.mean, entry.details)
            for arm, entry in zip(arms, row.entries, strict=True)
            if entry is not None
        ]
        if kind is None or not shown:
            continue
        heading = f"{kind.heading}: {row.name}" if _several(table, kind) else kind.heading
        svg = to_svg(heading, lambda: kind.figure(shown))  # noqa: B023 (called at once)
        if svg is not None:
            yield Section(heading, kind.lede, kind.caption, svg)


def marker(number: int) -> str:
    """The marker of an arm as a small drawing."""
    shape = SHAPES[number % len(SHAPES)]
    style = f"fill: var(--arm-{number % ARMS})"
    return f'<svg class="mark" viewBox="-7 -7 14 14" aria-hidden="true" style="{style}">{shape}</svg>'


def embed_image(path: Path) -> str:
    """An image file as a data URI: WebP, at most `SHEET_WIDTH` pixels wide."""
    try:
        with Image.open(path) as image:
            small = image.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(
            f"contact sheet {str(path)!r} cannot be read ({error}); make one with texneg sheet"
        ) from error
    if small.width > SHEET_WIDTH:
        small = small.resize(
            (SHEET_WIDTH, round(small.height * SHEET_WIDTH / small.width)), Image.Resampling.LANCZOS
        )
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=88, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _several(table: Sequence[Row], kind: type[SetKind]) -> bool:
    return sum(row.kind is kind for row in table) > 1
