"""What a texture run is told on the command line."""

import os
import shlex
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Literal

from texneg.datasets.encode import Encoding
from texneg.datasets.sources import Kind
from texneg.errors import InputError
from texneg.options import Positional
from texneg.synth.settings import Settings, Small


@dataclass(frozen=True)
class SynthConfig:
    """Make one texture for every image of a data set. Run the same command again to resume."""

    src: Positional[str]
    """Class-folder tree, flat folder of images, folder of WebDataset .tar shards, or one .tar."""
    dst: Positional[str]
    """Folder for the textures; the ledger of the run is DST.texneg beside it."""
    format: Kind | None = None
    """Output: class folders, or WebDataset tar shards. Default: like the input."""
    size: int = 224
    """Side of a texture, px (16 to 1024)."""
    exemplar_size: int = 96
    """Side of the two patches a texture is made of, px (8 or more)."""
    seed: int = 0
    """Textures are a function of this and the image's key."""
    method: str = "default"
    """Synthesis method: fast, default or quality."""
    encoding: Encoding = "webp"
    """Lossless file format of a texture."""
    small: Small = "shrink-patch"
    """Images smaller than a patch: take a smaller patch (down to a third), enlarge the image, or skip it."""
    splits: Literal["auto", "none"] = "auto"
    """auto: train, val, validation and test below SRC are splits. none: they are ordinary folders."""
    naming: Literal["replace", "append"] = "replace"
    """Name of a texture: the image's with its suffix replaced, or appended to it (x.jpg.webp)."""
    limit: int | None = None
    """Take only this many images, spread evenly over the data set."""
    shard_size: int = 1000
    """Images per commit, and per output tar when the input is a tree."""
    part_size: int | None = None
    """Images per task, the most that a kill can lose per core. Default: by the size of the data set."""
    workers: int = 0
    """CPU cores to use; 0 is all of this machine."""
    threads_per_worker: int = 0
    """Threads in one worker process; 0 is up to 8."""
    scheduler: str | None = None
    """Address of a running Dask scheduler (tcp://host:port) instead of an embedded cluster."""
    executor: Literal["dask", "sync"] = "dask"
    """sync: one image after the other in this process, for debugging."""
    max_error_rate: float = 0.01
    """Stop when more than this share of the images cannot be used (judged from 1000 images on)."""
    retries: int = 2
    """How often a failed task is tried again before its shard is given up."""
    drain_timeout: float = 60.0
    """After Ctrl-C or SIGTERM, seconds to let tasks in flight finish."""
    ledger: str | None = None
    """Put the ledger here instead of DST.texneg."""
    overwrite: bool = False
    """Remove the outputs of an earlier run (only files that its ledger lists) and start anew."""
    recheck: bool = False
    """On resume, hash every finished output and make the damaged and missing ones again."""
    steal_lock: bool = False
    """Take over a run whose driver is gone although its lock looks alive."""

    @property
    def ledger_path(self) -> Path:
        """Folder of the run's ledger."""
        return ledger_path(self.dst, self.ledger)

    @property
    def cores(self) -> int:
        """Cores that an embedded cluster uses."""
        return self.workers or len(os.sched_getaffinity(0))

    def command(self) -> str:
        """The command line of this run: positional arguments and whatever differs from the defaults."""
        words = ["texneg", "synth", self.src, self.dst]
        for field in fields(self):
            value = getattr(self, field.name)
            if field.default is MISSING or value == field.default or field.name in _ONCE:
                continue
            flag = f"--{field.name.replace('_', '-')}"
            words += [flag] if value is True else [flag, str(value)]
        return shlex.join(words)

    def check(self) -> None:
        """Raise InputError for a value out of its range."""
        from texneg.synth.texture import LARGEST_OUTPUT, METHODS, SMALLEST_EXEMPLAR, SMALLEST_OUTPUT

        allowed: list[tuple[str, bool, str]] = [
            (
                "size",
                SMALLEST_OUTPUT <= self.size <= LARGEST_OUTPUT,
                f"{SMALLEST_OUTPUT} to {LARGEST_OUTPUT} px",
            ),
            (
                "exemplar_size",
                SMALLEST_EXEMPLAR <= self.exemplar_size <= 2048,
                f"{SMALLEST_EXEMPLAR} to 2048 px",
            ),
            ("seed", 0 <= self.seed < 1 << 64, "0 to 2^64 - 1"),
            ("method", self.method in METHODS, " or ".join(METHODS)),
            ("limit", self.limit is None or self.limit > 0, "1 or more"),
            ("shard_size", self.shard_size > 0, "1 or more"),
            ("part_size", self.part_size is None or self.part_size > 0, "1 or more"),
            ("workers", self.workers >= 0, "0 or more"),
            ("threads_per_worker", self.threads_per_worker >= 0, "0 or more"),
            ("max_error_rate", 0 <= self.max_error_rate <= 1, "0 to 1"),
            ("retries", self.retries >= 0, "0 or more"),
        ]
        for name, good, text in allowed:
            if not good:
                raise InputError(f"--{name.replace('_', '-')} {getattr(self, name)}: allowed is {text}")


def ledger_path(dst: str, ledger: str | None = None) -> Path:
    """Folder of a run's ledger: DST.texneg beside DST, unless it was put elsewhere. Absolute."""
    return Path(ledger).absolute() if ledger else Path(f"{Path(dst).resolve()}.texneg")


_ONCE = ("overwrite", "recheck", "steal_lock")  # not repeated when a run is resumed


def settings_of(config: SynthConfig, kind: Kind) -> Settings:
    """The settings of a run on a source of that kind."""
    from texneg.synth.texture import METHOD_VERSION

    form = config.format or kind
    return Settings(
        format=form,
        size=config.size,
        exemplar_size=config.exemplar_size,
        seed=config.seed,
        method=config.method,
        method_version=METHOD_VERSION,
        encoding=config.encoding,
        small=config.small,
        splits=config.splits,
        naming=config.naming,
        limit=config.limit,
        shard_size=config.shard_size if (kind, form) == ("folder", "webdataset") else None,
    )
