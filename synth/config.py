"""The configuration of a run: its outputs, its processes, what failures do, and which step is taken."""

import os
import re
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, Self

from texneg.cli.console import plural
from texneg.cli.fields import Positional
from texneg.cores import available_cores
from texneg.datasets.sources.sources import Source
from texneg.datasets.storage.places import Place, make_absolute, parse_place, resolve
from texneg.datasets.storage.url import Url
from texneg.errors import InputError
from texneg.synth.ledger.manifest import Status
from texneg.synth.plan.plan import Settings


@dataclass(frozen=True)
class RunOutput(ABC):
    """The outputs of a run; the fields are flags."""

    @property
    @abstractmethod
    def shard_size(self) -> int:
        """Images per commit."""

    @abstractmethod
    def check(self) -> None:
        """Refuse values out of their range, and flags that exclude each other."""

    @abstractmethod
    def open(self, src: Place) -> Source:
        """Open the images.

        Raises:
            InputError: there are none, or none that such a run takes.
        """

    @abstractmethod
    def settings(self, source: Source) -> Settings:
        """The settings of a run on a source.

        Raises:
            InputError: they depend on the images, and none of these can be used.
        """

    def resume(self, settings: Settings, stored: Settings) -> Settings:
        """The settings, with what an earlier run has in place of defaults that have changed since."""
        return settings

    def check_places(self, src: str, dst: str) -> None:
        """Refuse a DST where such outputs do not belong."""


@dataclass(frozen=True)
class Compute:
    """The processes and machines that make the outputs."""

    workers: int = 0
    """CPU cores to use; 0 is all of this machine."""
    threads_per_worker: int = 0
    """Threads in one worker process; 0 is up to 8."""
    executor: Literal["dask", "sync"] | None = None
    """sync: one image after the other in this process. Default: dask, and sync for a --task of one core."""
    scheduler: str | None = None
    """Use a running Dask scheduler: its address (tcp://host:port) or scheduler file. Default: the address in
    DASK_SCHEDULER_ADDRESS; without one, a cluster on this machine."""
    cluster: Literal["slurm", "slurm-runner"] | None = None
    """Start workers through SLURM: slurm submits --jobs of them with the site's own dask-jobqueue settings;
    slurm-runner makes a cluster of the tasks of one srun."""
    jobs: int = 1
    """Jobs of --cluster slurm."""
    cluster_option: tuple[str, ...] = ()
    """Options of dask_jobqueue.SLURMCluster, over the site's settings: cores=8 memory=16GB queue=short."""
    part_size: int | None = None
    """Images per task, the most that a kill can lose on a core. Default: by the size of the data set."""

    def check(self) -> None:
        """Refuse values out of their range."""
        require_at_least(self, part_size=1, workers=0, threads_per_worker=0, jobs=1)
        for option in self.cluster_option:
            require("cluster_option", option, "=" in option, "name=value, such as cores=8")
        jobs = [name for name in ("jobs", "cluster_option") if getattr(self, name) != getattr(Compute, name)]
        if jobs and self.cluster != "slurm":
            raise InputError(f"{flag(jobs[0])} is for jobs of SLURM: add --cluster slurm, or leave it out")

    def resolve(self, *, array_task: bool) -> "Compute":
        """Fill in the executor, and the scheduler that the environment names.

        Args:
            array_task: a task of a job array, which needs no scheduler.
        """
        scheduler = self.scheduler
        if not (scheduler or self.cluster == "slurm" or array_task):
            scheduler = os.environ.get("DASK_SCHEDULER_ADDRESS") or None
        alone = array_task and self.cores == 1
        executor = self.executor or ("sync" if alone else "dask")
        return replace(self, scheduler=scheduler, executor=executor)

    @property
    def cores(self) -> int:
        """Cores that workers on this machine use."""
        return self.workers or available_cores()

    @property
    def in_process(self) -> bool:
        """True if the textures are made in this process."""
        return self.executor == "sync"

    @property
    def on_this_machine(self) -> bool:
        """True if the workers are processes that this one starts."""
        return self.scheduler is None and self.cluster is None

    def __str__(self) -> str:
        if self.cluster:
            return f"{plural(self.jobs, 'job')} of {self.cluster}"
        here = "this process" if self.in_process else f"{plural(self.cores, 'core')} of this machine"
        return self.scheduler or here


@dataclass(frozen=True)
class Policy:
    """The consequences of failures and of a request to stop."""

    max_error_rate: float = 0.01
    """Stop when more than this share of the images cannot be used (judged from 1000 images on)."""
    retries: int = 2
    """Tries of a failed task, after the first, before its shard is given up."""
    drain_timeout: float = 60.0
    """After Ctrl-C or SIGTERM, seconds to let tasks in flight finish."""
    strict_versions: bool = False
    """Stop where a process has other versions of libraries than the run began with, instead of warning."""

    def check(self) -> None:
        """Refuse values out of their range."""
        require("max_error_rate", self.max_error_rate, 0 <= self.max_error_rate <= 1, "0 to 1")
        require_at_least(self, retries=0)
        require("drain_timeout", self.drain_timeout, self.drain_timeout >= 0, "0 s or more")


@dataclass(frozen=True)
class Action:
    """Steps of a job array, and changes to a run that already exists. Default: make what is missing."""

    dry_run: bool = False
    """Scan SRC, make 8 textures and print what the run would cost. Writes nothing."""
    plan_only: bool = False
    """First step of a job array: scan SRC and freeze the plan, make nothing."""
    task: str | None = None
    """I/N: make every N-th shard from the I-th (zero based) of a frozen plan, without any scheduler."""
    finalize: bool = False
    """Last step of a job array: check that every shard is made, then join manifest and checksums."""
    extend: bool = False
    """Add shards for inputs that came after the plan was made; no other shard changes its number."""
    retry_quarantined: tuple[str, ...] | None = None
    """Try the images again that could not be used: all, or those of these statuses."""
    recheck: bool = False
    """On resume, hash every finished output and make the damaged and missing ones again."""
    recheck_sources: bool = False
    """On resume, hash every input and make the textures of changed ones again. Without it, those of inputs
    with another size, or written since, are."""
    overwrite: bool = False
    """Remove the outputs of an earlier run (only files that its ledger lists) and start anew."""
    steal_lock: bool = False
    """Take over a run whose driver is gone although its lock looks alive."""
    print_dask_config: bool = False
    """Print the Dask settings that suit a run, as YAML for clusters that others start."""

    def check(self) -> None:
        """Refuse statuses that no image has, and a --task that is not I/N."""
        known = [status for status in Status if status != Status.OK]
        allowed = f"nothing, for all, or any of {', '.join(known)}"
        for status in self.retry_quarantined or ():
            require("retry_quarantined", status, status in known, allowed)
        _ = self.array_task

    @property
    def array_task(self) -> tuple[int, int] | None:
        """I and N of --task.

        Raises:
            InputError: not of that form.
        """
        if self.task is None:
            return None
        match = re.fullmatch(r"(\d+)/(\d+)", self.task)
        if match is None or not int(match[1]) < int(match[2]):
            raise InputError(f"--task {self.task}: allowed is I/N with I from 0 to N - 1, such as 0/100")
        return int(match[1]), int(match[2])


@dataclass(frozen=True)
class RunConfig:
    """A run that makes outputs of the images of a data set."""

    src: Positional[str] = ""
    """Class-folder tree, flat folder of images, folder of WebDataset .tar shards, or one .tar."""
    dst: Positional[str] = ""
    """Folder for the outputs; the ledger of the run is DST.texneg beside it."""
    output: RunOutput = field(kw_only=True)
    compute: Compute = Compute()
    policy: Policy = Policy()
    action: Action = Action()
    ledger: str | None = None
    """Put the ledger here instead of DST.texneg."""

    verb: ClassVar[str]
    """of the command line"""
    made: ClassVar[str]
    """the outputs, for messages"""

    @classmethod
    def flat(cls, src: str = "", dst: str = "", **flags: Any) -> Self:
        """A configuration from flags by name, whichever part they belong to."""
        make: Callable[..., Self] = cls  # each kind of run has a default for its output
        return make(src, dst).with_flags(**flags)

    def with_flags(self, **flags: Any) -> Self:
        """A copy with other values of these flags."""
        config = self
        for name in ("output", "compute", "policy", "action"):
            part = getattr(self, name)
            own = {one.name: flags.pop(one.name) for one in fields(part) if one.name in flags}
            config = replace(config, **{name: replace(part, **own)})
        return replace(config, **flags)

    def flags(self) -> Iterator[tuple[str, Any, Any]]:
        """Name, value and default of every flag, in the order of the parts."""
        for part in (self.output, self.compute, self.policy, self.action):
            yield from ((one.name, getattr(part, one.name), one.default) for one in fields(part))
        yield "ledger", self.ledger, None

    def check(self) -> None:
        """Refuse values out of their range, and flags that exclude each other.

        Raises:
            InputError: naming what was given and what is allowed.
        """
        if not self.src or not self.dst:
            raise InputError(f"give the images and a folder for the {self.made}: texneg {self.verb} SRC DST")
        self.output.check()
        self.compute.check()
        self.policy.check()
        given = {name for name, value, default in self.flags() if value != default}
        for group in EXCLUSIVE:
            clash = [name for name in group if name in given]
            if len(clash) > 1:
                raise InputError(f"{' and '.join(map(flag, clash[:2]))} exclude each other; leave one out")
        self.action.check()
        if self.action.task and (self.compute.scheduler or self.compute.cluster):
            raise InputError("--task needs no scheduler; leave --scheduler and --cluster out")
        self.output.check_places(self.src, self.dst)

    def command(self, *, once: bool = False, without: tuple[str, ...] = ()) -> str:
        """The command line of this run: positional arguments and the flags that differ from their defaults.

        Args:
            once: include what is asked for one time, which a resumed run has to leave out.
            without: further flags to leave out.
        """
        words = ["texneg", self.verb, self.src, self.dst]
        for name, value, default in self.flags():
            if value == default or name in without or (name in ONCE and not once):
                continue
            words.append(flag(name))
            if value is not True:
                words += [str(v) for v in (value if isinstance(value, tuple) else (value,))]
        return shlex.join(words)


ONCE = (
    "overwrite",
    "recheck",
    "recheck_sources",
    "steal_lock",
    "extend",
    "retry_quarantined",
    "dry_run",
    "plan_only",
)
"""Flags that are not repeated when a run is resumed."""
EXCLUSIVE = (
    ("dry_run", "plan_only", "task", "finalize", "recheck_sources"),
    ("overwrite", "recheck_sources"),
    ("scheduler", "cluster"),
    ("overwrite", "extend", "retry_quarantined", "task"),
    ("overwrite", "extend", "retry_quarantined", "finalize"),
    ("extend", "limit"),
    ("dry_run", "extend", "retry_quarantined"),
)
"""A command may have one flag of each of these groups."""


def flag(name: str) -> str:
    """The flag of a field."""
    return f"--{name.replace('_', '-')}"


def require(name: str, value: object, good: bool, allowed: str) -> None:
    """Refuse the value of a field that is not good."""
    if not good:
        raise InputError(f"{flag(name)} {value}: allowed is {allowed}")


def require_at_least(part: object, **bounds: int) -> None:
    """Refuse fields below their bounds; None is allowed."""
    for name, least in bounds.items():
        value = getattr(part, name)
        require(name, value, value is None or value >= least, f"{least} or more")


def require_side(name: str, value: int, least: int, most: int) -> None:
    """Refuse a side of a picture that is out of its range."""
    require(name, value, least <= value <= most, f"{least} to {most} px")


def ledger_path(dst: str, ledger: str | None = None) -> Place:
    """The absolute place of a run's ledger: DST.texneg beside DST, unless another is given.

    Raises:
        InputError: DST is a bucket, which has nothing beside it.
    """
    if ledger:
        return make_absolute(parse_place(ledger))
    beside = resolve(parse_place(dst))
    if isinstance(beside, Url) and beside.is_bucket:
        raise InputError(f"{dst} is a whole bucket: give a folder in it, or a --ledger elsewhere")
    return parse_place(f"{beside}.texneg")
