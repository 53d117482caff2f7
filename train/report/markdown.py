"""The report as Markdown: everything that the page says in words and numbers."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from texneg.train.report.content import Content
from texneg.train.report.rows import Change, Entry, Row
from texneg.train.report.tables import Table
from texneg.train.report.text import (
    ABSENT,
    AT_CHANCE,
    BOTH,
    Format,
    describe_left_out,
    interval,
    name_group,
    pair,
    percent,
)

HARMLESS = (
    ("\\", "\\\\"), ("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("](", "]\\("), ("\n", " "),
)  # fmt: skip


def render_markdown(content: Content) -> str:
    """First screen, tables, what every seed reached, then how all of it was made."""
    lines = [f"# {escape_markdown(content.title)}", ""]
    said = [content.verdict.done, content.verdict.found, content.equality]
    lines += [line for text in said if text for line in (escape_markdown(text), "")]
    for arm in content.arms:
        seeds, paths = ", ".join(map(str, arm.seeds)), ", ".join(str(run.path) for run in arm.runs)
        lines.append(f"- **{escape_markdown(arm.label)}**: seeds {seeds}; {escape_markdown(paths)}")
    labels = [arm.label for arm in content.arms]
    for table in content.tables:
        lines += [
            "",
            f"## {escape_markdown(table.heading)}",
            "",
            table.note,
            "",
            *render_table(table, labels),
        ]
    for one in content.metrics.tables:
        lines += ["", f"## {escape_markdown(one.heading)}", "", escape_markdown(one.note), ""]
        lines += markdown_table(one.columns, one.rows)
    if content.rows:
        note = "Percent; in brackets the change in points, and p of McNemar's test of the same images."
        rows = [[name_group(row), row.name, *map(_write_seeds, row.entries)] for row in content.rows]
        lines += ["", "## Every seed", "", note, "", *markdown_table(["group", "set", *labels], rows)]
    for strip in content.examples:
        if strip.note and not strip.examples:
            lines += ["", f"{escape_markdown(strip.title)}: {escape_markdown(strip.note)}"]
    if content.measured:
        lines += ["", "## How every set was measured", ""]
        lines += markdown_table(content.measured.head, content.measured.rows)
    if content.commands:
        lines += ["", "## Commands", "", "Paths are relative to the folder of this file."]
        for command in content.commands:
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", command.text)), default=0))
            lines += ["", f"{escape_markdown(command.what)}:", "", f"{fence}sh", command.text, fence]
    for heading, values in (
        ("Settings shared by all runs", content.settings),
        ("Protocol and machine", {**content.protocol, **content.environment}),
    ):
        lines += ["", f"## {heading}", "", *_list_values(values)]
    return "\n".join([*lines, ""])


def render_table(table: Table, labels: Sequence[str]) -> list[str]:
    """Lines of a table of the report."""
    if table.paired:
        heads = [f"{label}, {BOTH}" for label in labels]
        columns = ["group", "set", "n", "left out", "classes", "chance", *heads]
        rows = [[*_name_set(row), *_write_entries(table, row)] for row in table.rows]
        return markdown_table(columns, rows)
    grouped = any(row.group or row.head for row in table.rows)
    head = ["group"] if grouped else []
    rows = [
        [*([name_group(row)] if grouped else []), row.name, *_write_entries(table, row)] for row in table.rows
    ]
    return markdown_table([*head, table.first.lower(), *labels], rows)


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of one Markdown table, cells made harmless."""
    written = [f"| {' | '.join(map(escape_markdown, cells))} |" for cells in (head, *rows)]
    return [written[0], "|" + "---|" * len(head), *written[1:]]


def escape_markdown(text: str) -> str:
    """Escape a text so that it can neither leave its cell nor turn into markup."""
    for characters, instead in HARMLESS:
        text = text.replace(characters, instead)
    return text


def _list_values(values: Mapping[str, Any]) -> list[str]:
    return markdown_table(["", ""], [[name, str(value)] for name, value in values.items()])


def _name_set(row: Row) -> list[str]:
    note = f" ({row.kind.note})" if row.kind and row.kind.note else ""
    bad = f" ({row.unreadable_note})" if row.unreadable else ""
    head = [name_group(row), f"{row.name}{note}", f"{row.n or ''}{bad}", describe_left_out(row)]
    return [*head, str(row.classes or ""), percent(row.chance)]


def _write_entries(table: Table, row: Row) -> list[str]:
    return [_write_entry(entry, table.unit.value, table.unit.change) for entry in row.entries]


def _write_entry(entry: Entry | None, form: Format, change_form: Format) -> str:
    if entry is None:
        return ABSENT
    spread = "" if entry.sd is None else f" ± {form(entry.sd)}"
    ends = "" if entry.low is None else f" {interval((entry.low, entry.high), form)}"
    remarks = "".join(f", {remark}" for remark in entry.remarks)
    mark = AT_CHANCE if entry.at_chance else ""
    return f"{pair(entry, form)}{mark}{spread}{ends}{remarks}{_write_change(entry.difference, change_form)}"


def _write_change(change: Change | None, form: Format) -> str:
    if change is None:
        return ""
    ends = {"images": change.over_images, "seeds": change.over_seeds}
    words = [f"{name} {interval(pair, form)}" for name, pair in ends.items() if pair]
    return f"; {form(change.mean)} ({', '.join([*words, change.certainty])})"


def _write_seeds(entry: Entry | None) -> str:
    if entry is None:
        return ABSENT
    change, words = entry.difference, []
    for seed, value in entry.seeds.items():
        more = ""
        if change and seed in change.seeds:
            p = f", p {change.mcnemar[seed]:.2g}" if change.mcnemar else ""
            more = f" ({100 * change.seeds[seed]:+.1f}{p})"
        words.append(f"{seed}: {percent(value)}{more}")
    return "; ".join(words)
