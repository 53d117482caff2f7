"""Instance discrimination with a memory bank of averaged features, and non-semantic negatives.

Wu et al., CVPR 2018; Wang and Liu, CVPR 2021, compare losses on it. An image is contrasted with its own
feature in the bank and with those of other images. The bank is not trained: each feature is a moving average
of the network's embeddings of one image. Only the query views are used.

Shapes: N batch of a process, n images, K ordinary negatives, M non-semantic negatives a query, D embedding.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from texneg.errors import InputError
from texneg.philox.arrays import generator
from texneg.philox.streams import Stream
from texneg.similarity import Similarities, drop_columns, similarities
from texneg.train.data.loader import Batch
from texneg.train.distributed import gather
from texneg.train.methods import base
from texneg.train.networks.backbone import Architecture, Network, initial_weights
from texneg.train.networks.batch_norm import keep_statistics, split_batch_norm, synchronise_batch_norm
from texneg.train.objectives import InfoNCE


@dataclass(frozen=True)
class Config(base.Config):
    """Memory bank: contrast with averaged features of all images."""

    name = "memory_bank"
    loss = InfoNCE(temperature=0.3)
    head = "linear"

    keys: int = 4096
    """Ordinary negatives of each query, drawn from the other images in each step; at most all of them, as in
    Wang and Liu."""
    momentum: float = 0.5
    """Momentum of the features in the bank."""

    def negatives(self, batch: int) -> int:
        """Return the number of keys."""
        return self.keys

    def build(
        self, network: Architecture, image_size: int, *, seed: int, steps: int, images: int
    ) -> "MemoryBank":
        """Make the network, and a bank with a feature for each image."""
        return MemoryBank(self, network, image_size, seed=seed, images=images)

    def check(self, network: Architecture, batch: int) -> None:
        """Refuse a momentum or a number of keys outside its range, and batch norm that shuffles keys."""
        if not 0 <= self.momentum <= 1:
            raise InputError(f"--momentum {self.momentum}: 0 to 1")
        if self.keys < 1:
            raise InputError(f"--keys {self.keys}: at least 1")
        if network.bn == "shuffle":
            raise InputError("--bn shuffle: a memory bank has no keys to shuffle; use none, split or sync")

    def check_parts(self, parts: int, batch: int) -> None:
        """Take any number: queries meet nothing of the other images of a step."""

    def check_images(self, n: int, batch: int) -> str:
        """Refuse more keys than there are other images."""
        if self.keys > n - 1:
            raise InputError(f"--keys {self.keys} >= data set size {n}: use --keys {n - 1} or fewer")
        return ""


class MemoryBank(base.Method):
    """The network, and a bank of unit vectors, one for each image, the same in all processes."""

    bank: Tensor  # (n, D) float32

    def __init__(
        self, config: Config, network: Architecture, image_size: int, *, seed: int, images: int
    ) -> None:
        super().__init__()
        self.keys, self.momentum, self.seed = config.keys, config.momentum, seed
        with initial_weights(seed):
            self.network = Network(network, image_size, config.head)
        if network.bn == "split":
            split_batch_norm(self.network, network.bn_group)
        elif network.bn == "sync":
            synchronise_batch_norm(self.network)
        start = generator(seed, Stream.MEMORY_BANK).standard_normal((images, network.dim), np.float32)
        self.register_buffer("bank", F.normalize(torch.from_numpy(start), dim=1))

    @property
    def recordable(self) -> bool:
        """True: the images of a step are drawn by the host."""
        return True

    @property
    def encoder(self) -> Network:
        """The network."""
        return self.network

    def similarities(self, batch: Batch) -> tuple[Similarities, ...]:
        """Compare queries with the features of their images, of others, and with their own negatives."""
        device, which = batch.query.device, (batch.step, batch.indices)
        places = self.draw("places", lambda _, indices: indices, device, *which)
        drawn = self.draw("choice", lambda step, _: self.choose(step), device, *which)
        own = self.draw("own", self.find_own, device, *which)
        t = None
        with self.autocast(batch.query):
            q = base.widen(self.network(self.normalise(batch.query)))  # (N, D)
            if batch.negatives is not None:
                with torch.no_grad(), keep_statistics(self.network):
                    passes = [self.network(self.normalise(x)) for x in batch.negatives.unbind(1)]
                t = base.widen(torch.stack(passes, dim=1))  # (N, M, D)
        self.embedded = q.detach()
        self.fresh.append((places, self.embedded))
        s = similarities(q, self.bank[places], self.bank[drawn], t)  # negatives: (N, K + 1)
        s = self.centring(s, q, t)
        if (all_groups := self.groups) is not None and (groups := self.find_groups(batch)) is not None:
            others = self.draw("others", lambda step, _: all_groups[self.choose(step)], device, *which)
            s = base.leave_out_same(s, groups, others)
        return (s._replace(negatives=drop_columns(s.negatives, own)),)

    def choose(self, step: int) -> Tensor:
        """Draw the images of a step, the same in all processes: (K + 1,) ascending places in the data set."""
        n, K = len(self.bank), self.keys
        draw = generator(self.seed, step, Stream.KEY_CHOICE)
        drawn = np.arange(n) if n == K + 1 else np.sort(draw.choice(n, K + 1, replace=False, shuffle=False))
        return torch.from_numpy(drawn)

    def find_own(self, step: int, indices: Tensor) -> Tensor:
        """Return for each query the column of `choose` to leave out, (N,): its own, or the last."""
        drawn, K = self.choose(step), self.keys
        own = torch.searchsorted(drawn, indices).clamp(max=K)
        return own.where(drawn[own] == indices, K)

    @torch.no_grad()
    def after_step(self) -> None:
        """Move the features of this step's images."""
        if not self.fresh:
            return
        places, q = (gather(base.join(parts)) for parts in zip(*self.fresh, strict=True))
        moved = self.momentum * self.bank[places] + (1 - self.momentum) * F.normalize(q, dim=1)
        self.bank.index_copy_(0, places, F.normalize(moved, dim=1).to(self.bank.dtype))
        self.fresh = []
