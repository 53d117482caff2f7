"""Speed of loading: from the bytes of a photograph to two views, beside the official MoCo-v2 pipeline.

The official side is an own implementation: Pillow's decoder, torchvision's transforms on Pillow images drawn
anew for each view, then float32 and normalisation. Ours ends at uint8, since the network normalises; a row
that normalises as well says what that saves. Caches hold the same photographs with shorter side 256. One
thread, CPU time, hot files.
"""

import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from torchvision import transforms

from texneg.bench.common.ratios import Gate, Row, compare, one_thread, report
from texneg.bench.views import ViewsConfig, describe, read_files
from texneg.datasets.cache import QUALITY, Cache, Recipe, shrink, write_cache
from texneg.datasets.decode import decode
from texneg.datasets.fingerprint import sample_fingerprint
from texneg.datasets.images import ImageSet, open_images
from texneg.errors import RunFailed
from texneg.memory import tune_allocator
from texneg.train.data.augmentations import KEY, QUERY, Augmentation, MocoV2
from texneg.train.data.sources import U8
from texneg.train.data.views import make_views

CASE = "decode and two 224 px views"
X_OFFICIAL = "x official"
OFFICIAL, FILES, NORMALISED = "official pipeline, Pillow", "files", "files, normalised to float32"
RAW, JPEG = "raw cache", "JPEG cache"
RAW_CROPS, JPEG_CROPS = "raw cache, crops alone", "JPEG cache, crops alone"
SIDE = 256
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FULL, CROPS = MocoV2(224), MocoV2(224, jitter=0.0, grey=0.0, blur=0.0)

GATES = (
    Gate(CASE, FILES, X_OFFICIAL, "at least", 4.5),
    Gate(CASE, RAW, X_OFFICIAL, "at least", 18),
    Gate(CASE, JPEG, X_OFFICIAL, "at least", 9),
)


class Blur:
    """The official blur: Pillow's, sigma 0.1 to 2."""

    def __call__(self, image: Image.Image) -> Image.Image:
        """Blur by a sigma drawn for this image."""
        return image.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2.0)))


def bench(config: ViewsConfig) -> int:
    """Time loading from files and from caches."""
    tune_allocator()  # as loading does
    files = read_files(config.photos)
    with one_thread(), caches(files) as (images, raw, jpeg):
        check_bytes(files, images, raw)
        rows = measure(files, raw, jpeg, rounds=5 if config.quick else 15)
    return report(config, rows, GATES, **describe(config.photos))


@contextmanager
def caches(files: list[bytes]) -> Iterator[tuple[ImageSet, Cache, Cache]]:
    """Write the photographs to a folder and to a cache of each format, for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="texneg-bench-") as scratch:
        photos = Path(scratch) / "photos"
        photos.mkdir()
        for i, data in enumerate(files):
            (photos / f"{i:04d}.jpg").write_bytes(data)
        images = open_images(photos)
        made = []
        for encoding, quality in (("raw", 0), ("jpeg", QUALITY)):
            recipe = Recipe(SIDE, encoding, quality, False, sample_fingerprint(images), len(images))  # type: ignore[arg-type]
            made.append(write_cache(Path(scratch) / encoding, images, recipe, skip_unreadable=False))
        yield images, made[0], made[1]


def check_bytes(files: list[bytes], images: ImageSet, raw: Cache) -> None:
    """Refuse to time a decoder or a cache that gives other pixels than Pillow."""
    for i, data in enumerate(files):
        pixels = np.asarray(Image.open(BytesIO(data)).convert("RGB"))
        if not np.array_equal(images[i][0], pixels) or not np.array_equal(raw(i), shrink(pixels, SIDE)):
            raise RunFailed(f"photograph {i}: other pixels than Pillow's, so their speed means nothing")


def measure(files: list[bytes], raw: Cache, jpeg: Cache, *, rounds: int) -> list[Row]:
    """Time two views of each photograph."""
    index, epochs = np.arange(len(files)), count()
    transform = official_transform()

    def decoded() -> list[U8]:
        return [decode(data).pixels for data in files]

    def views(read: Callable[[], list[U8]], of: Augmentation) -> tuple[U8, U8]:
        images, epoch = read(), next(epochs)
        query, key = (
            make_views(images, of, seed=0, epoch=epoch, index=index, view=view) for view in (QUERY, KEY)
        )
        return query, key

    def official() -> None:
        for data in files:
            image = Image.open(BytesIO(data)).convert("RGB")
            transform(image), transform(image)

    def cached(cache: Cache, of: Augmentation) -> Callable[[], object]:
        return lambda: views(lambda: [cache(int(i)) for i in index], of)

    timings = compare(
        {
            OFFICIAL: official,
            FILES: lambda: views(decoded, FULL),
            NORMALISED: lambda: [normalise(made) for made in views(decoded, FULL)],
            RAW: cached(raw, FULL),
            JPEG: cached(jpeg, FULL),
            RAW_CROPS: cached(raw, CROPS),
            JPEG_CROPS: cached(jpeg, CROPS),
        },
        rounds=rounds,
    )
    return [
        Row(CASE, name, timing.seconds * 1e6 / len(files), {X_OFFICIAL: timings[OFFICIAL].over(timing)})
        for name, timing in timings.items()
    ]


def official_transform() -> Callable[[Image.Image], Any]:
    """Make the transform of the official script with --aug-plus."""
    jitter = transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)
    made: Callable[[Image.Image], Any] = transforms.Compose(
        [
            transforms.RandomResizedCrop(224, scale=(0.2, 1.0)),
            transforms.RandomApply([jitter], p=0.8),
            transforms.RandomGrayscale(p=0.2),
            transforms.RandomApply([Blur()], p=0.5),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    return made


def normalise(views: U8) -> torch.Tensor:
    """Normalise uint8 (N, S, S, 3) to float32 (N, 3, S, S), as `ToTensor` and `Normalize` do."""
    x = torch.from_numpy(views).permute(0, 3, 1, 2).contiguous().float().div_(255)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    return x.sub_(mean).div_(std)
