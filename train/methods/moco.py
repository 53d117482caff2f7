"""MoCo-v2 with non-semantic negatives (He et al., CVPR 2020; Ge et al., NeurIPS 2021, arXiv 2110.14189).

Shapes: N batch of a process, K queue, M non-semantic negatives a query, D embedding, S view side.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from texneg.errors import InputError
from texneg.queue import UNTAGGED, KeyQueue
from texneg.similarity import Similarities, similarities
from texneg.train.data.loader import Batch
from texneg.train.distributed import gather
from texneg.train.methods import base
from texneg.train.methods.momentum import MomentumKeys
from texneg.train.networks.backbone import Architecture
from texneg.train.objectives import InfoNCE

SECOND_VIEW = -1  # number of the pass of keys of the query view; 0: of the key view; 1 ... M: of negatives


@dataclass(frozen=True)
class Config(base.Config):
    """MoCo-v2: contrast with a queue of past keys."""

    name = "moco"
    loss = InfoNCE()
    head = "moco"

    queue: int = 65536
    """Keys in the queue: at least a batch, fewer than the images; best at most half of them."""
    momentum: float = 0.999
    """Momentum of the key network."""
    symmetric: bool = False
    """Let the views change parts: a second loss, of queries of the key view with keys of the query view, is
    added, and the keys of both are enqueued."""

    @property
    def views(self) -> int:
        """Keys of an image that a step enqueues."""
        return 2 if self.symmetric else 1

    def negatives(self, batch: int) -> int:
        """Return the number of keys in the queue."""
        return self.queue

    def build(
        self, network: Architecture, image_size: int, *, seed: int, steps: int, images: int = 0
    ) -> "MoCo":
        """Make query network, key network and queue."""
        return MoCo(self, network, image_size, seed=seed)

    def check(self, network: Architecture, batch: int) -> None:
        """Refuse a momentum or a queue outside its range."""
        if not 0 <= self.momentum <= 1:
            raise InputError(f"--momentum {self.momentum}: 0 to 1")
        if self.queue < self.views * batch:
            raise InputError(f"--queue {self.queue}: at least the {self.views * batch} keys of a batch")

    def check_parts(self, parts: int, batch: int) -> None:
        """Take any number: queries meet nothing of the other images of a step."""

    def check_images(self, n: int, batch: int) -> str:
        """Refuse a queue that holds the whole data set; warn where queries meet their own old keys."""
        keys, size = self.views * n, f"{'twice ' if self.symmetric else ''}data set size {n}"
        if 2 * self.queue <= keys:
            return ""
        fitting = max(self.views * batch, 1 << (max(1, keys // 2).bit_length() - 1))
        if self.queue >= keys:
            fits = fitting < keys
            remedy = f"--queue {fitting}" if fits else f"--queue {keys // 2} and --batch {n // 2} at most"
            raise InputError(
                f"--queue {self.queue} >= {size}: every image would be its own negative; use {remedy}"
            )
        if fitting == self.queue:
            return ""
        # Two random places in successive epochs lie less than K steps apart in (K / n)^2 / 2 of all cases.
        now, then = (50 * (queue / keys) ** 2 for queue in (self.queue, fitting))
        return (
            f"--queue {self.queue} > half of {size}: {now:.0f} % of the queries meet their own key"
            f" of the epoch before among the negatives; with --queue {fitting} {then:.0f} %"
        )


class MoCo(MomentumKeys):
    """Query network, momentum key network and queue; the keys alone are enqueued, after the step."""

    def __init__(self, config: Config, network: Architecture, image_size: int, *, seed: int) -> None:
        super().__init__(network, image_size, head=config.head, momentum=config.momentum, seed=seed)
        self.symmetric = config.symmetric
        self.queue = KeyQueue(network.dim, config.queue, seed=seed)

    def similarities(self, batch: Batch) -> tuple[Similarities, ...]:
        """Compare queries with their keys, the queue, and the non-semantic negatives of their images."""
        with self.autocast(batch.query):
            q = self.query(self.normalise(batch.query))  # (N, D)
            k = base.widen(self.embed_keys(batch.key, batch.step, 0))  # (N, D)
            t = self.embed_negatives(batch)  # (N, M, D)
        q = base.widen(q)
        self.embedded = q.detach()
        groups = self.find_groups(batch)
        tag = () if groups is None else (groups,)
        parts = (self.compare(q, k, t, groups),)
        if not self.symmetric:
            self.fresh.append((k, *tag))
            return parts
        with self.autocast(batch.query):
            q = self.query(self.normalise(batch.key))
            of_query = base.widen(self.embed_keys(batch.query, batch.step, SECOND_VIEW))
        self.fresh.append((k, of_query, *tag))
        return *parts, self.compare(base.widen(q), of_query, t, groups)

    def compare(self, q: Tensor, k: Tensor, t: Tensor | None, groups: Tensor | None) -> Similarities:
        """Compare queries with keys, queue and non-semantic negatives, but keys of their own group."""
        s = self.centring(similarities(q, k, self.queue.keys, t), q, t)
        if groups is None or self.queue.tags is None:
            return s
        return base.leave_out_same(s, groups, self.queue.tags)

    def use_groups(self, groups: Tensor) -> None:
        """Keep the group of each key in the queue."""
        super().use_groups(groups)
        self.queue.tags = torch.full_like(self.queue.keys[:, 0], UNTAGGED, dtype=torch.long)

    def list_key_passes(self, batch: Batch) -> dict[int, Tensor]:
        """List those of `MomentumKeys`, and the keys of the query view."""
        return super().list_key_passes(batch) | ({SECOND_VIEW: batch.query} if self.symmetric else {})

    def after_step(self) -> None:
        """Let the key network follow, and replace the oldest keys."""
        super().after_step()
        if self.fresh:
            made = [gather(base.join(parts)) for parts in zip(*self.fresh, strict=True)]
            tags = None if self.queue.tags is None else made.pop()
            self.queue.enqueue(torch.cat(made), None if tags is None else tags.repeat(len(made)))
            self.fresh = []
