"""A report's numbers as one HTML page that loads nothing: drawings inline, pictures as data URIs."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image, UnidentifiedImageError

from texneg.errors import InputError
from texneg.train.report import curves, wording
from texneg.train.report.figures import similarity_figure, training_figure
from texneg.train.report.runs import Arm
from texneg.train.report.set_figures import sets_figure, shape_figure
from texneg.train.report.svg import mark

SHEET_WIDTH = 2080  # pixels, twice the width of the page


def render(numbers: Mapping[str, Any], arms: Sequence[Arm], *, sheets: Sequence[tuple[str, str]]) -> str:
    """The page as text; names and settings are escaped, drawings are made here."""
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    pages.filters |= {
        "percent": wording.percent,
        "points": wording.points,
        "interval": wording.interval,
        "cosine": wording.cosine,
        "marker": lambda colour: Markup(
            f'<svg class="mark" viewBox="-7 -7 14 14" aria-hidden="true">{mark(colour, 0, 0)}</svg>'
        ),
    }
    rows = [row for row in numbers["table"] if row["kind"] != "shape-bias"]
    shapes = [row for row in numbers["table"] if row["kind"] == "shape-bias"]
    training = curves.training(arms)
    return pages.get_template("report.html.jinja").render(
        **numbers,
        data=Markup(json.dumps(numbers, sort_keys=True).replace("<", "\\u003c")),
        company=[
            words
            for kind, words in curves.KINDS.items()
            if any(one and kind in one["kinds"] for one in numbers["similarity"])
        ],
        sheets=sheets,
        sets_svg=Markup(sets_figure(arms, rows)) if rows else None,
        shapes=[(row, Markup(shape_figure(arms, row))) for row in shapes],
        similarity_svg=Markup(similarity_figure(arms, numbers["similarity"]))
        if any(numbers["similarity"])
        else None,
        training_svg=Markup(training_figure(arms, training)) if training else None,
        headline=next((row for row in rows if row["kind"] == "mean"), rows[0] if rows else None),
    )


def embed(path: Path) -> str:
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
