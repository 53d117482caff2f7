"""The table and the sheet of an audit.

Shapes: N images, S side of a view.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from texneg.datasets.encode import encode
from texneg.datasets.storage.atomic import write_bytes
from texneg.datasets.stored import Array
from texneg.train.audit.columns import CONTROL, IMAGE, SHUFFLED, Column
from texneg.train.audit.leak import Judge
from texneg.train.sheet.figures import describe_figures, format_time
from texneg.train.sheet.page import Strip, describe_shown, lay_out, show_pictures

Row = dict[str, Any]
SHOWN_PX = 192  # about; smaller pictures are enlarged by a whole factor, so that titles fit
LEGEND = (
    "tell: grey, 5 and 20 px, .5 is best; leak: top-1; below each image the rank of its class, 1 is first"
)


def make_table(rows: Sequence[Row], judge: Judge | None) -> list[str]:
    """Write the lines of the table for the terminal."""
    columns = dict.fromkeys((one["field"], one["colour"]) for row in rows for one in row["tell"])
    heads = [f"{'colour' if colour else 'grey'} {field}" for field, colour in columns]
    if judge is not None:
        heads += ["top-1 %", "top-5 %", "rank"]
        heads += ["kNN %"] if any(row["leak"]["knn"] is not None for row in rows) else []
        heads += ["cosine", "own %"]
    heads.append("time")
    body = [[row["title"], *_cells(row, list(columns), heads)] for row in rows]
    wide, *widths = (max(map(len, cells)) for cells in zip(["", *heads], *body, strict=True))
    lines = [
        "tell: AUC of a linear classifier of local statistics in grey and colour, receptive fields in px;"
        " 0.5 cannot be told, 1 always is"
    ]
    if judge is not None:
        by = "the given head" if judge.by == "head" else "probes that have not seen the image"
        chance = f"{100 * judge.chance:.2g} %"
        lines.append(
            f"leak: classes named by {by} (chance {chance}), median rank from 1; cosine of the features with"
            " the image's; own: the nearest of all images is its own"
        )
    lines.append("")
    for title, *cells in [["", *heads], *body]:
        shown = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
        lines.append("  ".join([title.ljust(wide), *shown]).rstrip())
    return [*lines, ""]


def _cells(row: Row, columns: Sequence[tuple[int, bool]], heads: Sequence[str]) -> list[str]:
    """Write the numbers of a row, empty where there is none."""
    tell = {(one["field"], one["colour"]): f"{one['auc']:.3f}" for one in row["tell"]}
    cells = [tell.get(column, "") for column in columns]
    if leak := row["leak"]:
        cells += [f"{100 * leak['top1']:.1f}", f"{100 * leak['top5']:.1f}", f"{leak['median_rank'] + 1:g}"]
        if "kNN %" in heads:
            cells.append("" if leak["knn"] is None else f"{100 * leak['knn']:.1f}")
        cells += [f"{leak['cosine']:.3f}", f"{100 * leak['own_image']:.1f}"]
    return [*cells, "" if row["microseconds"] is None else format_time(row["microseconds"])]


def draw_page(
    path: Path,
    keys: Sequence[str],
    cuts: Array,
    columns: Sequence[Column],
    rows: Sequence[Row],
    *,
    count: int,
    legend: str = LEGEND,
) -> None:
    """Draw the images that leak most, or without an encoder the first, beside their pictures.

    Args:
        path: of the PNG.
        keys: N names.
        cuts: (N, S, S, C), of which pictures are made.
        columns: the kinds.
        rows: their figures.
        count: images shown.
        legend: a line at the foot.
    """
    shown = [
        (column, row)
        for column, row in zip(columns, rows, strict=True)
        if column.name not in (CONTROL, SHUFFLED)
    ]
    places = np.array(choose_places(rows, len(keys), count)[:count], np.int64)
    zoom = max(1, round(SHOWN_PX / cuts.shape[1]))
    pictures = [
        column.make(cuts[places], places).repeat(zoom, axis=1).repeat(zoom, axis=2) for column, _ in shown
    ]
    strips = [
        Strip(
            f"{keys[place]}{_ranks([row for _, row in shown], place)}",
            show_pictures([made[i] for made in pictures]),
        )
        for i, place in enumerate(places.tolist())
    ]
    titles = [(column.title, column.name) for column, _ in shown]
    figures = [describe_figures(row) for _, row in shown]
    note = describe_shown(cuts[0])
    legends = (f"{note}; {LEGEND}", note) if note else (LEGEND,)
    write_bytes(path, encode(lay_out(strips, titles, legends, figures=figures), "png"))


def choose_places(rows: Sequence[Mapping[str, Any]], images: int, count: int) -> list[int]:
    """Order the places of images by what their negatives leak: the lowest mean of log ranks first.

    Without an encoder, spread `count` of them over the images.
    """
    ranks = [row["leak"]["ranks"] for row in rows if row["leak"] and not row["reference"]]
    if not ranks:
        return list(range(0, images, max(1, images // count)))
    order: list[int] = np.log1p(np.array(ranks)).mean(0).argsort(kind="stable").tolist()
    return order


def _ranks(rows: Sequence[Row], place: int) -> str:
    """Write the rank of an image's class in each of its pictures, behind its name."""
    ranks = [str(row["leak"]["ranks"][place] + 1) for row in rows if row["leak"] and row["title"] != IMAGE]
    return f"   rank {' '.join(ranks)}" if ranks else ""
