"""The interface of all methods: networks in, similarities out.

A step of training is

    parts = method(batch)            the method's `similarities`
    loss = objective(parts)
    loss.backward(), optimiser step
    method.after_step()

A method says only where positives, ordinary negatives and non-semantic keys come from. Shapes: N batch of a
process, M non-semantic negatives a query, D embedding, S view side.
"""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from texneg.similarity import Similarities
from texneg.train.data.loader import Batch
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

    def check_images(self, n: int, batch: int) -> str:
        """Refuse a data set of n images that the method cannot learn from; return a warning, or nothing."""
        return ""


class Method(nn.Module, ABC):
    """The networks of a method; `forward` is a step up to the similarities."""

    def __init__(self) -> None:
        super().__init__()
        self.normalise = Normalise()
        self.bfloat16_on: tuple[str, ...] = ()
        """Types of devices on which the networks run in bfloat16."""

    @property
    @abstractmethod
    def encoder(self) -> Network:
        """The network that is trained and kept."""

    @abstractmethod
    def similarities(self, batch: Batch) -> tuple[Similarities, ...]:
        """Compare the views of a batch: one set of similarities for each direction of the loss."""

    def after_step(self) -> None:
        """Follow the optimiser's step: momentum networks, queues."""

    def forward(self, batch: Batch) -> tuple[Similarities, ...]:
        """`similarities`, under the name that wrappers of modules call."""
        return self.similarities(batch)

    def autocast(self, views: Tensor) -> AbstractContextManager[Any]:
        """bfloat16 for the networks, where the run asks for it."""
        kind = views.device.type
        return torch.autocast(kind, torch.bfloat16, enabled=kind in self.bfloat16_on)


def widen(x: Tensor) -> Tensor:
    """Convert what autocast made to float32; float64 stays."""
    return x.float() if x.dtype.itemsize < 4 else x


@torch.no_grad()
def update_average(average: nn.Module, source: nn.Module, momentum: float) -> None:
    """Move to momentum * average + (1 - momentum) * source, in place.

    Parameters only: the momentum network stays in train mode and its batch norm statistics are those of its
    own passes.
    """
    torch._foreach_lerp_(list(average.parameters()), list(source.parameters()), 1 - momentum)
