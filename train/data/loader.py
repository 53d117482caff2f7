"""Batches by step: what step i trains on is a pure function of i, so that resuming starts at a step.

Shapes: N images of this process in a batch, M negatives a query, S view side.
"""

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from texneg.cores import available_cores
from texneg.datasets.decode import DecodeError
from texneg.datasets.sampler import epoch_order
from texneg.errors import InputError
from texneg.train.data.augmentations import KEY, QUERY, Augmentation
from texneg.train.data.on_device import DeviceImages
from texneg.train.data.sources import Read, make_image_error
from texneg.train.data.views import U8, make_views
from texneg.train.negatives import Negatives
from texneg.train.negatives.base import Pixels

NOTHING = torch.empty(0, dtype=torch.uint8)


class Batch(NamedTuple):
    """Views of one step, uint8, channels last."""

    query: Tensor  # (N, S, S, 3)
    key: Tensor  # (N, S, S, 3)
    negatives: Tensor | None  # (N, M, S, S, 3)
    indices: Tensor  # (N,) int64, places in the data set; stays on the CPU
    step: int


@dataclass(frozen=True)
class Batches(Dataset[Batch | InputError]):
    """The batch of every step of a run, made on access.

    The key's augmentation is drawn for itself; negatives are made from the finished query view.
    """

    image: Read | DeviceImages
    """Image i as uint8 (H, W, 3); or all of them on the training device, where `complete` makes the views."""
    n: int
    """Images in the data set."""
    augmentation: Augmentation
    batch: int
    """Images a step over all processes."""
    seed: int
    negatives: Negatives = Negatives()
    texture: Read | None = None
    """The texture of image i, for kinds of negatives that need it."""
    deferred: bool = False
    """Leave the negatives to `complete`, once the batch is on its device."""
    rank: int = 0
    world: int = 1
    one_view: bool = False
    """Make the query view alone, of images that are trained on with their labels."""

    @property
    def steps_per_epoch(self) -> int:
        """The last incomplete batch is left out."""
        return self.n // self.batch

    def indices(self, step: int) -> npt.NDArray[np.int64]:
        """Return the places in the data set (N,) of this process at a step: its share of the joint batch."""
        epoch, place = divmod(step, self.steps_per_epoch)
        local = self.batch // self.world
        start = place * self.batch + self.rank * local
        return cached_order(self.n, self.seed, epoch)[start : start + local]

    def __getitem__(self, step: int) -> Batch | InputError:
        """Make the batch of a step, or return the error of an unreadable image, which crosses processes."""
        try:
            return self.make(step)
        except (DecodeError, OSError) as error:
            return make_image_error(error)

    def make(self, step: int) -> Batch:
        """Make views and negatives of a step, or what is made of them here."""
        index, epoch = self.indices(step), step // self.steps_per_epoch
        if isinstance(self.image, DeviceImages):
            return Batch(NOTHING, NOTHING, None, torch.from_numpy(index), step)

        def views(pixels: list[U8], view: int) -> U8:
            return make_views(pixels, self.augmentation, seed=self.seed, epoch=epoch, index=index, view=view)

        images = [self.image(int(i)) for i in index]
        query = views(images, QUERY)
        key = query[:0] if self.one_view else views(images, KEY)
        ready = self.negatives.kinds and not self.deferred
        negatives = torch.from_numpy(self.make_negatives(query, step, index)) if ready else None
        pixels = torch.from_numpy(query), torch.from_numpy(key)
        return Batch(*pixels, negatives, torch.from_numpy(index), step)

    def complete(self, batch: Batch, *, negatives: bool = True) -> Batch:
        """Add what was deferred: views of images on the device, negatives made there of query views.

        Args:
            batch: on its device.
            negatives: False leaves them out, those that the loader made as well.
        """
        if isinstance(self.image, DeviceImages):
            index, epoch = batch.indices.numpy(), batch.step // self.steps_per_epoch
            query, key = (
                self.image.views(self.augmentation, seed=self.seed, epoch=epoch, index=index, view=view)
                for view in (QUERY, KEY)
            )
            batch = batch._replace(query=query, key=key)
        if not negatives:
            return batch._replace(negatives=None)
        if not self.negatives.kinds or not self.deferred:
            return batch
        return batch._replace(negatives=self.make_negatives(batch.query, batch.step, batch.indices))

    def make_negatives(self, query: Pixels, step: int, index: npt.NDArray[np.int64] | Tensor) -> Pixels:
        """Make negatives (N, M, S, S, 3) of the query views of a step."""
        epoch = step // self.steps_per_epoch
        textures = partial(self.texture_views, epoch=epoch) if self.texture else None
        return self.negatives.make(query, seed=self.seed, epoch=epoch, index=index, textures=textures)

    def texture_views(self, *, epoch: int, index: npt.NDArray[np.int64]) -> U8:
        """Read the textures of images as views (N, S, S, 3), each augmented exactly as its query view."""
        assert self.texture is not None
        textures = [self.texture(int(i)) for i in index]
        return make_views(textures, self.augmentation, seed=self.seed, epoch=epoch, index=index, view=QUERY)


@lru_cache(maxsize=2)
def cached_order(n: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Compute `epoch_order`, and keep it for the other steps of the epoch."""
    return epoch_order(n, seed=seed, epoch=epoch)


def warn_if_oversubscribed(workers: int, processes: int) -> str:
    """Return a warning where loaders and trainers outnumber the cores; else nothing."""
    cores = available_cores()
    wanted = (workers + 1) * processes
    if not workers or wanted <= cores:
        return ""
    return f"--workers {workers}: {wanted} processes share {cores} cores; fewer workers may be faster"
