"""BYOL (Grill et al., NeurIPS 2020) with non-semantic negatives.

The use of negatives is a reconstruction: Ge et al. (NeurIPS 2021) report BYOL results, but neither code nor
settings. Here the non-semantic embeddings of an image come from its query view, and the predictions of both
its views are pushed away from them.

Shapes: N batch of a process, M non-semantic negatives a query, D embedding, S view side.
"""

import copy
import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from texneg.errors import InputError
from texneg.similarity import Similarities, similarities
from texneg.train.data.loader import Batch
from texneg.train.methods import base
from texneg.train.networks.backbone import BYOL_HIDDEN, Architecture, Network, initial_weights, make_byol_mlp
from texneg.train.networks.batch_norm import synchronise_batch_norm
from texneg.train.objectives import Byol, Loss


@dataclass(frozen=True)
class Config(base.Config):
    """BYOL: positives only; the use of non-semantic negatives is a reconstruction."""

    name = "byol"
    loss: ClassVar[Loss] = Byol()
    head = "byol"
    predicts = True

    momentum: float = 0.99
    """Momentum of the target network at the first step; rises to 1 over the run."""

    def negatives(self, batch: int) -> int:
        """Return 0."""
        return 0

    def build(
        self, network: Architecture, image_size: int, *, seed: int, steps: int, images: int = 0
    ) -> "BYOL":
        """Make online network, predictor and target network."""
        return BYOL(self, network, image_size, seed=seed, steps=steps)

    def check_parts(self, parts: int, batch: int) -> None:
        """Take any number: queries meet nothing of the other images of a step."""

    def check(self, network: Architecture, batch: int) -> None:
        """Refuse a momentum outside its range, and batch norm policies for keys."""
        if not 0 <= self.momentum <= 1:
            raise InputError(f"--momentum {self.momentum}: 0 to 1")
        if network.bn in ("shuffle", "split"):
            raise InputError(
                f"--bn {network.bn}: --method {self.name} has no keys to hide; use --bn none, or sync on"
                " several processes"
            )


class BYOL(base.Method):
    """Online network with predictor, and momentum target."""

    def __init__(
        self, config: Config, network: Architecture, image_size: int, *, seed: int, steps: int
    ) -> None:
        super().__init__()
        self.momentum, self.steps = config.momentum, steps
        with initial_weights(seed):
            self.online = Network(network, image_size, config.head)
            self.predictor = make_byol_mlp(network.dim, network.hidden or BYOL_HIDDEN, network.dim)
        if network.bn == "sync":
            synchronise_batch_norm(self.online)
            synchronise_batch_norm(self.predictor)
        self.target = copy.deepcopy(self.online).requires_grad_(False)

    @property
    def recordable(self) -> bool:
        """True: only the momentum changes from step to step, after it."""
        return True

    @property
    def encoder(self) -> Network:
        """The online network."""
        return self.online

    def similarities(self, batch: Batch) -> tuple[Similarities, ...]:
        """Compare the predictions of either view with the target's embedding of the other."""
        pairs, t = self.embed(batch)
        return tuple(self.centring(similarities(p, z, None, t), p, t) for p, z in pairs)

    def embed(self, batch: Batch) -> tuple[tuple[tuple[Tensor, Tensor], ...], Tensor | None]:
        """Embed a batch.

        Returns:
            The prediction (N, D) of either view with the target's embedding (N, D) of the other, and the
            target's embeddings of the non-semantic negatives (N, M, D), None without.
        """
        self.step = batch.step
        views = self.normalise(batch.query), self.normalise(batch.key)
        negatives = () if batch.negatives is None else batch.negatives.unbind(1)
        inputs = [self.normalise(x) for x in negatives]
        with self.autocast(batch.query):
            p1, p2 = (self.predictor(self.online(self.resize(x, n))) for n, x in enumerate(views))
            with torch.no_grad():
                z1, z2 = (self.target(self.resize(x, n)) for n, x in enumerate(views, start=2))
                t = None
                if inputs:
                    passes = [self.target(self.resize(x, n)) for n, x in enumerate(inputs, start=4)]
                    t = base.widen(torch.stack(passes, dim=1))
        p1, p2, z1, z2 = map(base.widen, (p1, p2, z1, z2))
        self.embedded = p1.detach()
        return ((p1, z2), (p2, z1)), t

    def resize(self, views: Tensor, number: int) -> Tensor:
        """Return the normalised views of a pass as they are; `triplet` gives each pass a side of its own.

        Passes 0 and 1 are of the online network, the others of the target.
        """
        return views

    def after_step(self) -> None:
        """Let the target network follow."""
        momentum = target_momentum(self.step + 1, base=self.momentum, steps=self.steps)
        base.update_average(self.target, self.online, momentum)


def target_momentum(step: int, *, base: float, steps: int) -> float:
    """Return the momentum at a step (Grill et al., 2020): 1 - (1 - base) (cos(pi step / steps) + 1) / 2."""
    return 1 - (1 - base) * (math.cos(math.pi * step / steps) + 1) / 2
