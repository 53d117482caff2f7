"""Pre-training: from a configuration to a run folder with `encoder.pt`."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from texneg import __version__
from texneg.datasets.images import ImageSet, fingerprint
from texneg.datasets.pairs import pair
from texneg.datasets.storage.atomic import write_json
from texneg.errors import InputError
from texneg.train.checks import check, check_size
from texneg.train.config import PretrainConfig
from texneg.train.data.loader import Batches, OnDemand, Resident, crowded
from texneg.train.data.splits import open_textures, open_train
from texneg.train.data.views import U8, Augmentation
from texneg.train.device import pick_device
from texneg.train.engine import checkpoint
from texneg.train.engine.loop import train
from texneg.train.engine.optimiser import make_optimizer
from texneg.train.engine.state import Training
from texneg.train.evaluate.online_knn import OnlineKnn
from texneg.train.flags import PretrainFlags
from texneg.train.methods.byol import BYOL
from texneg.train.methods.moco import MoCo
from texneg.train.negatives.negatives import kinds_of, on_device, paired_textures
from texneg.train.networks.batch_norm import processes, rank
from texneg.train.networks.network import Architecture

CONFIG = "config.json"


def pretrain(config: PretrainFlags) -> int:
    """Train a recipe with the flags' changes; the verb `texneg pretrain`."""
    with process_group(pick_device(config.device)):
        folder = run_pretraining(config, log=status_line)
        if rank() == 0:
            end = "finished" if finished(folder) else "stopped as asked; run the same command again to go on"
            status_line(f"{folder}: {end}\n")
    return 0


def status_line(text: str) -> None:
    """A line of progress: on a terminal in place of the one before, elsewhere below it."""
    if sys.stdout.isatty():
        print(f"\r\x1b[K{text}", end="", flush=True)
    else:
        print(text.rstrip(), flush=True)


def run_pretraining(config: PretrainConfig, *, log: Callable[[str], None] = print) -> Path:
    """Train, or go on training, and return the run folder: config, metrics, checkpoint and encoder.

    Under `torchrun` every process calls this. A folder that is finished returns at once; one that was stopped
    at any moment goes on from its last checkpoint, on the CPU with bitwise the same result.

    Args:
        config: the run.
        log: receives a line of progress now and then.

    Raises:
        InputError: a configuration that cannot train, data that cannot be read, a folder of another run.
        RunFailed: the loss became infinite or not a number, or a file cannot be written.
        KeyboardInterrupt: stopped by SIGINT or SIGTERM, with the state saved.
    """
    check(config, world=processes())
    folder = Path(config.out or f"runs/{config.recipe}-s{config.seed}")
    if (folder / CONFIG).is_file():
        checkpoint.require_same(folder, read_config(folder / CONFIG), config)
    if finished(folder):
        return folder
    device = torch.device(pick_device(config.device))
    train_set = open_train(config.data)
    textures = needed_textures(config, train_set) if "texture" in dict(config.kinds) else None
    for warning in (check_size(config, len(train_set)), crowded(config.workers, processes())):
        if warning and rank() == 0:
            log(f"warning: {warning}\n")
    run = assemble(config, folder, train_set, textures, device, log)
    run.resume()
    if rank() == 0:
        with checkpoint.writing(folder / CONFIG):
            write_json(folder / CONFIG, record(config))
    train(run)
    if run.step == run.total and rank() == 0:
        checkpoint.write_torch(folder / checkpoint.ENCODER, run.packed_encoder())
    return folder


def needed_textures(config: PretrainConfig, train_set: ImageSet) -> ImageSet:
    """The textures of the training images.

    Raises:
        InputError: there are none; says how to come by them.
    """
    textures = open_textures(config.textures, train_set, config.data)
    if textures is None:
        raise InputError(
            f"negatives of kind texture: {config.data} has no textures beside its images; name them by"
            " --textures (texneg synth makes them), or train from tars of both (texneg synth --layout paired)"
        )
    return textures


def assemble(
    config: PretrainConfig,
    folder: Path,
    train_set: ImageSet,
    textures: ImageSet | None,
    device: torch.device,
    log: Callable[[str], None],
) -> Training:
    """Everything of a run in its state before the first step."""
    c = config
    method = make_method(c, total=c.epochs * (len(train_set) // c.batch))
    method = method.to(device).to(memory_format=torch.channels_last)
    batches = make_batches(c, train_set, textures, log, deferred=device.type == "cuda" and on_device(c))
    watched = c.knn_every > 0 and rank() == 0
    return Training(
        config=c,
        folder=folder,
        batches=batches,
        method=method,
        optimizer=make_optimizer(method, name=c.optimizer, lr=c.lr, weight_decay=c.weight_decay),
        device=device,
        data=fingerprint(train_set),
        textures="" if textures is None else fingerprint(textures),
        monitor=OnlineKnn(train_set, c.data, c.image_size) if watched else None,
        log=log,
    )


def make_batches(
    config: PretrainConfig,
    train_set: ImageSet,
    textures: ImageSet | None,
    log: Callable[[str], None],
    *,
    deferred: bool = False,
) -> Batches:
    """The data of a run: images, their textures where asked for, in memory where asked for.

    With `deferred` the loop makes the negatives, on its device.
    """
    c, n = config, len(train_set)
    image: Callable[[int], U8] = OnDemand(train_set)
    texture: Callable[[int], U8] | None = None
    if textures is not None:
        texture = OnDemand(textures, pair(train_set, textures))
    if c.resident:
        if rank() == 0:
            log(f"reading {n} images into memory")
        image = Resident(image, n, c.resident)
        texture = texture and Resident(texture, n, c.resident)
    augmentation = Augmentation(c.image_size, c.crop, c.jitter, c.grey, c.blur)
    paired = texture and partial(paired_textures, texture=texture, augmentation=augmentation)
    return Batches(
        image=image,
        n=n,
        augmentation=augmentation,
        batch=c.batch,
        seed=c.seed,
        kinds=kinds_of(c, paired),
        count=c.count,
        deferred=deferred,
        rank=rank(),
        world=processes(),
    )


def make_method(config: PretrainConfig, *, total: int) -> MoCo | BYOL:
    """The networks of a run of `total` steps, with their initial weights."""
    c = config
    a = Architecture(
        arch=c.arch, stem=c.stem, width=c.width, layers=c.layers, head=c.method, hidden=c.hidden, dim=c.dim
    )
    return MoCo(c, a) if c.method == "moco" else BYOL(c, a, total)


def record(config: PretrainConfig) -> dict[str, Any]:
    """What `config.json` holds: the settings and what made them into a run."""
    return {
        "config": asdict(config),
        "command": sys.argv,
        "version": __version__,
        "torch": torch.__version__,
        "processes": processes(),
    }


def finished(folder: Path) -> bool:
    """Whether the run has written its encoder and a second call has nothing to do."""
    return (folder / checkpoint.ENCODER).is_file()


def read_config(path: Path) -> dict[str, Any]:
    """The settings in a `config.json`.

    Raises:
        InputError: it is damaged.
    """
    try:
        settings: dict[str, Any] = json.loads(path.read_text("utf-8"))["config"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged; use another --out") from error
    return settings


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """Join the other processes that `torchrun` started; one process alone needs none."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if device.startswith("cuda"):
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()
