"""The tables of a report as files for other programs: CSV with every number, LaTeX for a paper."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from texneg.datasets.storage.atomic import write_bytes
from texneg.train.report.metrics.base import MetricTable
from texneg.train.report.rows import Entry, Row
from texneg.train.report.runs import Arm
from texneg.train.report.tables import Table
from texneg.train.report.text import AT_CHANCE, pair

COLUMNS = (
    "head", "group", "row", "n", "classes", "chance", "arm", "baseline", "mean", "sd", "low", "high",
    "unmasked", "seeds", "change", "change_low_images", "change_high_images", "change_low_seeds",
    "change_high_seeds", "certainty",
)  # fmt: skip
SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$", "±": r"$\pm$",
    "–": "--", "→": r"$\to$", "°": r"$^\circ$", "α": r"$\alpha$", "<": r"\textless{}",
    ">": r"\textgreater{}", "\n": " ",
}  # fmt: skip


def write_tables(
    folder: Path, tables: Sequence[Table], metrics: Sequence[MetricTable], arms: Sequence[Arm]
) -> None:
    """Write NAME.csv and NAME.tex of every table."""
    folder.mkdir(exist_ok=True)
    written = {table.name: (to_csv(table, arms), to_latex(table, arms)) for table in tables}
    written |= {clean_name(one.name): (words_to_csv(one), words_to_latex(one)) for one in metrics}
    for name, (values, tex) in written.items():
        write_bytes(folder / f"{name}.csv", values.encode("utf-8", "replace"))
        write_bytes(folder / f"{name}.tex", tex.encode("utf-8", "replace"))


def clean_name(name: str) -> str:
    """Make a name fit for a file."""
    return re.sub(r"[^\w.-]+", "-", name)


def words_to_csv(table: MetricTable) -> str:
    """The cells of a table of metrics as they are printed."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([table.columns, *table.rows])
    return buffer.getvalue()


def words_to_latex(table: MetricTable) -> str:
    """A booktabs table of the cells as they are printed."""
    rows = [" & ".join(map(escape_latex, row)) + r" \\" for row in (table.columns, *table.rows)]
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            f"% {escape_latex(table.note)}",
            f"\\begin{{tabular}}{{{'l' * len(table.columns)}}}",
            "\\toprule",
            rows[0],
            "\\midrule",
            *rows[1:],
            "\\bottomrule",
            "\\end{tabular}",
            "",
        ]
    )


def to_csv(table: Table, arms: Sequence[Arm]) -> str:
    """A line for each row and arm, numbers unrounded, accuracies and changes as shares of 1."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in table.rows:
        for arm, entry in zip(arms, row.entries, strict=True):
            if entry is not None:
                base = "" if arm.baseline is None else arms[arm.baseline].label
                writer.writerow([*_list_row(row), arm.label, base, *_list_entry(entry)])
    return buffer.getvalue()


def _list_row(row: Row) -> list[object]:
    return [row.head, row.group, row.name, row.n, row.classes, row.chance]


def _list_entry(entry: Entry) -> list[object]:
    values: list[object] = [entry.mean, entry.sd, entry.low, entry.high, entry.unmasked, len(entry.seeds)]
    change = entry.difference
    if change is None:
        return [*values, *[None] * 6]
    images, seeds = change.over_images or (None, None), change.over_seeds or (None, None)
    return [*values, change.mean, *images, *seeds, change.certainty]


def to_latex(table: Table, arms: Sequence[Arm]) -> str:
    """A booktabs table: mean ± standard deviation, and changes beyond noise in bold."""
    lines = [
        "% needs \\usepackage{booktabs}",
        f"% {escape_latex(table.note)}",
        f"\\begin{{tabular}}{{l{'r' * len(arms)}}}",
        "\\toprule",
        " & ".join([escape_latex(table.first), *(escape_latex(arm.label) for arm in arms)]) + r" \\",
    ]
    for group, rows in table.groups:
        lines.append("\\midrule")
        if group:
            lines.append(f"\\multicolumn{{{len(arms) + 1}}}{{l}}{{\\emph{{{escape_latex(group)}}}}} \\\\")
        for row in rows:
            note = f" ({row.kind.note})" if row.kind and row.kind.note else ""
            cells = [escape_latex(row.name + note), *(_write_entry(table, entry) for entry in row.entries)]
            lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _write_entry(table: Table, entry: Entry | None) -> str:
    if entry is None:
        return "--"
    text = pair(entry, table.unit.value) if table.paired else table.unit.value(entry.mean)
    text += AT_CHANCE if entry.at_chance else ""
    text += "" if entry.sd is None else f" ± {table.unit.value(entry.sd)}"
    if entry.difference is None:
        return escape_latex(text)
    change = escape_latex(f"({table.unit.change(entry.difference.mean)})")
    bold = f"\\textbf{{{change}}}"
    return f"{escape_latex(text)} {bold if entry.difference.direction else change}"


def escape_latex(text: str) -> str:
    """Escape a text for LaTeX."""
    return "".join(SPECIAL.get(character, character) for character in text)
