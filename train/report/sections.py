"""The sections of a page: words, a figure and a table each, in their order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from texneg.train.evaluate.analyses.base import Analysis
from texneg.train.evaluate.figures import FAINT, SOFT, to_drawing
from texneg.train.evaluate.linear import OWN
from texneg.train.evaluate.sets.base import ArmResult
from texneg.train.evaluate.sets.shape_bias import ShapeBias
from texneg.train.report.content import Content
from texneg.train.report.figures.accuracies import draw_accuracies
from texneg.train.report.figures.cues import draw_cues, find_cues
from texneg.train.report.figures.families import draw_families
from texneg.train.report.figures.published import draw_published, find_compared
from texneg.train.report.figures.reliability import draw_reliability, find_calibrated
from texneg.train.report.figures.severities import draw_severities
from texneg.train.report.figures.trade_off import draw_trade_offs, find_shifted
from texneg.train.report.figures.training import draw_training, read_curves
from texneg.train.report.metrics.base import MetricTable
from texneg.train.report.metrics.humans import HumanShapeBias
from texneg.train.report.pictures import find_pictures
from texneg.train.report.rows import Row
from texneg.train.report.sweeps import Sweep, draw_sweep, find_sweeps
from texneg.train.report.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Section:
    """A part of the page: words, a figure, and a table."""

    heading: str
    lede: str
    caption: str
    svg: str | None = None
    table: Table | None = None
    more: Sequence[Table] = ()
    """shown on demand"""
    legend: bool = True
    metrics: Sequence[MetricTable] = ()
    """tables of metrics below"""
    pictures: Sequence[tuple[str, str]] = ()
    """labels of arms and pictures of theirs, as data URIs"""

    @property
    def anchor(self) -> str:
        """Name of the section in addresses."""
        return "".join(c if c.isalnum() else "-" for c in self.heading.lower())


def set_section(content: Content) -> Section | None:
    """The section of all test sets; None without any."""
    if not content.rows:
        return None
    rows = [row for row in content.rows if row.averaged]
    svg = rows and to_drawing("Accuracy by test set and arm", lambda: draw_accuracies(content.arms, rows))
    heads = len({row.head for row in content.rows})
    if all(row.head == OWN for row in content.rows):
        heading = "What the model answers"
        lede = "The encoder is frozen, and the classifier that it came with is tested on every set."
    else:
        heading = "What a linear probe makes of it"
        lede = (
            "The encoder is frozen, a linear head is fitted on clean training images, and the same head is"
            " tested on every set."
        )
        lede += f" There are {heads} heads; each has a part of the table." if heads > 1 else ""
    compared = any(arm.baseline is not None for arm in content.arms)
    caption = "Markers are means over seeds, ticks the single seeds, bars the 95 % interval for the number of"
    caption += " test images, dashes chance."
    if compared:
        caption += (
            " The change to the baseline is on the same images and seeds. The thick bar asks whether other"
            " test images would show it too (paired bootstrap), the thin one whether other seeds would"
            " (Student's t; very wide with two seeds, and cut at the edge). Believe a change where neither"
            " bar covers zero."
        )
    return Section(heading, lede, caption, svg or None, content.find_table("sets"))


def make_sections(content: Content) -> Iterator[Section]:
    """The other sections with figures and tables, in the order of the page."""
    yield from corruption_sections(content)
    yield from kind_sections(content)
    yield from cue_sections(content)
    yield from trade_off_sections(content)
    yield from published_sections(content)
    yield from (section for sweep in find_sweeps(content.arms) if (section := sweep_section(content, sweep)))
    yield from metric_sections(content)
    for analysis, _ in content.analyses:
        yield analysis_section(content, analysis)
    curves = read_curves(content.arms)
    if curves:
        yield Section(
            "How training went",
            "What the runs logged on their way.",
            "Thin lines are seeds, bold lines their mean. Losses of different arms are not comparable: more"
            " negatives make a higher loss. Compare the cosines, and the kNN accuracy that uses no head."
            " Uniformity (lower is more even) and tolerance (mean cosine within a class) are of the queries"
            " of one batch, and so is the share of positives above all their negatives.",
            to_drawing("Training curves by arm", lambda: draw_training(content.arms, curves)),
            more=[one for one in content.tables if one.name == "training"],
        )


def corruption_sections(content: Content) -> Iterator[Section]:
    """Curves over severities of each set of corruptions, and its bars by family."""
    table, more = content.find_table("corruptions"), content.find_table("severities")
    for number, curves in enumerate(content.curves):
        named = f": {curves.title}" if len(content.curves) > 1 else ""
        yield Section(
            f"Corruption by corruption{named}",
            f"Masked accuracy on {curves.title} as a corruption grows from severity 1 to 5."
            + (f" Made on the fly: {curves.made}." if curves.made else ""),
            "A panel for each corruption, a line for each arm; at the left end the same images without"
            " corruption, where they were measured. A flat line is a robust encoder.",
            to_drawing(f"Severities {number}", partial(draw_severities, content.arms, curves)),
        )
    for number, one in enumerate(content.metrics.corruption):
        named = f": {one.name}" if len(content.metrics.corruption) > 1 else ""
        last = number == len(content.metrics.corruption) - 1
        of = f"CE: errors relative to {one.reference} = 100" if one.reference else "Top-1 error in percent"
        yield Section(
            f"Corruption error{named}",
            f"{of}, mean over severities, by family of corruptions.",
            "Shorter is better; thin lines are one standard deviation over seeds.",
            to_drawing(f"Families {number}", partial(draw_families, content.arms, one)),
            more=[one for one in (table, more) if one] if last else [],
            metrics=find_metrics(content, "corruption-"),
        )


def cue_sections(content: Content) -> Iterator[Section]:
    """The ranks of shape and of texture, of each head that was tested on sets of cues."""
    found = find_cues(content.metrics.ranks)
    heads = dict.fromkeys(one.head for one in found)
    for head in heads:
        rows = [one for one in found if one.head == head]
        named = f", head {head}" if len(heads) > 1 else ""
        yield Section(
            f"Shape alone, texture alone{named}",
            "How near the top the head puts the class of a cue, among all of its classes.",
            "Markers are means over seeds, bars the 95 % interval over images, dashes a random order. Left:"
            " images that keep the shape, and the shape's class in cue conflict; right: textures, and the"
            " texture's class in cue conflict. Both may be high at once, so this is no share. Line drawings"
            " and silhouettes lie far from photographs: a low rank there may say so, and nothing of shape.",
            to_drawing(f"Cues {head}", partial(draw_cues, content.arms, rows)),
            metrics=[] if named else find_metrics(content, "reciprocal-rank"),
        )


def trade_off_sections(content: Content) -> Iterator[Section]:
    """Accuracy in distribution against accuracy out of it, for each head that was tested on both."""
    clean = {row.head: row for row in reversed(content.rows) if row.clean and row.averaged}
    if sum(len(arm.runs) for arm in content.arms) < 2:
        return
    for head, row in clean.items():
        shifted = find_shifted(content.rows, row)
        if not shifted:
            continue
        named = f", head {head}" if len(clean) > 1 else ""
        yield Section(
            f"In distribution against out of it{named}",
            "Does an arm that is better on familiar images do better elsewhere, too?",
            "Large markers are means over seeds, small ones single runs. Up is better out of distribution,"
            " right is better in it. The dashed line is fitted to all runs on the logit scale, if there are"
            " five or more: an arm above it is more robust than its accuracy in distribution explains.",
            to_drawing(f"Trade-off {head}", partial(draw_trade_offs, content.arms, row, shifted)),
        )


def published_sections(content: Content) -> Iterator[Section]:
    """The arms among published networks, where tables of these were given."""
    robustness = content.metrics.robustness
    if not any(one.points for one in robustness):
        return
    found = find_compared(robustness)
    svg = found and to_drawing("Among published networks", lambda: draw_published(content.arms, found))
    yield Section(
        "Among published networks",
        "Accuracy on a shifted set against accuracy in distribution, of these arms and of published ones.",
        "Both axes are on the logit scale, on which the accuracies of most networks lie near a line (Taori et"
        " al., NeurIPS 2020). Dots are published networks, the line is fitted to them; the stroke from an arm"
        " to the line is its effective robustness. Above the line an arm keeps more accuracy than others that"
        " are as good in distribution. Published networks differ in data, size and training: choose those"
        " that are like yours with --family.",
        svg or None,
        legend=bool(found),
        metrics=find_metrics(content, "effective-robustness"),
    )


def metric_sections(content: Content) -> Iterator[Section]:
    """The reliability diagrams, then the metrics that have no figure."""
    calibrated = find_calibrated(content.metrics.scores)
    if calibrated:
        yield Section(
            "Does the head know how sure it is?",
            "Of all answers given with some confidence, how many are right?",
            "Each point is a bin of confidence with five images or more, pooled over seeds. On the dashed"
            " diagonal confidence and accuracy agree; below it the head is too sure of itself. ECE, expected"
            " calibration error, is the mean distance from it in percent, weighted by images.",
            to_drawing("Reliability", partial(draw_reliability, content.arms, calibrated)),
            metrics=find_metrics(content, "top5-calibration"),
        )
    elsewhere = ["corruption-", "top5-"]
    if len({one.head for one in find_cues(content.metrics.ranks)}) == 1:
        elsewhere.append("reciprocal-rank")  # beside the figure of cues
    elsewhere += ["effective-robustness"] * any(one.points for one in content.metrics.robustness)
    shown = [one for one in content.metrics.tables if not one.name.startswith(tuple(elsewhere))]
    if shown:
        yield Section("Further metrics", "", "", metrics=shown, legend=False)


def find_metrics(content: Content, name: str) -> list[MetricTable]:
    """The tables of metrics whose names begin so."""
    return [one for one in content.metrics.tables if one.name.startswith(name)]


def analysis_section(content: Content, analysis: type[Analysis]) -> Section:
    """The section of an analysis that at least one run has."""
    found = [
        (arm.look, [run.analyses[analysis.name] for run in arm.runs if analysis.name in run.analyses])
        for arm in content.arms
    ]
    svg = to_drawing(analysis.heading, lambda: analysis.figure([arm for arm in found if arm[1]]))
    table = content.find_table(analysis.name)
    pictures = find_pictures(content.arms, analysis.picture) if analysis.picture else []
    return Section(analysis.heading, analysis.lede, analysis.caption, svg, table, pictures=pictures)


def sweep_section(content: Content, sweep: Sweep) -> Section | None:
    """The section of a setting that was swept; None where its arms were not tested."""
    name = sweep.setting.replace("_", " ")
    svg = to_drawing(f"Sweep of {name}", lambda: draw_sweep(sweep, content.arms, content.rows))
    if svg is None:
        return None
    caption = (
        "Markers are means over seeds, thin lines one standard deviation to both sides; dashes and crosses"
        " are the baseline. Trade-off: up is better out of distribution, right is better in it; a curve that"
        " rises to the left pays with accuracy on images like those that were trained on."
    )
    return Section(f"Sweep of {name}", f"Arms that differ in {name} alone.", caption, svg, legend=False)


def kind_sections(content: Content) -> Iterator[Section]:
    """A section for each test set whose kind draws a figure of it."""
    for row in content.rows:
        kind = row.kind
        shown = [
            ArmResult(arm.look, entry.mean, entry.details)
            for arm, entry in zip(content.arms, row.entries, strict=True)
            if entry is not None
        ]
        if kind is None or not shown:
            continue
        several = sum(one.kind is kind for one in content.rows) > 1
        people = find_people(content, row)
        heading = f"{kind.heading}: {row.name}" if several else kind.heading
        svg = to_drawing(
            heading,
            partial(kind.figure, shown) if people is None else partial(draw_with_people, shown, people),
        )
        if svg is not None:
            last = row is [one for one in content.rows if one.kind is kind][-1]
            more = [one for one in content.tables if last and one.name == f"{kind.name}-parts"]
            yield Section(heading, kind.lede, kind.caption, svg, more=more)


def find_people(content: Content, row: Row) -> HumanShapeBias | None:
    """The shape bias of people on a set, where there are trials of theirs."""
    key = (row.head, ShapeBias.name, row.name) if row.kind is ShapeBias else None
    found = (one.shape_bias for one in content.metrics.humans if (one.head, one.kind, one.name) == key)
    return next(found, None)


def draw_with_people(shown: Sequence[ArmResult], people: HumanShapeBias) -> "Figure":
    """Draw the figure of shape bias with the range of people behind it."""
    figure = ShapeBias.figure(shown)
    axes = figure.axes[0]
    axes.axvspan(100 * people.low, 100 * people.high, color=FAINT, alpha=0.16, linewidth=0, zorder=0)
    axes.text(
        100 * people.high,
        0.01,
        "people ",
        transform=axes.get_xaxis_transform(),
        ha="right",
        color=SOFT,
        size=12,
    )
    return figure
