"""Pre-training: from a configuration to a run folder with `encoder.pt`."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch

from texneg import __version__
from texneg.cli.console import out, print_status
from texneg.cli.guard import refuse_rerun
from texneg.datasets.cache import Cache, open_cache
from texneg.datasets.storage.json_files import read_json, write_json
from texneg.datasets.storage.places import require_folder
from texneg.errors import InputError, RunFailed
from texneg.train.assemble import UNREADABLE, assemble, choose_images, require_textures
from texneg.train.config import PretrainConfig
from texneg.train.data.loader import warn_if_oversubscribed
from texneg.train.data.reading import find_places
from texneg.train.data.sources import Cached
from texneg.train.data.splits import open_train
from texneg.train.data.workers import check_workers
from texneg.train.device import pick_device
from texneg.train.distributed import gather_dicts, process_group, processes, rank
from texneg.train.engine import checkpoint
from texneg.train.engine.history import Stretch, extend_history, read_history
from texneg.train.engine.loop import train
from texneg.train.flags import read_flags
from texneg.train.networks.encoder import load_checkpoint
from texneg.train.recipes import list_recipes

NO_MEMORY = re.compile(
    "can't allocate memory|out of memory|CUBLAS_STATUS_ALLOC_FAILED|Cannot allocate memory"
)
CONFIG = "config.json"


def read_command(words: list[str]) -> PretrainConfig:
    """Read a recipe and the changes to it from a command line; --list shows all recipes instead."""
    if "--list" in words:
        print_status(list_recipes() + "\n")
        raise SystemExit
    return read_flags(words)


def pretrain(config: PretrainConfig) -> int:
    """Train a run, or go on training it; the verb `texneg pretrain`."""
    with process_group(pick_device(config.run.device)):
        bar = sys.stdout.isatty() and sys.stderr.isatty()
        folder = run_pretraining(config, log=print_line if bar else print_status, bar=bar)
        if rank() == 0:
            stopped = "stopped as asked; run the same command again to go on"
            print_status(f"{folder}: {'finished' if is_finished(folder) else stopped}\n")
    return 0


def print_line(text: str) -> None:
    """Print a line beside a progress bar."""
    out(text.rstrip())


def run_pretraining(config: PretrainConfig, *, log: Callable[[str], None] = print, bar: bool = False) -> Path:
    """Train, or go on training, and return the run folder: config, metrics, checkpoint and encoder.

    Under `torchrun` every process calls this. A folder that is finished returns at once; one that was stopped
    at any moment goes on from its last checkpoint, on the CPU with bitwise the same result. A folder belongs
    to a run from its first checkpoint on: until then, any other run may start in it.

    Args:
        config: the run.
        log: receives a line of progress now and then.
        bar: show a progress bar in place of these lines, if standard error is a terminal.

    Raises:
        InputError: a configuration that cannot train, data that cannot be read, a folder of another run.
        RunFailed: the loss became infinite or not a number, or a file cannot be written.
        KeyboardInterrupt: stopped by a signal, such as SIGTERM, with the state saved.
    """
    refuse_rerun()
    config.check(world=processes())
    config, folder, cache, begun = find_run(config)
    if is_finished(folder):
        return folder
    require_folder(folder, "--out")
    device = torch.device(pick_device(config.run.device))
    train_set = open_train(config.run.data)
    textures = require_textures(config, train_set) if config.negatives.need_textures else None
    if cache is not None:
        policy = config.reading
        cache.check(train_set, skip_unreadable=policy.skip_unreadable, allow_truncated=policy.allow_truncated)
    whole, known = train_set, None if cache is None else cache.unreadable
    train_set, textures, damaged = choose_images(config.reading, folder, train_set, textures, log, known)
    cached = None if cache is None else Cached(cache, find_places(train_set, whole))
    oversubscribed = warn_if_oversubscribed(config.run.workers, processes())
    check_workers(config.run.workers)
    for warning in (*config.warnings(world=processes()), config.check_images(len(train_set)), oversubscribed):
        if warning and rank() == 0:
            log(f"warning: {warning}\n")
    with memory_errors(config, device):
        training = assemble(config, folder, train_set, textures, device, log, cached)
    training.bar = bar
    training.resume()
    if len(set(gather_dicts({rank(): training.step}).values())) > 1:
        raise InputError(f"--out {folder}: processes find other states there; all nodes must see one folder")
    if rank() == 0:
        now = Stretch(training.step, processes(), device.type, torch.__version__)
        earlier = read_history(read_json(folder / CONFIG)) if begun else []
        history, changed = extend_history(earlier, now)
        if changed:
            log(f"warning: {changed}\n")
        with checkpoint.write_errors(folder / CONFIG):
            if config.reading.skip_unreadable:
                write_json(folder / UNREADABLE, {"images": damaged})
            else:
                (folder / UNREADABLE).unlink(missing_ok=True)  # of a start that came to no checkpoint
            write_json(folder / CONFIG, describe_run(config, history))
    with memory_errors(config, device):
        train(training)
    if training.step == training.total and rank() == 0:
        checkpoint.write_torch(folder / checkpoint.ENCODER, training.export())
    return folder


class Found(NamedTuple):
    """A run with what is there of it."""

    config: PretrainConfig
    """With what its cache decides."""
    folder: Path
    cache: Cache | None
    begun: bool
    """It has a checkpoint or an encoder, and the record of its settings."""


def find_run(config: PretrainConfig) -> Found:
    """Find the folder of a run and its cache.

    Raises:
        InputError: the folder is that of another run, or there is no such cache.
    """
    folder = Path(config.run.out or f"runs/{config.recipe}-s{config.seed}")
    saved, cache = read_identity(folder), None
    try:
        cache = open_cache(config.run.cache) if config.run.cache else None
    except InputError:
        if not (saved and is_finished(folder)):
            raise
        config = config.read_as(saved["settings"])  # the cache was needed for training alone
    else:
        config = config.read_from(cache)
    begun = is_finished(folder) or (folder / checkpoint.CHECKPOINT).is_file()
    if saved and begun:
        checkpoint.require_same(folder, saved, config.identity())
    return Found(config, folder, cache, begun and saved is not None)


@contextmanager
def memory_errors(config: PretrainConfig, device: torch.device) -> Iterator[None]:
    """Name what to lower where memory is exhausted; the last checkpoint is kept.

    Raises:
        RunFailed: in place of the error of whatever asked for memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not (isinstance(error, torch.OutOfMemoryError | MemoryError) or NO_MEMORY.search(str(error))):
            raise
        o = config.optimisation
        raise RunFailed(
            f"out of memory on {device}: make steps in parts (--accumulate {2 * o.accumulate}), or use a"
            f" smaller --batch (now {o.batch}) or --image-size (now {config.views.image_size}); in a new"
            " --out, if this one has a checkpoint"
        ) from error


def describe_run(config: PretrainConfig, history: list[Stretch]) -> dict[str, Any]:
    """Describe a run for `config.json`: settings, those of its baseline, and what made them into a run."""
    return {
        **config.identity(),
        "baseline": config.baseline().settings(),
        "title": config.title,
        "run": asdict(config.run),
        "command": sys.argv,
        "version": __version__,
        "torch": torch.__version__,
        "history": [asdict(stretch) for stretch in history],
    }


def is_finished(folder: Path) -> bool:
    """Return True if the run has written its encoder, so that a second call has nothing to do."""
    return (folder / checkpoint.ENCODER).is_file()


def read_identity(folder: Path) -> dict[str, Any] | None:
    """Read recipe, seed and settings of the run in a folder; None where there is none.

    Raises:
        InputError: its files are damaged, of an earlier form, or not of a run.
    """
    if (folder / CONFIG).is_file():
        path, saved = folder / CONFIG, read_json(folder / CONFIG)
    elif is_finished(folder):
        path = folder / checkpoint.ENCODER
        saved = load_checkpoint(path).get("info", {})
    else:
        return None
    if not isinstance(saved.get("settings"), dict):
        raise InputError(f"{path} is damaged, or of no run of this version of texneg; use another --out")
    return {name: saved.get(name) for name in ("recipe", "seed", "settings")}
