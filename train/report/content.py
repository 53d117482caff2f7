"""Everything that a report says, whether as a page, as Markdown or as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from texneg import __version__
from texneg.cli.environment import environment
from texneg.train.evaluate.analyses.base import Analysis
from texneg.train.report import confusions, corruptions
from texneg.train.report.commands import Command, list_commands
from texneg.train.report.confusions import Confusions
from texneg.train.report.corruptions import Curves
from texneg.train.report.examples import Strip, read_examples
from texneg.train.report.figures.training import tabulate_training
from texneg.train.report.metrics.collect import Metrics
from texneg.train.report.pictures import Album
from texneg.train.report.protocol import Grid, describe_protocol, describe_sets
from texneg.train.report.rows import Row
from texneg.train.report.runs import Arm, describe_equality, find_shared_settings
from texneg.train.report.sets import read_tested
from texneg.train.report.table import build_analyses, build_table, find_headline
from texneg.train.report.tables import Table, tabulate_analysis, tabulate_kinds, tabulate_sets
from texneg.train.report.verdict import Verdict, reach_verdict


@dataclass(frozen=True)
class Content:
    """Content of a report."""

    title: str
    arms: Sequence[Arm]
    rows: Sequence[Row]
    """test sets, and means over some"""
    analyses: Sequence[tuple[type[Analysis], Sequence[Row]]]
    tables: Sequence[Table]
    """all tables, those of test sets and analyses among them"""
    verdict: Verdict
    equality: str
    curves: Sequence[Curves]
    """sets of corruptions"""
    metrics: Metrics
    examples: Sequence[Strip]
    confusions: Confusions | None
    protocol: Mapping[str, str]
    measured: Grid | None
    """the protocol of every set"""
    commands: Sequence[Command]
    settings: Mapping[str, Any]
    """those that all runs share"""
    environment: Mapping[str, str]
    version: str

    def find_table(self, name: str) -> Table | None:
        """The table of a name."""
        return next((table for table in self.tables if table.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """Plain values for report.json."""
        headline = find_headline(self.rows)
        own = {"sets", *(analysis.name for analysis, _ in self.analyses)}
        return {
            "title": self.title,
            "arms": [
                {
                    "label": arm.label,
                    "colour": arm.look.number,
                    "baseline": None if arm.baseline is None else self.arms[arm.baseline].label,
                    "seeds": list(arm.seeds),
                    "runs": [str(run.path) for run in arm.runs],
                }
                for arm in self.arms
            ],
            "table": [row.to_json() for row in self.rows],
            "analyses": {analysis.name: [row.to_json() for row in rows] for analysis, rows in self.analyses},
            "tables": {
                table.name: [row.to_json() for row in table.rows]
                for table in self.tables
                if table.name not in own
            },
            "metrics": self.metrics.to_json(),
            "headline": headline.name if headline else None,
            "done": self.verdict.done,
            "found": self.verdict.found,
            "equality": self.equality,
            "commands": [{"what": one.what, "text": one.text} for one in self.commands],
            "sets": [dict(zip(self.measured.head, row, strict=True)) for row in self.measured.rows]
            if self.measured
            else [],
            "settings": dict(self.settings),
            "protocol": dict(self.protocol),
            "environment": dict(self.environment),
            "version": self.version,
        }


def read_content(
    title: str, arms: Sequence[Arm], groups: Mapping[str, str], metrics: Metrics, page: Path
) -> Content:
    """Read everything that runs found.

    Args:
        title: of the page.
        arms: runs by their settings.
        groups: of sets by name, as the user says.
        metrics: of these arms.
        page: path of the page, which paths of commands are relative to.
    """
    runs = [run for arm in arms for run in arm.runs]
    tested, album = read_tested(arms), Album()
    rows, analyses = build_table(arms, groups), build_analyses(arms)
    curves = corruptions.read_curves(arms, tested)
    mistakes = confusions.read_confusions(arms, tested, album)
    tables = [
        *([tabulate_sets(rows)] if rows else []),
        *corruptions.tabulate(curves),
        *tabulate_kinds(arms, tested),
        *([mistakes.table] if mistakes else []),
        *(tabulate_analysis(*analysis) for analysis in analyses),
        *tabulate_training(arms),
    ]
    return Content(
        title=title,
        arms=arms,
        rows=rows,
        analyses=analyses,
        tables=tables,
        verdict=reach_verdict(arms, rows),
        equality=describe_equality(arms),
        curves=curves,
        metrics=metrics,
        examples=read_examples(arms, tested, album),
        confusions=mistakes,
        protocol=describe_protocol(runs),
        measured=describe_sets(tested, page),
        commands=list_commands(runs, page),
        settings=find_shared_settings(runs),
        environment=environment(),
        version=__version__,
    )
