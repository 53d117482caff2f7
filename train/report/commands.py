"""The commands that made the numbers of a report, with paths relative to the page."""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from texneg.train.evaluate.analyses import ANALYSES
from texneg.train.evaluate.linear import OWN
from texneg.train.evaluate.probe import ProbeConfig
from texneg.train.evaluate.sets.accuracy import Accuracy
from texneg.train.evaluate.sets.corruptions import Corruptions
from texneg.train.evaluate.sets.cues import Cues
from texneg.train.evaluate.sets.shape_bias import ShapeBias
from texneg.train.report.corruptions import split_part
from texneg.train.report.runs import Run

RUN = "$RUN"
Words = tuple[str, ...]


@dataclass(frozen=True)
class Command:
    """A command, or a loop of it over runs."""

    what: str
    text: str
    """as a shell takes it, from the folder of the page"""


def list_commands(runs: Sequence[Run], page: Path) -> list[Command]:
    """The commands of pre-training, probes, sets and analyses, each once, in this order."""
    found: dict[tuple[str, Words], list[str]] = {}
    for step in (_train, _probe, _test, _analyze):
        for run in runs:
            homes = [relate(home, page.parent) for home in find_homes(run)]
            for what, words in step(run):
                told = tuple(relate(word, page.parent) for word in words)
                home = next((one for one in homes if one in told), homes[0])
                places = found.setdefault((what, tuple(_generalise(word, home) for word in told)), [])
                if home not in places:
                    places.append(home)
    return [Command(what, write(words, folders)) for (what, words), folders in found.items()]


def find_homes(run: Run) -> list[str]:
    """Places of a run folder: where it is, and where it was when numbers were made."""
    made = [found.get("config", {}) for found in (*run.probes.values(), *run.analyses.values())]
    return list(dict.fromkeys([str(run.path.absolute()), *(one["out"] for one in made if "out" in one)]))


def write(words: Words, folders: Sequence[str]) -> str:
    """Write a command for a shell: once, or in a loop over the run folders that it names."""
    if not any(word.startswith(RUN) for word in words):
        return shlex.join(words)
    if len(folders) == 1:
        return shlex.join(folders[0] + word[len(RUN) :] if word.startswith(RUN) else word for word in words)
    command = " ".join(
        f'"{RUN}"{shlex.quote(word[len(RUN) :]) if word != RUN else ""}'
        if word.startswith(RUN)
        else shlex.quote(word)
        for word in words
    )
    return f"for RUN in {shlex.join(folders)}; do\n  {command}\ndone"


def _generalise(word: str, folder: str) -> str:
    """Write the run folder of a word as a variable."""
    return RUN + word[len(folder) :] if word == folder or word.startswith(f"{folder}/") else word


def relate(word: str, folder: Path) -> str:
    """Write a path, or that of NAME=PATH, relative to a folder; any other word stays."""
    name, equals, path = word.partition("=")
    if not equals:
        name, path = "", word
    if "://" in word or not (path.startswith("/") or ("/" in path and Path(path).exists())):
        return word
    relative = os.path.relpath(path, folder.absolute())
    return f"{name}{equals}{relative}"


def _train(run: Run) -> Iterator[tuple[str, Words]]:
    if run.command:
        program, *words = run.command
        yield "Pre-training", (Path(program).name, *words)


def _probe(run: Run) -> Iterator[tuple[str, Words]]:
    for name, probe in run.probes.items():
        if "config" in probe:
            what = f"Linear probe {name}".rstrip()
            yield what, ("texneg", "probe", *write_flags(probe["config"], ProbeConfig))


def _analyze(run: Run) -> Iterator[tuple[str, Words]]:
    for analysis in ANALYSES:
        config = run.analyses.get(analysis.name, {}).get("config")
        if config:
            given = {name: value for name, value in config.items() if name != "analysis"}
            yield (
                f"Analysis: {analysis.name}",
                ("texneg", "analyze", analysis.name, *write_flags(given, analysis)),
            )


def _test(run: Run) -> Iterator[tuple[str, Words]]:
    """The commands that `ood` recorded; of results without, one that measures the same sets."""
    if run.ood is None:
        return
    if recorded := run.ood.get("commands"):
        for program, *words in recorded:
            yield "Test sets", (Path(program).name, *words)
        return
    heads = dict.fromkeys(record.get("head_name", "") for record in run.ood["sets"])
    names = [name if name in ("", OWN) else f"{run.path}/head-{name}.pt" for name in heads]
    flags = ["--head", *(name or f"{run.path}/head.pt" for name in names)] if any(names) else []
    words = [*_write_encoder(run), "--out", str(run.path.absolute()), *flags]
    sets = {(record["kind"], record["name"]): record for record in run.ood["sets"]}
    by_flag: dict[str, list[str]] = {}
    for (kind, name), record in sets.items():
        for flag, values in _write_set(kind, name, record).items():
            by_flag.setdefault(flag, []).extend(
                value for value in values if value not in by_flag.get(flag, ())
            )
    if not by_flag:
        return
    yield (
        "Test sets",
        ("texneg", "ood", *words, *(word for flag, values in by_flag.items() for word in (flag, *values))),
    )


def _write_encoder(run: Run) -> list[str]:
    """The checkpoint of a run as a command takes it."""
    imported = (run.ood or {}).get("imported") or {}
    if run.trained or "source" not in imported:
        return [str(run.path.absolute())]
    arch = imported.get("architecture", {}).get("arch")
    return [str(imported["source"]), *(["--arch", str(arch)] if arch else [])]


def _write_set(kind: str, name: str, record: Mapping[str, Any]) -> dict[str, list[str]]:
    """Flags that name a set of a kind that comes with texneg, with the values it adds to each."""
    cells = record.get("cells") or [record]
    if not cells[0].get("path"):
        return {}
    given = f"{name}={cells[0]['path']}"
    declared = record.get("declared")
    mapped = [f"{name}={declared}"] if declared not in (None, "head") else []
    if kind == Accuracy.name:
        return {"--sets": [given], **({"--classes": mapped} if mapped else {})}
    if kind == ShapeBias.name:
        return {"--cue-conflict": [given]}
    if kind == Cues.name:
        folder = Path(cells[0]["path"])
        own = name.removesuffix(f"-{folder.name}")
        mapped = [f"{own}={declared}"] if mapped else []
        return {"--cues": [f"{own}={folder.parent}"], **({"--cue-classes": mapped} if mapped else {})}
    if kind == Corruptions.name:
        parts = [part for cell in cells if (part := split_part(cell))]
        names, severities = dict.fromkeys(name for name, _ in parts), sorted({step for _, step in parts})
        quality = record.get("jpeg_quality", 85)
        return {
            "--corrupt": [given],
            "--corruptions": list(names),
            "--severities": list(map(str, severities)),
            **({"--corrupt-classes": mapped} if mapped else {}),
            **({"--jpeg-quality": [str(quality)]} if quality != 85 else {}),
        }
    return {}


def write_flags(config: Mapping[str, Any], options: type[Any]) -> list[str]:
    """Write recorded options as words of a command line: the checkpoint, then what differs from a default."""
    defaults = {one.name: one.default if one.default is not MISSING else None for one in fields(options)}
    words = [str(config["checkpoint"])] if "checkpoint" in config else []
    for name, value in config.items():
        if isinstance(value, Mapping):
            words += [
                word for flag, part in value.items() if part is not None for word in _write_flag(flag, part)
            ]
        elif name != "checkpoint" and value is not None and value != _plain(defaults.get(name)):
            words += _write_flag(name, value)
    return words


def _write_flag(name: str, value: Any) -> list[str]:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    return [f"--{flag}", *(map(str, value) if isinstance(value, list | tuple) else [str(value)])]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
