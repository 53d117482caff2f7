"""SimCLR (Chen et al., ICML 2020) with non-semantic negatives: both views of other images are negatives.

Both views of an image are pushed away from its non-semantic negatives, which are made from the query view.

Shapes: N batch of a process, M non-semantic negatives an image, D embedding.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from texneg.errors import InputError
from texneg.similarity import Similarities, two_view_similarities
from texneg.train.data.loader import Batch
from texneg.train.distributed import gather_with_gradient, rank
from texneg.train.methods import base
from texneg.train.networks.backbone import Architecture, Network, initial_weights
from texneg.train.networks.batch_norm import keep_statistics, synchronise_batch_norm
from texneg.train.objectives import InfoNCE


@dataclass(frozen=True)
class Config(base.Config):
    """SimCLR: contrast with both views of the other images of the step."""

    name = "simclr"
    loss = InfoNCE(temperature=0.1)
    head = "simclr"

    def negatives(self, batch: int) -> int:
        """Return 2 B - 2."""
        return 2 * batch - 2

    def build(
        self, network: Architecture, image_size: int, *, seed: int, steps: int, images: int = 0
    ) -> "SimCLR":
        """Make the one network."""
        return SimCLR(self, network, image_size, seed=seed)

    def check(self, network: Architecture, batch: int) -> None:
        """Refuse batch norm policies for keys."""
        if network.bn in ("shuffle", "split"):
            raise InputError(
                f"--bn {network.bn}: SimCLR has no keys to hide, both views share a batch; use none, or sync"
                " on several processes"
            )


class SimCLR(base.Method):
    """One network for everything; gradients flow through queries, positives and negatives."""

    def __init__(self, config: Config, network: Architecture, image_size: int, *, seed: int) -> None:
        super().__init__()
        with initial_weights(seed):
            self.network = Network(network, image_size, config.head)
        if network.bn == "sync":
            synchronise_batch_norm(self.network)

    @property
    def recordable(self) -> bool:
        """True: a step draws nothing."""
        return True

    @property
    def encoder(self) -> Network:
        """The network."""
        return self.network

    def similarities(self, batch: Batch) -> tuple[Similarities, ...]:
        """Compare each view with the other one, both views of other images, and its image's negatives."""
        t = None
        with self.autocast(batch.query):
            # One pass for both views, as in the official code: they share batch norm statistics.
            z = self.network(self.normalise(torch.cat([batch.query, batch.key])))  # (2 N, D)
            if batch.negatives is not None:
                with keep_statistics(self.network):
                    passes = [self.network(self.normalise(x)) for x in batch.negatives.unbind(1)]
                t = base.widen(torch.stack(passes, dim=1))  # (N, M, D)
        first, second = base.widen(z).chunk(2)
        self.embedded = first.detach()
        gathered = gather_with_gradient(first), gather_with_gradient(second)
        s = two_view_similarities(first, second, t, gathered=gathered, start=rank() * len(first))
        s = self.centre(s, first, second, t)
        if (groups := self.find_groups(batch)) is not None:
            s = base.leave_out_same(s, groups.repeat(2), base.groups_in_batch(groups).repeat(2, 2))
        return (s,)

    def centre(self, s: Similarities, first: Tensor, second: Tensor, t: Tensor | None) -> Similarities:
        """Centre the non-semantic cosines of the queries of both views."""
        sides = zip(s.nonsemantic.chunk(2), (first, second), strict=True)
        made = [self.centring(s._replace(nonsemantic=side), z, t).nonsemantic for side, z in sides]
        return s._replace(nonsemantic=torch.cat(made))
