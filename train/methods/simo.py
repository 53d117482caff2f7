"""SiMo with non-semantic negatives (Zhu et al., arXiv 2010.01929): momentum keys of the batch, no queue.

Few negatives are enough with EqCo's margin, which its loss brings along. The keys of the other images of a
step are the negatives; fewer than all are one draw for all queries of the step.

Shapes: N batch of a process, B of all, K negatives, M non-semantic negatives a query, D embedding.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from texneg.errors import InputError
from texneg.philox.arrays import generator
from texneg.philox.streams import Stream
from texneg.similarity import Similarities, drop_columns, similarities
from texneg.train.data.loader import Batch
from texneg.train.distributed import gather, rank
from texneg.train.methods import base
from texneg.train.methods.momentum import MomentumKeys
from texneg.train.networks.backbone import Architecture
from texneg.train.objectives import InfoNCE


@dataclass(frozen=True)
class Config(base.Config):
    """SiMo: contrast with the momentum keys of the same step."""

    name = "simo"
    loss = InfoNCE(eqco=256)
    head = "simclr"
    zero_init_last = True

    keys: int | None = None
    """Ordinary negatives of each query, drawn from the other images of the step; None: all of them."""
    momentum: float = 0.999
    """Momentum of the key network."""

    def negatives(self, batch: int) -> int:
        """Return the number of keys, at most those of the other images."""
        return batch - 1 if self.keys is None else self.keys

    def build(
        self, network: Architecture, image_size: int, *, seed: int, steps: int, images: int = 0
    ) -> "SiMo":
        """Make query network and key network."""
        return SiMo(self, network, image_size, seed=seed)

    def check(self, network: Architecture, batch: int) -> None:
        """Refuse a momentum or a number of keys outside its range."""
        if not 0 <= self.momentum <= 1:
            raise InputError(f"--momentum {self.momentum}: 0 to 1")
        if not 1 <= self.negatives(batch) <= batch - 1:
            raise InputError(f"--keys {self.keys}: 1 to the {batch - 1} other images of a step")


class SiMo(MomentumKeys):
    """Query network and momentum key network."""

    def __init__(self, config: Config, network: Architecture, image_size: int, *, seed: int) -> None:
        super().__init__(network, image_size, head=config.head, momentum=config.momentum, seed=seed)
        self.keys = config.keys

    def similarities(self, batch: Batch) -> tuple[Similarities, ...]:
        """Compare queries with their keys, those of other images, and their own non-semantic negatives."""
        with self.autocast(batch.query):
            q = base.widen(self.query(self.normalise(batch.query)))  # (N, D)
            k = base.widen(self.embed_keys(batch.key, batch.step, 0))  # (N, D)
            t = self.embed_negatives(batch)  # (N, M, D)
        self.embedded = q.detach()
        s = self.centring(similarities(q, k, gather(k), t), q, t)
        if (groups := self.find_groups(batch)) is not None:
            s = base.leave_out_same(s, groups, gather(groups))
        N, B = s.negatives.shape
        own = torch.arange(rank() * N, (rank() + 1) * N, device=q.device)

        def draw(step: int, _: Tensor) -> Tensor:
            order = generator(self.seed, step, Stream.KEY_CHOICE).permutation(B - 1)
            return torch.from_numpy(order[: self.keys])

        kept = None if self.keys is None else self.draw("choice", draw, q.device, batch.step)
        return (s._replace(negatives=drop_columns(s.negatives, own, kept)),)
