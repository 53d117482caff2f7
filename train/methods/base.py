"""The interface of all methods: networks in, similarities out.

A step of training is

    parts = method(batch)            the method's `similarities`; after `before_step`, of a part of the batch
    loss = objective(parts)
    loss.backward(), optimiser step
    method.after_step()

A method says only where positives, ordinary negatives and non-semantic keys come from. Shapes: N batch of a
process, M non-semantic negatives a query, D embedding, S view side.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from texneg.errors import InputError
from texneg.selection import select
from texneg.similarity import Similarities, drop_columns
from texneg.train.centring import Centring
from texneg.train.data.loader import Batch
from texneg.train.device import send
from texneg.train.distributed import gather, rank
from texneg.train.networks.backbone import Architecture, Network
from texneg.train.networks.normalise import Normalise
from texneg.train.objectives import Loss


@dataclass(frozen=True)
class Config(ABC):
    """Options of a method: a frozen dataclass whose class attributes name the method."""

    name: ClassVar[str]
    loss: ClassVar[Loss]
    """The loss it is published with, with the options that belong to the method, alpha among them."""
    head: ClassVar[str]
    """Projection head: see `networks.backbone.Network`."""
    predicts: ClassVar[bool] = False
    """A predictor keeps its embeddings apart where a loss has no ordinary negatives."""
    zero_init_last: ClassVar[bool] = False
    """Residual blocks of its networks begin as the identity; choosing the method sets --zero-init-last."""

    @abstractmethod
    def negatives(self, batch: int) -> int:
        """Return the ordinary negatives of each query, K, with this many images a step."""

    @abstractmethod
    def build(
        self, network: Architecture, image_size: int, *, seed: int, steps: int, images: int
    ) -> "Method":
        """Make the method with its initial weights.

        Args:
            network: backbone, head and batch norm.
            image_size: side of the views in pixels, S.
            seed: of the run.
            steps: of the whole run.
            images: in the data set.
        """

    def check(self, network: Architecture, batch: int) -> None:
        """Raise `InputError` where the method cannot train this network with this many images a step."""

    def check_parts(self, parts: int, batch: int) -> None:
        """Refuse a step in so many parts, unless the mean of their losses is the loss of the step.

        Raises:
            InputError: always, where a method does not say otherwise.
        """
        raise InputError(
            f"--accumulate {parts}: --method {self.name} compares the images of a step with one another, and"
            " a part has fewer of them; use --accumulate 1 and a smaller --batch, or --method moco"
        )

    def check_images(self, n: int, batch: int) -> str:
        """Refuse a data set of n images that the method cannot learn from; return a warning, or nothing."""
        return ""


Draw = Callable[[int, Tensor], Tensor]
"""A step and the places of its images in the data set (N,), to small numbers on the CPU, equal in shape."""
NOWHERE = torch.empty(0, dtype=torch.long)


class Draws:
    """Numbers that the host draws for a step, on the device.

    A recorded step cannot draw anew. So each of its tensors keeps its place once `kept` is true, and `renew`
    fills it for another step.
    """

    def __init__(self) -> None:
        self.kept = False
        self.places: dict[str, tuple[Draw, Tensor]] = {}

    def __call__(self, name: str, draw: Draw, device: torch.device, step: int, indices: Tensor) -> Tensor:
        """Return the numbers of a step; where they keep their place, those that `renew` drew."""
        if not self.kept:
            return send(draw(step, indices), device)
        if name not in self.places:
            self.places[name] = draw, send(draw(step, indices), device).clone()
        return self.places[name][1]

    def renew(self, step: int, indices: Tensor) -> None:
        """Draw all numbers of another step, in place."""
        for draw, place in self.places.values():
            place.copy_(send(draw(step, indices), place.device))


class Method(nn.Module, ABC):
    """The networks of a method; `forward` is a step up to the similarities."""

    def __init__(self) -> None:
        super().__init__()
        self.normalise = Normalise()
        self.bfloat16_on: tuple[str, ...] = ()
        """Types of devices on which the networks run in bfloat16."""
        self.draws = Draws()
        self.step = 0
        """Of the batch at hand."""
        self.fresh: list[tuple[Tensor, ...]] = []
        """Tensors that each part of a step leaves to `after_step`."""
        self.centring = Centring()
        """Centres the non-semantic cosines."""
        self.groups: Tensor | None = None
        self.embedded: Tensor | None = None
        """The last embeddings of query views (N, D), for metrics alone."""

    @property
    @abstractmethod
    def encoder(self) -> Network:
        """The network that is trained and kept."""

    @property
    def recordable(self) -> bool:
        """True if every step does the same with tensors of the same shapes, and all else comes by `draw`.

        Then a CUDA graph of one step serves for all.
        """
        return False

    def use_groups(self, groups: Tensor) -> None:
        """Leave out negatives of the query's own group from now on; called before the first step.

        Args:
            groups: (n,) int64 on the CPU, of each image of the data set; below 0 for none.
        """
        self.groups = groups

    def find_groups(self, batch: Batch) -> Tensor | None:
        """Return the groups (N,) of the images of a batch on their device; None where groups do not count."""
        if self.groups is None:
            return None
        groups = self.groups
        return self.draw(
            "groups", lambda _, indices: groups[indices], batch.query.device, batch.step, batch.indices
        )

    @abstractmethod
    def similarities(self, batch: Batch) -> tuple[Similarities, ...]:
        """Compare the views of a batch: one set of similarities for each direction of the loss."""

    def before_step(self, batch: Batch, parts: int) -> None:
        """Prepare a step that is made in several parts of this batch, which `similarities` gets in order."""

    def after_step(self) -> None:
        """Follow the optimiser's step: momentum networks, queues."""

    def forward(self, batch: Batch) -> tuple[Similarities, ...]:
        """`similarities`, under the name that wrappers of modules call."""
        return self.similarities(batch)

    def draw(
        self, name: str, draw: Draw, device: torch.device, step: int, indices: Tensor = NOWHERE
    ) -> Tensor:
        """Return small numbers that the host draws for a step, on the device, without waiting for it.

        Args:
            name: of these numbers within a step.
            draw: a function of the step and the places alone.
            device: of the result.
            step: of the batch.
            indices: its places in the data set, for a function that uses them.
        """
        return self.draws(name, draw, device, step, indices)

    def autocast(self, views: Tensor) -> AbstractContextManager[Any]:
        """bfloat16 for the networks, where the run asks for it."""
        kind = views.device.type
        return torch.autocast(kind, torch.bfloat16, enabled=kind in self.bfloat16_on)


def widen(x: Tensor) -> Tensor:
    """Convert what autocast made to float32; float64 stays."""
    return x.float() if x.dtype.itemsize < 4 else x


def leave_out_same(s: Similarities, groups: Tensor, others: Tensor) -> Similarities:
    """Leave out negatives of the query's own group.

    Args:
        s: similarities of N queries.
        groups: (N,) of the queries, below 0 for none.
        others: (K,) or (N, K), of the negatives.
    """
    own = groups.unsqueeze(1)
    return select(s, exclude=(own == others) & (own >= 0))


def groups_in_batch(groups: Tensor) -> Tensor:
    """Return the groups (N, B - 1) of the images of the joint batch, for each query without its own."""
    N, gathered = len(groups), gather(groups)
    own = torch.arange(rank() * N, (rank() + 1) * N, device=groups.device)
    return drop_columns(gathered.expand(N, -1), own)


def join(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate rows; those of one part are that part."""
    return torch.cat(tuple(parts)) if len(parts) > 1 else parts[0]


@torch.no_grad()
def update_average(average: nn.Module, source: nn.Module, momentum: float) -> None:
    """Move to momentum * average + (1 - momentum) * source, in place.

    Parameters only: the momentum network stays in train mode and its batch norm statistics are those of its
    own passes.
    """
    torch._foreach_lerp_(list(average.parameters()), list(source.parameters()), 1 - momentum)
