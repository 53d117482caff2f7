"""What a texture run is told on the command line."""

import os
import re
import shlex
from dataclasses import dataclass, fields
from typing import Literal

from texneg.cli.fields import Positional
from texneg.datasets.encode import Encoding
from texneg.datasets.sources.sources import Kind
from texneg.datasets.storage.places import Place, absolute, place, resolved
from texneg.datasets.storage.url import Url
from texneg.errors import InputError
from texneg.synth.plan.settings import Exif, Layout, Settings, Small
from texneg.textures.presets import PRESETS


@dataclass(frozen=True)
class SynthConfig:
    """Make one texture for every image of a data set. Run the same command again to resume.

    Most need no option. They are, in this order: what is made (--format to --limit), where and in which steps
    (--dry-run to --print-dask-config), what failures do (--max-error-rate to --strict-versions), job arrays
    (--plan-only to --finalize), and runs that are there already (--extend to --steal-lock).
    """

    src: Positional[str] = ""
    """Class-folder tree, flat folder of images, folder of WebDataset .tar shards, or one .tar."""
    dst: Positional[str] = ""
    """Folder for the textures; the ledger of the run is DST.texneg beside it."""
    format: Kind | None = None
    """Output: class folders, or WebDataset tar shards. Default: like the input."""
    layout: Layout = "textures"
    """Tars of textures, or paired: each texture beside its untouched image and class, to train from."""
    preset: Literal["paper"] | None = None
    """paper: class folders of PNG files made of upright images, in SRC-texture, as its loader expects."""
    size: int = 224
    """Side of a texture, px (16 to 1024)."""
    exemplar_size: int = 96
    """Side of the two patches a texture is made of, px (8 or more)."""
    method: str = "default"
    """Synthesis method: fast, default or quality."""
    seed: int = 0
    """Textures are a function of this and the image's key."""
    encoding: Encoding = "webp"
    """Lossless file format of a texture."""
    exif: Exif = "ignore"
    """apply: turn images upright first. ignore: take them as stored, as torchvision's loader does."""
    allow_truncated: bool = False
    """Use files that are cut short as far as they go, as Pillow does with LOAD_TRUNCATED_IMAGES; the manifest
    says of each what is missing."""
    small: Small = "shrink-patch"
    """Images smaller than a patch: take a smaller patch (down to a third), enlarge the image, or skip it."""
    splits: Literal["auto", "none"] = "auto"
    """auto: train, val, validation and test below SRC are splits. none: they are ordinary folders."""
    naming: Literal["replace", "append"] = "replace"
    """Name of a texture: the image's with its suffix replaced, or appended to it (x.jpg.webp)."""
    shard_size: int = 1000
    """Images per commit, and in an output tar when the input is a tree."""
    limit: int | None = None
    """Take only this many images, spread evenly over the data set."""
    dry_run: bool = False
    """Scan SRC, make 8 textures and print what the run would cost. Writes nothing."""
    workers: int = 0
    """CPU cores to use; 0 is all of this machine."""
    threads_per_worker: int = 0
    """Threads in one worker process; 0 is up to 8."""
    executor: Literal["dask", "sync"] | None = None
    """sync: one image after the other in this process. Default: dask, and sync for a --task of one core."""
    scheduler: str | None = None
    """Use a running Dask scheduler: its address (tcp://host:port) or scheduler file. Default: the address in
    DASK_SCHEDULER_ADDRESS; without one, an embedded cluster."""
    cluster: Literal["slurm", "slurm-runner"] | None = None
    """Start workers through SLURM: slurm submits --jobs of them with the site's own dask-jobqueue settings;
    slurm-runner makes a cluster of the tasks of one srun."""
    jobs: int = 1
    """Jobs of --cluster slurm."""
    cluster_option: tuple[str, ...] = ()
    """Options of dask_jobqueue.SLURMCluster, over the site's settings: cores=8 memory=16GB queue=short."""
    part_size: int | None = None
    """Images per task, the most that a kill can lose on a core. Default: by the size of the data set."""
    print_dask_config: bool = False
    """Print the Dask settings that suit a run, as YAML for clusters that others start."""
    max_error_rate: float = 0.01
    """Stop when more than this share of the images cannot be used (judged from 1000 images on)."""
    retries: int = 2
    """How often a failed task is tried again before its shard is given up."""
    drain_timeout: float = 60.0
    """After Ctrl-C or SIGTERM, seconds to let tasks in flight finish."""
    strict_versions: bool = False
    """Stop where a process has other versions of libraries than the run began with, instead of warning."""
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
    overwrite: bool = False
    """Remove the outputs of an earlier run (only files that its ledger lists) and start anew."""
    ledger: str | None = None
    """Put the ledger here instead of DST.texneg."""
    steal_lock: bool = False
    """Take over a run whose driver is gone although its lock looks alive."""

    @property
    def ledger_path(self) -> Place:
        """Folder of the run's ledger."""
        return ledger_path(self.dst, self.ledger)

    @property
    def cores(self) -> int:
        """Cores that an embedded cluster uses."""
        return self.workers or len(os.sched_getaffinity(0))

    @property
    def address(self) -> str | None:
        """Address or file of the scheduler to use, unless texneg starts one."""
        if self.scheduler or self.cluster == "slurm" or self.task:
            return self.scheduler
        return os.environ.get("DASK_SCHEDULER_ADDRESS") or None

    @property
    def embedded(self) -> bool:
        """Whether the workers are processes that texneg starts on this machine."""
        return self.address is None and self.cluster is None

    @property
    def share(self) -> tuple[int, int] | None:
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

    @property
    def in_process(self) -> bool:
        """Whether the textures are made in this process."""
        alone = self.executor is None and self.task is not None and self.cores == 1
        return alone or self.executor == "sync"

    def command(self, *, once: bool = False) -> str:
        """The command line of this run: positional arguments and whatever differs from the defaults.

        With `once` also what is asked for one time, which whoever resumes has to leave out.
        """
        words = ["texneg", "synth", self.src, self.dst]
        for field in fields(self)[2:]:
            value = getattr(self, field.name)
            if value == field.default or (field.name in _ONCE and not once):
                continue
            words.append(f"--{field.name.replace('_', '-')}")
            if value is not True:
                words += [str(v) for v in (value if isinstance(value, tuple) else (value,))]
        return shlex.join(words)


def ledger_path(dst: str, ledger: str | None = None) -> Place:
    """Folder of a run's ledger: DST.texneg beside DST, unless it was put elsewhere. Absolute.

    Raises:
        InputError: DST is a bucket, which has nothing beside it.
    """
    if ledger:
        return absolute(place(ledger))
    beside = resolved(place(dst))
    if isinstance(beside, Url) and beside.is_bucket:
        raise InputError(f"{dst} is a whole bucket: give a folder in it, or a --ledger elsewhere")
    return place(f"{beside}.texneg")


# Not repeated when a run is resumed.
_ONCE = ("overwrite", "recheck", "steal_lock", "extend", "retry_quarantined", "dry_run", "plan_only")


def settings_of(config: SynthConfig, kind: Kind) -> Settings:
    """The settings of a run on a source of that kind."""
    paper = config.preset == "paper"
    form = config.format or ("folder" if paper else "webdataset" if config.layout == "paired" else kind)
    return Settings(
        format=form,
        size=config.size,
        exemplar_size=config.exemplar_size,
        seed=config.seed,
        method=config.method,
        method_version=PRESETS[config.method].version,
        encoding="png" if paper else config.encoding,
        small=config.small,
        splits=config.splits,
        naming=config.naming,
        limit=config.limit,
        shard_size=config.shard_size if (kind, form) == ("folder", "webdataset") else None,
        layout=config.layout,
        exif="apply" if paper else config.exif,
        allow_truncated=config.allow_truncated,
    )
