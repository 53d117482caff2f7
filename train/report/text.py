"""Number formatting, and the table of test sets as plain text."""

from collections.abc import Callable, Sequence

from texneg.train.report.rows import Entry, Row
from texneg.train.report.runs import Arm

ABSENT = "–"
BOTH = "masked / unmasked"
AT_CHANCE = "°"
NAME_WIDTH = 26

Format = Callable[[float], str]


def percent(share: float | None, digits: int = 1) -> str:
    """A share as percent without the sign: 0.5712 is 57.1."""
    return ABSENT if share is None else f"{100 * share:.{digits}f}"


def points(share: float | None) -> str:
    """A difference of shares in percentage points, always signed."""
    return ABSENT if share is None else f"{100 * share:+.1f}".replace("-", "−")


def decimal(value: float) -> str:
    """A number of an analysis with three digits."""
    return f"{value:.3f}".replace("-", "−")


def with_sign(value: float) -> str:
    """A difference of two numbers of an analysis."""
    return f"{value:+.3f}".replace("-", "−")


def interval(ends: Sequence[float | None] | None, form: Callable[[float], str] = percent) -> str:
    """Both ends of an interval."""
    if ends is None or ends[0] is None or ends[1] is None:
        return ABSENT
    return f"[{form(ends[0])}, {form(ends[1])}]"


def render_plain(arms: Sequence[Arm], table: Sequence[Row]) -> str:
    """A line a test set, a column an arm: masked and unmasked percent, in brackets the change in points."""
    if not table:
        return ""
    cells = [[_plain_entry(entry) for entry in row.entries] for row in table]
    heads = [f"{arm.label}, {BOTH}" for arm in arms]
    width = 2 + max(map(len, [*heads, *(cell for line in cells for cell in line)]))
    name_width = max(NAME_WIDTH, 2 + max(len(name_set(row)) + 2 for row in table))
    lines = [" " * name_width + "".join(f"{head:>{width}}" for head in heads)]
    above = None
    for row, line in zip(table, cells, strict=True):
        if (row.head, row.group) != above:
            above = row.head, row.group
            lines.append(name_group(row))
        lines.append(f"{'  ' + name_set(row):<{name_width}}" + "".join(f"{cell:>{width}}" for cell in line))
    if any(entry and entry.at_chance for row in table for entry in row.entries):
        lines.append(f"{AT_CHANCE} no better than chance")
    return "\n".join(lines)


def name_set(row: Row) -> str:
    """Name of a set with its number of classes and what its number is."""
    notes = [f"{row.classes} classes"] if row.classes and row.averaged else []
    notes += [row.kind.note] if row.kind and row.kind.note else []
    return f"{row.name} ({', '.join(notes)})" if notes else row.name


def name_group(row: Row) -> str:
    """Name of a row's group, with the head that answers where it has a name."""
    return f"{row.group}, head {row.head}" if row.head and row.group else row.group or row.head


def pair(entry: Entry, form: Format) -> str:
    """Masked and unmasked accuracy; one number where there is no such difference."""
    return form(entry.mean) + ("" if entry.unmasked is None else f" / {form(entry.unmasked)}")


def _plain_entry(entry: Entry | None) -> str:
    if entry is None:
        return "-"
    change = entry.difference
    text = pair(entry, lambda share: f"{100 * share:.1f}") + (AT_CHANCE if entry.at_chance else "")
    return text + ("" if change is None else f" ({100 * change.mean:+5.1f})")


def describe_left_out(row: Row) -> str:
    """Numbers of what does not count, with their reasons; empty without any."""
    found = row.left_out or {}
    parts = [
        f"{value} {name.replace('_', ' ')}"
        for name, value in found.items()
        if isinstance(value, int) and value and name != "images"
    ]
    names = found.get("classes") or ()
    images = found.get("images", 0) - found.get("in_no_folder", 0)
    if images:
        parts.append(f"{images} images of {len(names)} classes that the head lacks")
    return ", ".join(parts)
