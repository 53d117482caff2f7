"""Speed of augmented views: compiled ones beside the same operators of torchvision on Pillow images.

Both sides get the same decoded images and the same parameters, so they do the same work; their levels are
compared before anything is timed. One thread, CPU time. Views made as on a device are timed on the CPU, too:
how their operations compare there says nothing of a GPU.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import count
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from texneg.bench.common.photographs import describe_photos, read_photos
from texneg.bench.common.ratios import Gate, Row, compare, one_thread, report
from texneg.bench.common.results import RatioConfig
from texneg.datasets.cache import shrink
from texneg.datasets.decode import decode
from texneg.errors import InputError, RunFailed
from texneg.memory import tune_allocator
from texneg.philox.arrays import generator
from texneg.train.data.augmentations import QUERY, Augmentation, Byol, MocoV2, SimClr, WangLiu
from texneg.train.data.on_device import DeviceImages
from texneg.train.data.sources import U8
from texneg.train.data.views import make_views

PHOTOS = 32
SIZE = 375, 500  # of generated photographs
X_PILLOW = "x Pillow"
COMPILED, PILLOW, TORCH = "compiled", "torchvision on Pillow images", "torch operations, on the CPU"
LEVELS = 3.0  # mean difference of 8-bit levels that Pillow's rounding between operators explains

CASES: dict[str, Augmentation] = {
    "224 px, moco_v2": MocoV2(224),
    "224 px, byol": Byol(224),
    "224 px, simclr": SimClr(224),
    "64 px, moco_v2 without blur": MocoV2(64, blur=0.0),
    "32 px, wang_liu": WangLiu(32),
}
LIMITS = 9, 7.5, 17, 7.5, 9
GATES = tuple(
    Gate(case, COMPILED, X_PILLOW, "at least", limit) for case, limit in zip(CASES, LIMITS, strict=True)
)


@dataclass(frozen=True)
class ViewsConfig(RatioConfig):
    """Measure views and loading as ratios to torchvision's and Pillow's, within one run."""

    photos: Path | None = None
    """tar of photographs; without it they are generated"""


def bench(config: ViewsConfig) -> int:
    """Time the views of each augmentation."""
    tune_allocator()  # as loading does
    rounds = 5 if config.quick else 15
    images = [decode(data).pixels for data in read_files(config.photos)]
    with one_thread():
        rows = [row for case in CASES for row in measure(case, images, rounds)]
    return report(config, rows, GATES, **describe(config.photos))


def describe(photos: Path | None) -> dict[str, str]:
    """Name the images that a run was made with."""
    return {"photos": describe_photos(photos) if photos else f"{PHOTOS} generated, {SIZE[1]} x {SIZE[0]} px"}


def read_files(photos: Path | None) -> list[bytes]:
    """Read the first photographs of a tar, or generate some: smooth colours and noise, quality 95.

    Raises:
        InputError: the tar holds too few.
    """
    if photos is None:
        return [generate_photo(i) for i in range(PHOTOS)]
    found = [data for _, (_, data) in zip(range(PHOTOS), read_photos(photos), strict=False)]
    if len(found) < PHOTOS:
        raise InputError(f"--photos {photos} holds {len(found)} photographs: {PHOTOS} are needed")
    return found


def generate_photo(seed: int) -> bytes:
    """Generate a JPEG of about 100 kB."""
    draw = generator(seed)
    coarse = draw.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize(SIZE[::-1], Image.Resampling.BICUBIC), np.float64)
    pixels = (smooth + draw.normal(0, 8, (*SIZE, 1))).clip(0, 255).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def measure(case: str, photos: list[U8], rounds: int) -> list[Row]:
    """Time one view of each photograph, for the smaller views of photographs shrunk before."""
    augmentation = CASES[case]
    side = augmentation.image_size
    images = photos if side > 96 else [shrink(photo, side) for photo in photos]
    index, epochs = np.arange(len(images)), count()
    held = DeviceImages(images.__getitem__, len(images), torch.device("cpu"))
    check_levels(case, images, augmentation)

    def views(of: Augmentation) -> Callable[[], object]:
        return lambda: make_views(images, of, seed=0, epoch=next(epochs), index=index, view=QUERY)

    timings = compare(
        {
            PILLOW: views(replace(augmentation, operators="pillow")),
            COMPILED: views(augmentation),
            TORCH: lambda: held.views(augmentation, seed=0, epoch=next(epochs), index=index, view=QUERY),
        },
        rounds=rounds,
    )
    return [
        Row(case, name, timing.seconds * 1e6 / len(images), {X_PILLOW: timings[PILLOW].over(timing)})
        for name, timing in timings.items()
    ]


def check_levels(case: str, images: list[U8], augmentation: Augmentation) -> None:
    """Refuse to time views that differ by more than Pillow's rounding."""
    compiled, exact = (
        make_views(images, of, seed=0, epoch=0, index=np.arange(len(images)), view=QUERY)
        for of in (augmentation, replace(augmentation, operators="pillow"))
    )
    difference = np.abs(compiled.astype(int) - exact).mean()
    if difference > LEVELS:
        raise RunFailed(
            f"{case}: views differ by {difference:.1f} levels, so their speed means nothing; run the tests"
        )
