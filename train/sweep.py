"""`texneg study`: train and test a sweep of settings with several seeds, several runs at a time; one report.

    texneg study demo --data images --sweep alpha=1,2,4 queue=256,512 --seeds 3

The arms are all combinations of the values, or those of a TOML file, and their baseline without negatives.
What is finished is kept: the same command goes on. A job array makes a share of the runs in each task
(`--task I/N`); the same command without --task then writes the report.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from texneg.cli import console
from texneg.cli.fields import Positional
from texneg.cli.main import parse_known
from texneg.cores import available_cores
from texneg.datasets.storage.places import require_folder
from texneg.errors import InputError, RunFailed, describe_error
from texneg.train.config import PretrainConfig
from texneg.train.device import pick_device
from texneg.train.evaluate.probe import ProbeConfig, open_sets
from texneg.train.flags import read_flags
from texneg.train.pretrain import find_run
from texneg.train.study import Evaluation, Study, run_study, stopwatch, write_report

BASELINE = "baseline"
OURS = {
    "out": "--out names the folder of the study",
    "seed": "--seeds counts them",
    "arm": "arms name themselves",
}
"""Flags of `texneg pretrain` that a study sets for each run, and what to do instead."""


@dataclass(frozen=True)
class StudyConfig:
    """Train and test arms with several seeds; every other flag is one of `texneg pretrain RECIPE`."""

    recipe: Positional[str]
    """recipe that all arms begin with; texneg pretrain --list shows them"""
    sweep: tuple[str, ...] = ()
    """FLAG=VALUE,VALUE,... for each flag to vary, such as alpha=1,2,4 or "difficulty=0.95 1,0 1"; all
    combinations are arms"""
    arms: str | None = None
    """TOML file with a table of flags for each arm, in place of --sweep"""
    no_baseline: bool = False
    """leave out the same runs without negatives, with which all are compared"""
    seeds: int = 3
    """runs of each arm, seeds 0, 1, ..."""
    out: str = ""
    """folder of the runs and of report.html; default: runs/study-RECIPE"""
    labelled: str | None = None
    """labelled images for the probe; default: --data"""
    test: str | None = None
    """test images of the same distribution; default: the val, validation or test split of --labelled"""
    sets: tuple[str, ...] = ()
    """other test sets, NAME=PATH"""
    cue_conflict: tuple[str, ...] = ()
    """cue-conflict sets for shape bias, NAME=PATH"""
    classes: tuple[str, ...] = ()
    """class maps of the other test sets, NAME=MAP, as for texneg ood"""
    leave_out: bool = False
    """leave out test images in class folders that the head lacks, instead of refusing their set"""
    processes: int = 0
    """runs at a time; 0: one for each of --devices, or for each core"""
    threads: int = 1
    """CPU threads of each run"""
    devices: tuple[str, ...] = ()
    """GPUs to share the runs among, such as cuda:0 cuda:1; each has one run at a time"""
    task: str | None = None
    """I/N: make every N-th run from the I-th on (I from 0), in a task of a job array, and no report"""
    dry_run: bool = False
    """list the runs and make none"""


@dataclass(frozen=True)
class Command:
    """A command line, read: its own flags, and the arms."""

    config: StudyConfig
    arms: Mapping[str, PretrainConfig]


def read_command(words: list[str]) -> Command:
    """Read the flags of the study; the others go to each arm.

    Raises:
        InputError: a flag or a value that is not understood.
    """
    config, rest = parse_known(StudyConfig, "study", words)
    for name, remedy in OURS.items():
        if any(word.partition("=")[0] == f"--{name}" for word in rest):
            raise InputError(f"--{name} is set for each run: {remedy}; leave it out")
    arms = read_arms(config, rest)
    return Command(config, arms if config.no_baseline else add_baselines(arms))


def study(config: Command) -> int:
    """Make what is not finished of a study, and its report."""
    own, arms = config.config, config.arms
    plan = plan_study(own, arms)
    for name, arm in arms.items():
        try:
            arm.check()
        except InputError as error:
            raise InputError(f"arm {name}: {error}") from error
    (evaluation,) = plan.evaluations
    open_sets(ProbeConfig("", evaluation.data, "", test=evaluation.test))  # labels that a probe would miss
    jobs = share_jobs(plan.jobs, own.task)
    require_same_runs(plan)
    if own.dry_run:
        console.out("\n".join(f"{plan.run_folder(arm, seed)}  {arm}, seed {seed}" for arm, seed in jobs))
        return 0
    require_folder(plan.folder, "--out")
    processes = own.processes or len(own.devices) or available_cores()
    log = stopwatch()
    log(
        f"{len(jobs)} runs of {len(arms)} arms, {processes} at a time, each with its log.txt -> {plan.folder}"
    )
    failure = None
    try:
        run_study(plan, processes=processes, threads=own.threads, log=log, jobs=jobs)
    except (InputError, RunFailed) as error:
        failure = error
    if own.task is None:
        finish(plan, log)
    if failure:
        raise failure
    return 0


def require_same_runs(plan: Study) -> None:
    """Refuse a folder that holds a run of the study with other settings, before any is made with these.

    Raises:
        InputError: naming the first one.
    """
    for arm, seed in plan.jobs:
        find_run(plan.run_config(arm, seed))


def finish(plan: Study, log: Callable[[str], None]) -> None:
    """Write the report of the runs that are tested, if there are any."""
    tested = tuple(
        (arm, seed) for arm, seed in plan.jobs if (plan.run_folder(arm, seed) / "probe.json").is_file()
    )
    if tested:
        log(f"report of {len(tested)} runs -> {Path(plan.folder) / 'report.html'}")
        write_report(plan, Path(plan.folder) / "report.html", jobs=tested)


def plan_study(config: StudyConfig, arms: Mapping[str, PretrainConfig]) -> Study:
    """Make the study of these arms.

    Raises:
        InputError: numbers outside their range.
    """
    if min(config.processes, config.threads - 1) < 0:
        raise InputError("--processes: 0 or more; --threads: 1 or more")
    if len(set(config.devices)) < len(config.devices):
        raise InputError(f"--devices {' '.join(config.devices)}: name each once; it has one run at a time")
    for device in config.devices:
        pick_device(device)
    first = next(iter(arms.values()))
    evaluation = Evaluation(
        config.labelled or first.run.data,
        config.test,
        sets=config.sets,
        cue_conflict=config.cue_conflict,
        classes=config.classes,
        leave_out=config.leave_out,
    )
    return Study(
        folder=config.out or f"runs/study-{config.recipe}",
        arms=arms,
        evaluations=(evaluation,),
        textures=first.run.textures,
        seeds=config.seeds,
        devices=config.devices,
    )


def share_jobs(jobs: Sequence[tuple[str, int]], task: str | None) -> list[tuple[str, int]]:
    """Return the share of the runs that a task of a job array makes; all without a task.

    Raises:
        InputError: the task is not I/N.
    """
    if task is None:
        return list(jobs)
    match = re.fullmatch(r"(\d+)/(\d+)", task)
    if not match or not int(match[1]) < int(match[2]):
        raise InputError(f"--task {task}: allowed is I/N with I from 0 to N - 1, such as 0/12")
    return list(jobs[int(match[1]) :: int(match[2])])


def read_arms(config: StudyConfig, rest: Sequence[str]) -> dict[str, PretrainConfig]:
    """Read the arms: all combinations of the swept values, or the tables of a file.

    Raises:
        InputError: a flag or a value that an arm does not take, or a file that is no TOML.
    """
    if config.arms and config.sweep:
        raise InputError("--arms and --sweep: give one of them")
    if config.arms:
        arms = read_arms_file(Path(config.arms))
    else:
        sweeps = list(map(read_sweep, config.sweep))
        if len({name.replace("-", "_") for name, _ in sweeps}) < len(sweeps):
            raise InputError(f"--sweep {' '.join(config.sweep)}: name each flag once")
        arms = dict(combine(dict(sweeps)))
    made = {}
    for name, flags in arms.items():
        words = [
            config.recipe,
            *rest,
            *(word for flag, value in flags.items() for word in to_words(flag, value)),
        ]
        try:
            made[name] = read_flags(words)
        except InputError as error:
            raise InputError(f"arm {name}: {error}" if flags else str(error)) from error
    return made


def read_sweep(text: str) -> tuple[str, list[Any]]:
    """Read FLAG=VALUE,VALUE,...; a value with spaces is one of several words.

    Raises:
        InputError: it has another form.
    """
    name, _, values = text.removeprefix("--").partition("=")
    if not name or not all(value.strip() for value in values.split(",")):
        raise InputError(f"--sweep {text}: give a flag and its values, such as alpha=1,2,4")
    switches = {"true": True, "false": False}
    words = [value.split() for value in values.split(",")]
    if any(one in words[:i] for i, one in enumerate(words)):
        raise InputError(f"--sweep {text}: give each value once")
    return name, [one if len(one) > 1 else switches.get(one[0], one[0]) for one in words]


def combine(sweeps: Mapping[str, Sequence[Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and flags of each combination of values."""
    for values in product(*sweeps.values()):
        flags = dict(zip(sweeps, values, strict=True))
        yield ", ".join(f"{name} {describe(value)}" for name, value in flags.items()) or "all", flags


def describe(value: Any) -> str:
    """Write a value of a flag: a range as 0.95-1, a switch as on or off."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return "-".join(map(str, value)) if isinstance(value, list) else str(value)


def read_arms_file(path: Path) -> dict[str, dict[str, Any]]:
    """Read a table of flags for each arm.

    Raises:
        InputError: the file cannot be read, is no TOML, or holds something else than tables.
    """
    try:
        arms = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"--arms {path}: {describe_error(error)}; it takes TOML, a table of flags for each arm"
        ) from error
    if not arms or not all(isinstance(flags, dict) for flags in arms.values()):
        raise InputError(f'--arms {path}: give a table for each arm, such as ["patch, alpha 2"] alpha = 2')
    return arms


def to_words(flag: str, value: Any) -> list[str]:
    """Write a flag and its value as words of a command line."""
    name = flag.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    return [f"--{name}", *(map(str, value) if isinstance(value, list) else [str(value)])]


def add_baselines(arms: Mapping[str, PretrainConfig]) -> dict[str, PretrainConfig]:
    """Put the arms without negatives in front, each once and only where none of the arms is one already."""
    there = {settings_key(arm) for arm in arms.values()}
    groups: dict[str, list[str]] = {}
    for name, arm in arms.items():
        if (key := settings_key(arm.baseline())) not in there:
            groups.setdefault(key, []).append(name)
    made = {}
    for names in groups.values():
        # What all arms of a baseline have in common tells it from the other baselines.
        parts = [name.split(", ") for name in names]
        common = [part for part in parts[0] if all(part in other for other in parts)]
        name = BASELINE if len(groups) == 1 else ", ".join([BASELINE, *common])
        made[name] = arms[names[0]].baseline()
    return {**made, **arms}


def settings_key(config: PretrainConfig) -> str:
    """Write the settings of a run as a key."""
    return json.dumps(config.settings(), sort_keys=True)
