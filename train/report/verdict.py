"""The first screen of a report: what was done, what changed, by how much and how sure, with one picture."""

from collections.abc import Sequence
from dataclasses import dataclass

from texneg.cli.console import plural
from texneg.train.evaluate.linear import OWN
from texneg.train.report.rows import Entry, Row
from texneg.train.report.runs import Arm
from texneg.train.report.table import find_headline
from texneg.train.report.text import interval, percent, points

MOST_SETS = 8  # rows of the picture of a single arm
LEAST_REACH = 0.02  # half the width of the picture of changes, a share

Span = tuple[float, float]
"""Start and width, percent of the picture's width."""


@dataclass(frozen=True)
class Bar:
    """A row of the picture: a marker, its intervals, and the number in words."""

    label: str
    look: int
    """number of the arm's marker and colour"""
    number: str
    unit: str
    detail: str
    certainty: str
    tone: str
    """better, worse, noise, or nothing where there is no change to judge"""
    at: float | None = None
    """place of the marker, percent of the width; None without one"""
    thick: Span | None = None
    thin: Span | None = None
    chance: float | None = None


@dataclass(frozen=True)
class Verdict:
    """The first screen."""

    done: str
    found: str
    picture: str
    """what the picture shows"""
    ends: tuple[str, str, str]
    """words below the picture: left, middle and right"""
    bars: Sequence[Bar]
    middle: bool
    """the picture has its zero in the middle"""


def reach_verdict(arms: Sequence[Arm], table: Sequence[Row]) -> Verdict:
    """Say what a report found, from its test sets."""
    row = find_headline(table)
    done = describe_work(arms, table)
    if row is None:
        return Verdict(done, "No test set was measured yet.", "", ("", "", ""), (), False)
    compared = [entry for entry in row.entries if entry and entry.difference]
    if compared:
        reach = 1.1 * max(LEAST_REACH, *(_find_end(entry) for entry in compared))
        bars = [_change_bar(arms, i, entry, reach) for i, entry in enumerate(row.entries)]
        picture = f"Change on {row.name}: thick bar 95 % over images, thin bar over seeds, cut at the edges"
        ends = (f"−{100 * reach:.0f} points", "baseline", f"+{100 * reach:.0f} points")
        return Verdict(done, describe_changes(arms, row), picture, ends, bars, True)
    if len(arms) > 1:
        bars = [_value_bar(arm.label, arm, entry, row) for arm, entry in zip(arms, row.entries, strict=True)]
        return Verdict(done, describe_values(arms, row), f"Masked accuracy on {row.name}", ENDS, bars, False)
    shown = [one for one in table if one.averaged and one.entries[0]][:MOST_SETS]
    bars = [_value_bar(one.name, arms[0], one.entries[0], one) for one in shown]
    return Verdict(done, describe_values(arms, row), "Masked accuracy by test set", ENDS, bars, False)


ENDS = ("0 %", "", "100 %")


def describe_work(arms: Sequence[Arm], table: Sequence[Row]) -> str:
    """Say what was trained and tested."""
    runs = [run for arm in arms for run in arm.runs]
    seeds = sorted({len(arm.runs) for arm in arms})
    each = f", {plural(seeds[0], 'seed')} each" if len(seeds) == 1 and len(arms) > 1 else ""
    ways = "ways to train" if all(run.trained for run in runs) else "encoders"
    first = (
        f"{len(arms)} {ways}{each}." if len(arms) > 1 else f"{arms[0].label}, {plural(len(runs), 'seed')}."
    )
    if not table:
        return first
    sets = len({(row.name, row.kind) for row in table if row.kind is not None})
    heads = {row.head for row in table}
    if heads == {OWN}:
        tests = plural(sets, "test set")
        return f"{first} Each encoder was frozen and answered {tests} with its own classifier."
    probes = [probe for run in runs for probe in run.probes.values()]
    fitted = {(probe["n_train"], len(probe["classes"])) for probe in probes}
    of = ""
    if len(fitted) == 1:
        images, classes = fitted.pop()
        of = f" on {images:,} images of {classes} classes"
    head = "a linear head was fitted" if len(heads) == 1 else f"{len(heads)} linear heads were fitted"
    return f"{first} Each encoder was frozen, {head}{of}, and tested on {plural(sets, 'set')}."


def describe_changes(arms: Sequence[Arm], row: Row) -> str:
    """Say which arms differ from their baselines, and which do not beyond noise."""
    moved, still = [], []
    for arm, entry in zip(arms, row.entries, strict=True):
        if entry is None or entry.difference is None:
            continue
        change = entry.difference
        if change.direction:
            side = "above" if change.direction > 0 else "below"
            moved.append(f"{arm.label} is {abs(100 * change.mean):.1f} points {side} the baseline")
        else:
            still.append(arm.label)
    parts = [join(moved)] if moved else []
    if still:
        verb = "does not differ" if len(still) == 1 else "do not differ"
        parts.append(
            f"{join(still)} {verb} from it beyond noise"
            if moved
            else f"{join(still)} {verb} from the baseline beyond noise"
        )
    return f"On {row.name}, {'; '.join(parts)}."


def describe_values(arms: Sequence[Arm], row: Row) -> str:
    """Say how accurate the arms are where there is nothing to compare with."""
    words = [
        f"{arm.label} answers {percent(entry.mean)} %{' (at chance)' if entry.at_chance else ''}"
        for arm, entry in zip(arms, row.entries, strict=True)
        if entry
    ]
    return f"On {row.name}, {join(words)} of the images right." if words else ""


def join(words: Sequence[str]) -> str:
    """Join words by commas and a last and."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _change_bar(arms: Sequence[Arm], i: int, entry: Entry | None, reach: float) -> Bar:
    arm = arms[i]
    if entry is None:
        return Bar(arm.label, arm.look.number, "–", "", "not tested", "", "")
    seeds = plural(len(entry.seeds), "seed")
    accuracy = f"{percent(entry.mean)} %{', at chance' if entry.at_chance else ''}, {seeds}"
    change = entry.difference
    if change is None:
        compared = any(other.baseline == i for other in arms)
        detail = seeds if compared else f"{seeds}, compared with none"
        at = 50.0 if compared else None
        return Bar(arm.label, arm.look.number, percent(entry.mean), "%", detail, "", "", at=at)
    images, over = (_span(ends, -reach, reach) for ends in (change.over_images, change.over_seeds))
    intervals = [
        f"{name} {interval(ends, points)}"
        for name, ends in (("images", change.over_images), ("seeds", change.over_seeds))
        if ends
    ]
    return Bar(
        label=arm.label,
        look=arm.look.number,
        number=points(change.mean),
        unit="points",
        detail=" · ".join([*intervals, accuracy]),
        certainty=change.certainty,
        tone=("noise", "better", "worse")[change.direction],
        at=_place(change.mean, -reach, reach),
        thick=images,
        thin=over,
    )


def _value_bar(label: str, arm: Arm, entry: Entry | None, row: Row) -> Bar:
    if entry is None:
        return Bar(label, arm.look.number, "–", "", "not tested", "", "")
    words = [interval((entry.low, entry.high))] if entry.low is not None else []
    words += [f"{row.n:,} images"] if row.n else []
    return Bar(
        label=label,
        look=arm.look.number,
        number=percent(entry.mean),
        unit="%",
        detail=" · ".join(words),
        certainty="at chance" if entry.at_chance else "",
        tone="noise" if entry.at_chance else "",
        at=_place(entry.mean, 0, 1),
        thick=_span((entry.low, entry.high), 0, 1),
        chance=None if row.chance is None else 100 * row.chance,
    )


def _find_end(entry: Entry) -> float:
    """Find the farthest end of what is drawn: the change and its interval over images."""
    change = entry.difference
    return max(abs(end) for end in (change.mean, *(change.over_images or ()))) if change else 0.0


def _place(value: float, low: float, high: float) -> float:
    """Place of a value in percent of a width, cut at its ends."""
    return round(100 * min(max((value - low) / (high - low), 0), 1), 2)


def _span(ends: Sequence[float | None] | None, low: float, high: float) -> Span | None:
    if ends is None or ends[0] is None or ends[1] is None:
        return None
    first, last = (_place(end, low, high) for end in (ends[0], ends[1]))
    return first, round(last - first, 2)
