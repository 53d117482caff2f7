"""`texneg analyze similarity`: how near an image's own texture and patches lie to it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from texneg import __version__
from texneg.cli.fields import Positional
from texneg.datasets.images import ImageSet
from texneg.datasets.pairs import pair
from texneg.datasets.storage.json_files import write_json
from texneg.errors import InputError
from texneg.philox.arrays import generator
from texneg.philox.streams import Stream
from texneg.train.data.splits import open_textures, open_train
from texneg.train.data.views import Augmentation
from texneg.train.device import pick_device
from texneg.train.evaluate.analyses.cosines import collect, histograms
from texneg.train.evaluate.features import U8, Encoder, data_fingerprint
from texneg.train.networks.encoder import load_encoder


@dataclass(frozen=True)
class AnalyzeConfig:
    """Histograms of cosines in the contrastive space: positive, ordinary, patch and texture negatives."""

    analysis: Positional[Literal["similarity"]]
    """what to look at"""
    checkpoint: Positional[str]
    """pre-trained checkpoint or run folder"""
    data: str
    """images, labelled or not; the `train` split where there is one"""
    out: str
    """run folder for similarity.json"""
    textures: str | None = None
    """their textures made by texneg synth; none: those in the same tars as the images (texneg synth --layout
    paired), else textures synthesised from the views, if of 16 px or more"""
    images: int = 2048
    """how many images to take, drawn by the seed; 0 for all"""
    seed: int = 0
    """of the sample, the views and the patches"""
    batch: int = 256
    """images a forward pass"""
    device: str = "auto"
    """auto, cpu or cuda"""


def analyze(config: AnalyzeConfig) -> int:
    """Measure the cosines and write similarity.json."""
    if config.images < 0 or config.images == 1:
        raise InputError(f"--images {config.images}: needs two or more, or 0 for all")
    encoder = load_encoder(config.checkpoint, device=pick_device(config.device))
    images = open_train(config.data)
    index = sample(len(images), config.images or len(images), seed=config.seed)
    textures = open_textures(config.textures or "", images, config.data)
    texture = None if textures is None else texture_reader(images, textures)
    cosines = collect(
        encoder,
        images,
        index,
        augmentation=augmentation_of(encoder),
        patch=None,
        texture=texture,
        seed=config.seed,
        batch=config.batch,
    )
    found = histograms(cosines)
    record = {"images": len(index), "data": data_fingerprint(images), "encoder": encoder.fingerprint}
    write_json(
        Path(config.out) / "similarity.json",
        {**found, **record, "seed": config.seed, "config": vars(config), "version": __version__},
    )
    for kind, row in found["kinds"].items():
        auc = "" if row["auc"] is None else f", AUC against positives {row['auc']:.3f}"
        print(f"{kind:<12} mean cosine {row['mean']:+.3f} (sd {row['sd']:.3f}, n {row['n']}){auc}")
    return 0


def texture_reader(images: ImageSet, textures: ImageSet) -> Callable[[int], U8]:
    """The texture of the image at a place; an image without one raises `InputError` here."""
    pairs = pair(images, textures)
    return lambda i: textures[int(pairs[i])][0]


def sample(n: int, count: int, *, seed: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """`count` of n places without replacement, in rising order; all of them where n is smaller."""
    return np.sort(generator(seed, Stream.SIMILARITY_SAMPLE).permutation(n)[:count]).astype(np.int64)


def augmentation_of(encoder: Encoder) -> Augmentation:
    """The views that the encoder was trained on, MoCo-v2's where it does not say."""
    views = encoder.info.get("settings", {}).get("views", {})
    return Augmentation(**{**views, "image_size": encoder.image_size})
