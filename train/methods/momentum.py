"""A query network and a key network that follows it, as MoCo and SiMo have them.

Shapes: N batch of a process, M non-semantic negatives a query, D embedding, S view side.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from texneg.philox.arrays import generator
from texneg.philox.streams import Stream
from texneg.train.data.loader import Batch
from texneg.train.distributed import processes
from texneg.train.methods import base
from texneg.train.networks.backbone import Architecture, Network, initial_weights
from texneg.train.networks.batch_norm import (
    find_places,
    require_batch_norm,
    share_statistics,
    shuffled_pass,
    split_batch_norm,
    synchronise_batch_norm,
)


class MomentumKeys(base.Method):
    """Query network and momentum key network.

    Keys and each set of non-semantic negatives have a pass of their own through the key network, so that none
    share batch norm statistics.
    """

    def __init__(
        self, network: Architecture, image_size: int, *, head: str, momentum: float, seed: int
    ) -> None:
        super().__init__()
        self.momentum, self.seed = momentum, seed
        self.shuffled = network.bn in ("shuffle", "split")
        with initial_weights(seed):
            self.query = Network(network, image_size, head)
        if network.bn == "split":
            split_batch_norm(self.query, network.bn_group)
        elif network.bn == "sync":
            synchronise_batch_norm(self.query)
        elif network.bn == "shuffle":
            require_batch_norm(self.query, "shuffle")
        self.ahead: dict[int, list[Tensor]] = {}
        """Keys of the parts of a step that are still to come, by the number of their pass."""
        self.key = copy.deepcopy(self.query).requires_grad_(False)

    @property
    def recordable(self) -> bool:
        """True: permutations of keys are drawn by the host."""
        return True

    @property
    def encoder(self) -> Network:
        """The query network."""
        return self.query

    @torch.no_grad()
    def before_step(self, batch: Batch, parts: int) -> None:
        """Embed the keys of all parts at once: keys are shuffled over the groups of the whole batch."""

        def embed(images: Tensor) -> Tensor:
            pieces = []
            for part, piece in enumerate(images.chunk(parts)):
                with share_statistics(self.key, part, parts):
                    pieces.append(self.embed(piece))
            return torch.cat(pieces)

        with self.autocast(batch.query):
            self.ahead = {
                number: list(self.shuffle(embed, images, batch.step, number).chunk(parts))
                for number, images in self.list_key_passes(batch).items()
            }

    def list_key_passes(self, batch: Batch) -> dict[int, Tensor]:
        """List the views (N, S, S, 3) that the key network embeds in a step, by the number of their pass."""
        negatives = () if batch.negatives is None else batch.negatives.unbind(1)
        return {0: batch.key, **dict(enumerate(negatives, start=1))}

    def after_step(self) -> None:
        """Let the key network follow."""
        base.update_average(self.key, self.query, self.momentum)

    def embed_negatives(self, batch: Batch) -> Tensor | None:
        """Embed the non-semantic negatives of a batch (N, M, D); None without."""
        if batch.negatives is None:
            return None
        passes = enumerate(batch.negatives.unbind(1), start=1)
        return base.widen(torch.stack([self.embed_keys(x, batch.step, m) for m, x in passes], dim=1))

    @torch.no_grad()
    def embed_keys(self, images: Tensor, step: int, number: int) -> Tensor:
        """Embed uint8 views (N, S, S, 3) as keys (N, D), in a batch norm pass of their own."""
        waiting = self.ahead.get(number)
        return waiting.pop(0) if waiting else self.shuffle(self.embed, images, step, number)

    def shuffle(self, embed: Callable[[Tensor], Tensor], images: Tensor, step: int, number: int) -> Tensor:
        """Embed views shuffled, if keys are; returns the embeddings (N, D) in the order of the views."""
        if not self.shuffled:
            return embed(images)
        total = len(images) * processes()

        def draw(step: int, _: Tensor) -> Tensor:
            order = generator(self.seed, step, number, Stream.KEY_SHUFFLE).permutation(total)
            return find_places(order, total // processes())

        return shuffled_pass(embed, images, self.draw(f"keys {number}", draw, images.device, step))

    def embed(self, images: Tensor) -> Tensor:
        """Embed uint8 views by the key network."""
        return self.key(self.normalise(images))
