"""The report as one HTML page that loads nothing: drawings inline, pictures as data URIs."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from texneg.train.evaluate.figures import ARMS
from texneg.train.report import text
from texneg.train.report.content import Content
from texneg.train.report.files import to_csv, to_latex, words_to_csv, words_to_latex
from texneg.train.report.sections import make_sections, set_section

TEMPLATES = Path(__file__).parent / "html"
SHAPES = (  # of the markers in legends, the same as in the figures
    '<circle r="5.4"/>',
    '<path d="M-4.9-4.9H4.9V4.9H-4.9Z"/>',
    '<path d="M0-6.2 6 4.6H-6Z"/>',
    '<path d="M0-6.6 6.6 0 0 6.6-6.6 0Z"/>',
    '<path d="M0 6.2 6-4.6H-6Z"/>',
    '<path d="M-2-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z"/>',
    '<path d="M-5.9-3.2-3.2-5.9 0-2.7 3.2-5.9 5.9-3.2 2.7 0 5.9 3.2 3.2 5.9 0 2.7-3.2 5.9-5.9 3.2-2.7 0Z"/>',
    '<path d="M0-6.8 1.6-2.2 6.5-2.1 2.6.9 4 5.5 0 2.7-4 5.5-2.6.9-6.5-2.1-1.6-2.2Z"/>',
)


def render(content: Content, *, sheets: Sequence[tuple[str, str]]) -> str:
    """The page as text; names and settings are escaped, drawings are made here.

    Args:
        content: of the report; its numbers are in the page as JSON, too.
        sheets: names of contact sheets and their data URIs.
    """
    pages = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    pages.filters |= {
        "percent": text.percent,
        "points": text.points,
        "interval": text.interval,
        "marker": marker,
        "left_out": text.describe_left_out,
        "csv": lambda table: embed_text(to_csv(table, content.arms), "text/csv"),
        "words_csv": lambda table: embed_text(words_to_csv(table), "text/csv"),
        "words_tex": lambda table: embed_text(words_to_latex(table), "text/plain"),
        "tex": lambda table: embed_text(to_latex(table, content.arms), "text/plain"),
    }
    sections = list(make_sections(content))
    return pages.get_template("page.html.jinja").render(
        content=content,
        arms=content.arms,
        verdict=content.verdict,
        style=(TEMPLATES / "style.css").read_text(),
        script=(TEMPLATES / "tables.js").read_text(),
        data=json.dumps(content.to_json(), sort_keys=True).replace("<", "\\u003c"),
        sheets=sheets,
        sections=sections,
        sets=set_section(content),
        both=text.BOTH,
        negatives=any(run.settings != run.baseline for arm in content.arms for run in arm.runs),
    )


def marker(number: int) -> str:
    """The marker of an arm as a small drawing."""
    shape = SHAPES[number % len(SHAPES)]
    style = f"fill: var(--arm-{number % ARMS})"
    return f'<svg class="mark" viewBox="-7 -7 14 14" aria-hidden="true" style="{style}">{shape}</svg>'


def embed_text(content: str, kind: str) -> str:
    """A text file as a data URI."""
    return f"data:{kind};base64," + base64.b64encode(content.encode("utf-8", "replace")).decode("ascii")
