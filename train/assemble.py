"""Everything that a run consists of, made of its configuration, in the state before the first step."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from texneg.cli.console import plural
from texneg.datasets.fingerprint import sample_fingerprint
from texneg.datasets.images import ImageSet
from texneg.datasets.pairs import pair
from texneg.datasets.storage.json_files import read_json
from texneg.errors import InputError
from texneg.train.config import PretrainConfig
from texneg.train.data.groups import read_groups
from texneg.train.data.loader import Batches
from texneg.train.data.on_device import DeviceImages
from texneg.train.data.reading import Reading, find_damaged, leave_out
from texneg.train.data.sources import Cached, Files, Memory, Read
from texneg.train.data.splits import open_textures, require_labels
from texneg.train.distributed import processes, rank, share
from texneg.train.engine import checkpoint
from texneg.train.engine.graph import RecordedStep, compile_networks, records
from texneg.train.engine.optimiser import make_optimiser
from texneg.train.engine.run import Training
from texneg.train.engine.step import mean_cosines
from texneg.train.evaluate.online_knn import OnlineKnn
from texneg.train.methods import Method
from texneg.train.negatives.negative_pass import Teaching
from texneg.train.networks.backbone import Network
from texneg.train.networks.batch_norm import find_batch_norms
from texneg.train.networks.imported import start_from
from texneg.train.networks.small_maps import replace_convolutions

UNREADABLE = "unreadable.json"


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
    reading: Reading,
    folder: Path,
    images: ImageSet,
    textures: ImageSet | None,
    log: Callable[[str], None],
    known: dict[str, str] | None = None,
) -> tuple[ImageSet, ImageSet | None, dict[str, str]]:
    """Apply the policy for damaged images and missing textures: what to train on, and what is left out.

    A run that has a checkpoint keeps its list; else each process decodes its share of the images once.

    Args:
        reading: the policy.
        folder: of the run.
        images: all that --data holds.
        textures: of these.
        log: receives a line before all is decoded, and one if something is left out.
        known: why some images cannot be read, by full name, where a cache has decoded all.

    Returns:
        Images, textures, and why images are left out, by full name.

    Raises:
        InputError: no image can be read, or the list of a run that has a checkpoint is gone or damaged.
    """
    if textures is not None:
        images = keep_textured(reading, images, textures, log)
    if reading.allow_truncated:
        images = replace(images, allow_truncated=True)
    textures = textures and replace(textures, allow_truncated=reading.allow_truncated)
    if not reading.skip_unreadable:
        return images, textures, {}
    begun = rank() == 0 and (folder / checkpoint.CHECKPOINT).is_file()
    damaged = share(read_left_out(folder / UNREADABLE) if begun else None)
    if damaged is None:
        if rank() == 0 and known is None:
            log(f"decoding {len(images)} images once to find those that cannot be read\n")
        damaged = find_damaged(images, textures, known)
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


def keep_textured(
    reading: Reading, images: ImageSet, textures: ImageSet, log: Callable[[str], None]
) -> ImageSet:
    """Leave out images without a texture, and say how many, if that is the policy.

    Raises:
        InputError: no image has a texture.
    """
    if not reading.skip_untextured:
        return images
    missing = np.flatnonzero(pair(images, textures, allow_missing=True) < 0)
    if len(missing) and rank() == 0:
        first = images.full_name(int(missing[0]))
        found = plural(len(missing), "image")
        log(f"warning: {found} of {len(images)} without texture left out (first: {first})\n")
    return images.take(np.setdiff1d(np.arange(len(images)), missing))


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
    cached: Cached | None = None,
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
    identity = config.identity()
    if (groups := find_groups(config, train_set)) is not None:
        method.use_groups(torch.from_numpy(groups))
        identity["groups"] = sha256(groups.tobytes()).hexdigest()[:16]
    require_statistics(config, method)
    if config.negative_pass.negatives_half and config.negatives.kinds:
        require_any_size(config, method)
    method.centring = config.objective.centring
    method.bfloat16_on = config.optimisation.bfloat16_on
    method = place(method, device)
    if config.run.compile:
        compile_networks(method)
    recorded = None
    steady = config.negative_pass.steady or not config.negatives.kinds
    parts = config.optimisation.accumulate
    synthetic = config.objective.synthetic.active
    if records(
        config.run.graphs,
        method,
        config.views.image_size,
        device,
        parts=parts,
        steady=steady,
        synthetic=synthetic,
    ):
        recorded = RecordedStep(method, config.objective, mean_cosines)
    batches = make_batches(config, train_set, textures, log, device=device, cached=cached)
    on_device = isinstance(batches.image, DeviceImages)
    watched = config.run.knn_every > 0 and rank() == 0
    knn = None
    if watched:
        knn = OnlineKnn(train_set, config.run.data, config.views.image_size, config.reading)
        if knn.warning:
            log(f"warning: {knn.warning}\n")
    return Training(
        run=replace(config.run, workers=0) if on_device else config.run,  # nothing is left to them
        folder=folder,
        identity=identity,
        batches=batches,
        teaching=Teaching(config.negative_pass, batches.steps_per_epoch),
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
        recorded=recorded,
    )


def place(method: Method, device: torch.device) -> Method:
    """Move a method to a device, with networks as they are fast there; values and names stay the same."""
    method = method.to(device).to(memory_format=torch.channels_last)
    if device.type == "cpu":
        replace_convolutions(method)
    return method


def find_groups(config: PretrainConfig, images: ImageSet) -> npt.NDArray[np.int64] | None:
    """Find the group of each image (n,), whose members are no negatives of each other; None where all are.

    Raises:
        InputError: images without classes, all of one group, or see `read_groups`.
    """
    exclude = config.objective.selection.exclude
    if exclude is None:
        return None
    found = read_groups(config.run.groups, images) if config.run.groups else require_labels(images).labels
    if (found == found[0]).all() and found[0] >= 0:
        raise InputError(
            f"--exclude {exclude}: all {len(images)} images are of one {exclude}, and no negatives are left;"
            " leave it out"
        )
    return found


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
            f" one image a pass, and --arch {config.network.arch} normalises over several; use fewer parts or"
            " a larger --batch"
        )


def require_any_size(config: PretrainConfig, method: Method) -> None:
    """Refuse negatives of half the side for a network that takes images of one size.

    Raises:
        InputError: a vision transformer, say.
    """
    networks = (part.backbone for part in method.modules() if isinstance(part, Network))
    if any(getattr(getattr(one, "patch_embed", None), "strict_img_size", False) for one in networks):
        raise InputError(
            f"--negatives-half: --arch {config.network.arch} takes images of one size; leave it out, or use a"
            " convolutional network"
        )


def make_batches(
    config: PretrainConfig,
    train_set: ImageSet,
    textures: ImageSet | None,
    log: Callable[[str], None],
    *,
    device: torch.device | None = None,
    cached: Cached | None = None,
) -> Batches:
    """Make the batches of a run from the source of images that --loader names.

    Args:
        config: of the run.
        train_set: images.
        textures: theirs, for kinds of negatives that need them.
        log: receives a line on the loader.
        device: of the training, which makes the negatives if it can; None: all is made in the loader.
        cached: the images of --cache.
    """
    n, side, choice = len(train_set), config.optimisation.resident, config.choose_loader()
    if rank() == 0:
        log(f"loader {choice.loader}: {plural(n, 'image')}, {choice.why}\n")
    read: Read = cached or Files(train_set, side=side)
    texture: Read | None = None
    if textures is not None:
        texture = Files(textures, pair(train_set, textures), side)
    if choice.loader in ("memory", "device"):
        read, texture = Memory(read, n), texture and Memory(texture, n)
    place = device or torch.device("cpu")
    image = DeviceImages(read, n, place) if choice.loader == "device" else read
    return Batches(
        image=image,
        n=n,
        augmentation=config.views,
        batch=config.optimisation.batch,
        seed=config.seed,
        negatives=config.negatives,
        texture=texture,
        deferred=choice.loader == "device" or (place.type == "cuda" and config.negatives.on_device),
        rank=rank(),
        world=processes(),
    )
