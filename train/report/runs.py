"""Finished runs as a report reads them: folders, and the arms they form.

A run is a folder with `config.json` (written by `texneg pretrain`) and any of

    metrics.jsonl       curves of the pre-training
    probe.json          a linear probe            (texneg probe ... --out RUN)
    probe-NAME.json     another one               (texneg probe ... --out RUN --name NAME)
    ood.json            test sets                 (texneg ood ... --out RUN)
    NAME.json           an analysis               (texneg analyze NAME ... --out RUN)

Runs of the same settings form an arm; paths, pace and the seed are no settings. `config.json` holds the title
of a run's negatives and the settings of its baseline, so nothing here knows a kind of negative: an arm is
named by that title and by every other setting in which the baselines of the arms differ, or by the name that
a study gave it. A folder without `config.json` holds results of an encoder that texneg did not train: an arm
of its own, under the folder's name.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from texneg.datasets.storage.json_files import read_json, read_json_lines
from texneg.errors import InputError
from texneg.train.evaluate.analyses import ANALYSES
from texneg.train.evaluate.figures import Look
from texneg.train.options import flatten

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """One folder."""

    path: Path
    title: str
    """its negatives in words"""
    arm: str
    """name that a study gave its arm; empty without"""
    seed: int
    """of weights, order, views and negatives"""
    settings: Settings
    """everything else that decides the result"""
    baseline: Settings
    """settings of the same run without non-semantic negatives; its own where it has none"""
    versions: str
    """of the packages it was made with"""
    metrics: Sequence[Mapping[str, Any]]
    probes: Mapping[str, Mapping[str, Any]]
    """linear probes by the names of their heads, the only one's empty"""
    ood: Mapping[str, Any] | None
    analyses: Mapping[str, Mapping[str, Any]]
    """results by the name of the analysis"""
    command: Sequence[str] = ()
    """that began it"""
    trained: bool = True
    """False for an encoder that was trained elsewhere, whose settings are unknown"""


@dataclass(frozen=True)
class Arm:
    """Runs that differ only in their seed."""

    look: Look
    runs: tuple[Run, ...]
    """by seed, each seed once"""
    baseline: int | None
    """place of the arm it is compared with; None for a baseline, and where the report has none"""

    @property
    def label(self) -> str:
        """Its negatives, and the settings that it does not share with all arms."""
        return self.look.label

    @property
    def seeds(self) -> tuple[int, ...]:
        """In the order of the runs."""
        return tuple(run.seed for run in self.runs)


def read_run(folder: str) -> Run:
    """Read a run folder; a folder that is none, or one of an earlier version, raises `InputError`."""
    path = Path(folder)
    results = {
        name: read_json(path / f"{name}.json")
        for name in ("ood", *(analysis.name for analysis in ANALYSES))
        if (path / f"{name}.json").is_file()
    }
    probes = {found.get("name", ""): found for found in map(read_json, sorted(path.glob("probe*.json")))}
    if not (path / "config.json").is_file():
        return make_foreign_run(path, results, probes)
    record = read_json(path / "config.json")
    if missing := {"title", "seed", "settings", "baseline"} - set(record):
        raise InputError(
            f"{path / 'config.json'} lacks {', '.join(sorted(missing))}, as runs of an earlier texneg do; "
            "make the run again with texneg pretrain"
        )
    return Run(
        path=path,
        title=record["title"],
        arm=record.get("run", {}).get("arm", ""),
        seed=record["seed"],
        settings=record["settings"],
        baseline=record["baseline"],
        versions=f"texneg {record.get('version', '?')}, torch {record.get('torch', '?')}",
        metrics=read_json_lines(path / "metrics.jsonl"),
        command=record.get("command", ()),
        probes=probes,
        ood=results.pop("ood", None),
        analyses=results,
    )


def make_foreign_run(path: Path, results: dict[str, Any], probes: Mapping[str, Mapping[str, Any]]) -> Run:
    """Make a run of the results of an encoder that was trained elsewhere, which is its own baseline.

    Raises:
        InputError: there are no results, or those of several encoders.
    """
    every = [*results.values(), *probes.values()]
    encoders = {str(found["encoder"]) for found in every if "encoder" in found}
    if len(encoders) != 1:
        what = "results of several encoders" if encoders else "neither config.json nor results"
        raise InputError(
            f"{str(path)!r} holds {what}; give folders made by texneg pretrain, or filled by probe, ood and"
            " analyze with one encoder"
        )
    settings = {"encoder": encoders.pop(), "folder": str(path.absolute())}
    versions = {f"texneg {found.get('version', '?')}" for found in every}
    return Run(
        path=path,
        title=path.absolute().name,
        arm="",
        seed=0,
        settings=settings,
        baseline=settings,
        versions=", ".join(sorted(versions)),
        metrics=(),
        probes=probes,
        ood=results.pop("ood", None),
        analyses=results,
        trained=False,
    )


def group_runs(runs: Sequence[Run]) -> list[Arm]:
    """Form arms in the order of their first runs; arms of one baseline stand together, the baseline first."""
    groups: dict[str, dict[str, list[Run]]] = {}
    for run in runs:
        group = groups.setdefault(_key(run.baseline), {})
        group.setdefault(_key(run.settings), []).append(run)
    labels = _differing_settings([run.baseline for run in runs if run.trained])
    arms: list[Arm] = []
    number = 0
    for baseline, group in groups.items():
        first = len(arms) if baseline in group else None
        for settings in sorted(group, key=lambda settings: settings != baseline):
            by_seed = sorted(group[settings], key=lambda run: run.seed)
            _require_different_seeds(by_seed)
            label = _label(by_seed, labels.get(baseline, {}))
            if not arms and settings != baseline:
                number = 1  # the first colour is a baseline's
            base = None if settings == baseline else first
            arms.append(Arm(Look(label, number), tuple(by_seed), base))
            number += 1
    return arms


def find_shared_settings(runs: Sequence[Run]) -> dict[str, Any]:
    """The settings on which all runs agree, by the names of their flags."""
    flat = [flatten(run.settings) for run in runs if run.trained]
    return {
        name: value
        for name, value in (flat[0] if flat else {}).items()
        if all(name in one and one[name] == value for one in flat)
    }


def _require_different_seeds(runs: Sequence[Run]) -> None:
    counts = Counter(run.seed for run in runs)
    if twice := [seed for seed, count in counts.items() if count > 1]:
        paths = ", ".join(str(run.path) for run in runs if run.seed in twice)
        raise InputError(
            f"the same settings and seed {min(twice)} occur more than once ({paths}); give each run once"
        )


def _label(runs: Sequence[Run], differing: Mapping[str, Any]) -> str:
    """The name that a study gave the arm, or its negatives and what else tells it from other arms."""
    names = {run.arm for run in runs}
    if len(names) == 1 and names != {""}:
        return names.pop()
    words = (f"{name}={describe_value(value)}" for name, value in differing.items() if value is not None)
    return " ".join([runs[0].title, *words])


def describe_value(value: Any) -> str:
    """Write the value of a setting: a range as 0-0.05."""
    return "-".join(map(str, value)) if isinstance(value, list) else str(value)


def _differing_settings(baselines: Sequence[Settings]) -> dict[str, dict[str, Any]]:
    """Settings in which baselines differ, by baseline."""
    flat = {_key(settings): flatten(settings) for settings in baselines}
    names = list(dict.fromkeys(name for settings in flat.values() for name in settings))
    differing = [name for name in names if len({_key(settings.get(name)) for settings in flat.values()}) > 1]
    return {key: {name: settings.get(name) for name in differing} for key, settings in flat.items()}


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def describe_equality(arms: Sequence[Arm]) -> str:
    """Say what the arms of a report have in common: all but their negatives, or what else differs."""
    runs = [run for arm in arms for run in arm.runs]
    foreign = [arm.label for arm in arms if not arm.runs[0].trained]
    parts = []
    if foreign:
        parts.append(f"{', '.join(foreign)} {'was' if len(foreign) == 1 else 'were'} trained elsewhere")
    differing = _differing_settings([run.baseline for run in runs if run.trained])
    if names := [name.replace("_", " ") for name in next(iter(differing.values()), {})]:
        parts.append(f"settings beside the negatives differ ({', '.join(names)})")
    if len({run.versions for run in runs if run.trained}) > 1:
        parts.append("versions of texneg or torch differ")
    if len({arm.seeds for arm in arms}) > 1:
        parts.append("seeds differ")
    if len({_key([(name, found.get("data")) for name, found in run.probes.items()]) for run in runs}) > 1:
        parts.append("heads were fitted on different images")
    if len(arms) == 1 and not parts:
        return ""
    if not parts:
        return "Everything else is equal."
    return f"Not everything else is equal: {'; '.join(parts)}."
