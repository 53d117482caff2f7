"""A report's numbers as Markdown, for a pull request or a lab notebook."""

from collections.abc import Mapping, Sequence
from typing import Any

from texneg.train.report.curves import KINDS
from texneg.train.report.wording import ABSENT, cosine, interval, percent, points

HARMLESS = (
    ("\\", "\\\\"), ("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("](", "]\\("), ("\n", " "),
)  # fmt: skip


def render(numbers: Mapping[str, Any]) -> str:
    """Tables of test sets and cosines, then the settings."""
    arms = numbers["arms"]
    lines = [f"# {plain(numbers['title'])}", ""]
    for arm in arms:
        seeds = ", ".join(map(str, arm["seeds"]))
        lines.append(f"- **{plain(arm['label'])}**: seeds {seeds}; {plain(', '.join(arm['runs']))}")
    if numbers["table"]:
        lines += [
            "",
            "## Test sets",
            "",
            "Top-1 and shape bias in %, mean ± sd over seeds, [95 % over images].",
            "",
        ]
        lines += table(
            ["set", "n", "classes", "chance", *(arm["label"] for arm in arms)], map(_row, numbers["table"])
        )
    if any(numbers["similarity"]):
        lines += ["", "## Cosines with the query", "", "Mean, and AUC of the positives against them.", ""]
        shown = [kind for kind in KINDS if any(one and kind in one["kinds"] for one in numbers["similarity"])]
        rows = [[KINDS[kind], *(_cosine(one, kind) for one in numbers["similarity"])] for kind in shown]
        lines += table(["", *(arm["label"] for arm in arms)], rows)
    lines += ["", "## Settings shared by all runs", ""]
    lines += table(["setting", "value"], [[key, str(value)] for key, value in numbers["settings"].items()])
    lines += ["", "## Protocol and machine", ""]
    facts = {**numbers["protocol"], **numbers["environment"]}
    return "\n".join([*lines, *table(["", ""], [[key, str(value)] for key, value in facts.items()]), ""])


def table(head: Sequence[str], rows: Any) -> list[str]:
    """Lines of one Markdown table, cells made harmless."""
    written = [f"| {' | '.join(map(plain, cells))} |" for cells in (head, *rows)]
    return [written[0], "|" + "---|" * len(head), *written[1:]]


def plain(text: str) -> str:
    """Text that can neither leave its cell nor turn into markup."""
    for characters, instead in HARMLESS:
        text = text.replace(characters, instead)
    return text


def _row(row: Mapping[str, Any]) -> list[str]:
    told = [row["name"], str(row["n"] or ""), str(row["classes"] or ""), percent(row["chance"])]
    return told + [_cell(cell) for cell in row["cells"]]


def _cell(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return ABSENT
    spread = "" if cell["sd"] is None else f" ± {percent(cell['sd'])}"
    ends = "" if cell["low"] is None else f" {interval((cell['low'], cell['high']))}"
    return f"{percent(cell['mean'])}{spread}{ends}{_change(cell['difference'])}"


def _change(change: Mapping[str, Any] | None) -> str:
    if change is None:
        return ""
    ends = {"images": change["over_images"], "seeds": change["over_seeds"]}
    told = ", ".join(f"{name} {interval(pair, signed=True)}" for name, pair in ends.items() if pair)
    return f"; {points(change['mean'])}" + (f" ({told})" if told else "")


def _cosine(one: Mapping[str, Any] | None, kind: str) -> str:
    if one is None or kind not in one["kinds"]:
        return ABSENT
    found = one["kinds"][kind]
    return cosine(found["mean"]) + ("" if found["auc"] is None else f" (AUC {found['auc']:.3f})")
