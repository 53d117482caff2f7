"""Pre-training: from a configuration to a run folder with `encoder.pt`."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from texneg import __version__
from texneg.cli.console import out, plural, print_status
from texneg.cli.guard import refuse_rerun
from texneg.datasets.fingerprint import sample_fingerprint
from texneg.datasets.images import ImageSet
from texneg.datasets.pairs import pair
from texneg.datasets.storage.json_files import read_json, write_json
from texneg.datasets.storage.places import require_folder
from texneg.errors import InputError, RunFailed
from texneg.train.config import PretrainConfig
from texneg.train.data.loader import Batches, OnDemand, Resident, warn_if_oversubscribed
from texneg.train.data.reading import Reading, find_damaged, leave_out
from texneg.train.data.splits import open_textures, open_train
from texneg.train.data.views import U8
from texneg.train.data.workers import check_workers
from texneg.train.device import pick_device
from texneg.train.distributed import gather_dicts, process_group, processes, rank, share
from texneg.train.engine import checkpoint
from texneg.train.engine.history import Stretch, extend_history, read_history
from texneg.train.engine.loop import train
from texneg.train.engine.optimiser import make_optimiser
from texneg.train.engine.run import Training
from texneg.train.evaluate.online_knn import OnlineKnn
from texneg.train.flags import read_flags
from texneg.train.methods import Method
from texneg.train.networks.backbone import Network
from texneg.train.networks.batch_norm import find_batch_norms
from texneg.train.networks.encoder import load_checkpoint
from texneg.train.networks.imported import start_from

NO_MEMORY = re.compile(
    "can't allocate memory|out of memory|CUBLAS_STATUS_ALLOC_FAILED|Cannot allocate memory"
)
CONFIG, UNREADABLE = "config.json", "unreadable.json"


def read_command(words: list[str]) -> PretrainConfig:
    """Read a recipe and the changes to it from a command line."""
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
    folder = Path(config.run.out or f"runs/{config.recipe}-s{config.seed}")
    begun = is_finished(folder) or (folder / checkpoint.CHECKPOINT).is_file()
    if (saved := read_identity(folder)) and begun:
        checkpoint.require_same(folder, saved, config.identity())
    if is_finished(folder):
        return folder
    require_folder(folder, "--out")
    device = torch.device(pick_device(config.run.device))
    train_set = open_train(config.run.data)
    textures = require_textures(config, train_set) if config.negatives.need_textures else None
    train_set, textures, damaged = choose_images(config.reading, folder, train_set, textures, log)
    oversubscribed = warn_if_oversubscribed(config.run.workers, processes())
    check_workers(config.run.workers)
    for warning in (*config.warnings(world=processes()), config.check_images(len(train_set)), oversubscribed):
        if warning and rank() == 0:
            log(f"warning: {warning}\n")
    with memory_errors(config, device):
        training = assemble(config, folder, train_set, textures, device, log)
    training.bar = bar
    training.resume()
    if len(set(gather_dicts({rank(): training.step}).values())) > 1:
        raise InputError(f"--out {folder}: processes find other states there; all nodes must see one folder")
    if rank() == 0:
        now = Stretch(training.step, processes(), device.type, torch.__version__)
        earlier = read_history(read_json(folder / CONFIG)) if begun and saved else []
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


def require_textures(config: PretrainConfig, train_set: ImageSet) -> ImageSet:
    """Open the textures of the training images.

    Raises:
        InputError: there are none; says how to come by them.
    """
    data = config.run.data
    textures = open_textures(config.run.textures, train_set, data)
    if textures is None:
        raise InputError(
            f"negatives of kind texture: {data} has no textures beside its images; name them by"
            " --textures (texneg synth makes them), or train from tars of both (texneg synth --layout paired)"
        )
    return textures


def choose_images(
    reading: Reading, folder: Path, images: ImageSet, textures: ImageSet | None, log: Callable[[str], None]
) -> tuple[ImageSet, ImageSet | None, dict[str, str]]:
    """Apply the policy for damaged images: the images and textures to train on, and those that are left out.

    A run that has a checkpoint keeps its list; else each process decodes its share of the images once.

    Args:
        reading: the policy.
        folder: of the run.
        images: all that --data holds.
        textures: of these.
        log: receives a line before all is decoded, and one if something is left out.

    Returns:
        Images, textures, and why images are left out, by full name.

    Raises:
        InputError: no image can be read, or the list of a run that has a checkpoint is gone or damaged.
    """
    images = replace(images, allow_truncated=reading.allow_truncated)
    textures = textures and replace(textures, allow_truncated=reading.allow_truncated)
    if not reading.skip_unreadable:
        return images, textures, {}
    begun = rank() == 0 and (folder / checkpoint.CHECKPOINT).is_file()
    damaged = share(read_left_out(folder / UNREADABLE) if begun else None)
    if damaged is None:
        if rank() == 0:
            log(f"decoding {len(images)} images once to find those that cannot be read\n")
        damaged = find_damaged(images, textures)
    kept = leave_out(images, damaged)
    left = len(images) - len(kept)
    if left == len(images):
        raise InputError(f"no image of {images.root} can be read (first: {next(iter(damaged.values()))})")
    if left and rank() == 0:
        first = next(iter(damaged.values()))
        log(f"warning: {plural(left, 'image')} of {len(images)} left out (first: {first})\n")
    if textures is not None:
        textures = textures.take(np.unique(pair(kept, textures)))
    return kept, textures, damaged


def read_left_out(path: Path) -> dict[str, str]:
    """Read the list of images that a run goes without.

    Raises:
        InputError: there is none, or it is damaged.
    """
    remedy = "the run cannot go on without this list: bring the file back, or use another --out"
    images = read_json(path, remedy=remedy).get("images")
    if not isinstance(images, dict) or not all(isinstance(why, str) for why in images.values()):
        raise InputError(f"{path} is damaged; {remedy}")
    return images


def assemble(
    config: PretrainConfig,
    folder: Path,
    train_set: ImageSet,
    textures: ImageSet | None,
    device: torch.device,
    log: Callable[[str], None],
) -> Training:
    """Make everything of a run, in its state before the first step."""
    steps = config.optimisation.epochs * (len(train_set) // config.optimisation.batch)
    method = config.method.build(
        config.network, config.views.image_size, seed=config.seed, steps=steps, images=len(train_set)
    )
    if config.network.init and not (folder / checkpoint.CHECKPOINT).is_file():
        networks = [part for part in method.modules() if isinstance(part, Network)]
        keys = start_from(
            config.network.init,
            [network.backbone for network in networks],
            config.network,
            config.views.image_size,
        )
        for line in keys.describe() if rank() == 0 else ():
            log(f"--init {config.network.init}: {line}\n")
    require_statistics(config, method)
    method.amp = config.optimisation.amp
    method = method.to(device).to(memory_format=torch.channels_last)
    deferred = device.type == "cuda" and config.negatives.on_device
    watched = config.run.knn_every > 0 and rank() == 0
    knn = None
    if watched:
        knn = OnlineKnn(train_set, config.run.data, config.views.image_size, config.reading)
        if knn.warning:
            log(f"warning: {knn.warning}\n")
    return Training(
        run=config.run,
        folder=folder,
        identity=config.identity(),
        batches=make_batches(config, train_set, textures, log, deferred=deferred),
        method=method,
        objective=config.objective,
        optimiser=make_optimiser(method, config.optimisation),
        optimisation=config.optimisation,
        device=device,
        data=sample_fingerprint(train_set),
        textures="" if textures is None else sample_fingerprint(textures),
        labels=torch.from_numpy(train_set.labels) if (train_set.labels >= 0).all() else None,
        monitor=None if knn is None else knn.measure,
        log=log,
    )


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


def require_statistics(config: PretrainConfig, method: Method) -> None:
    """Refuse batch norm over one image.

    Raises:
        InputError: each pass is of one image.
    """
    images = config.optimisation.batch // config.optimisation.accumulate
    alone = images // (1 if config.network.bn == "sync" else processes()) == 1
    if alone and find_batch_norms(method):
        raise InputError(
            f"--batch {config.optimisation.batch} --accumulate {config.optimisation.accumulate}:"
            f" one image a pass, and --arch {config.network.arch} normalises over several; use fewer parts"
            " or a larger --batch"
        )


def make_batches(
    config: PretrainConfig,
    train_set: ImageSet,
    textures: ImageSet | None,
    log: Callable[[str], None],
    *,
    deferred: bool = False,
) -> Batches:
    """Make the batches of a run, of images and textures in memory or read when they are needed.

    With `deferred` the loop makes the negatives, on its device.
    """
    n, resident = len(train_set), config.optimisation.resident
    image: Callable[[int], U8] = OnDemand(train_set)
    texture: Callable[[int], U8] | None = None
    if textures is not None:
        texture = OnDemand(textures, pair(train_set, textures))
    if resident:
        if rank() == 0:
            log(f"reading {n} images into memory")
        image = Resident(image, n, resident)
        texture = texture and Resident(texture, n, resident)
    return Batches(
        image=image,
        n=n,
        augmentation=config.views,
        batch=config.optimisation.batch,
        seed=config.seed,
        negatives=config.negatives,
        texture=texture,
        deferred=deferred,
        rank=rank(),
        world=processes(),
    )


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
