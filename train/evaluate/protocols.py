"""Published protocols of the linear probe by gradient descent: batch, epochs and learning rates.

He et al., CVPR 2020 (MoCo): 30, a tenth of it from epochs 60 and 80 on. Ge et al., NeurIPS 2021 (the
paper's code): 10, a tenth from epochs 30, 40 and 50 on. Both: random crops and flips, momentum 0.9, no weight
decay, no standardisation. Oquab et al., arXiv 2304.07193 (DINOv2): many learning rates at a time, cosine.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

from texneg.errors import InputError

ProtocolName = Literal["lbfgs", "paper", "moco", "sweep"]


@dataclass(frozen=True)
class Protocol:
    """Training of one head, or of several that differ in their learning rate."""

    name: str
    rates: tuple[float, ...]
    """learning rates, a head each; the one is taken that is right most often on held-out images"""
    batch: int
    """images a step"""
    epochs: int
    drops: tuple[float, ...] = ()
    """epochs from which on the learning rate is a tenth of what it was; none: a half cosine"""

    def shorten(self, epochs: int | None) -> "Protocol":
        """The same protocol in another number of epochs, drops in proportion.

        Raises:
            InputError: less than one epoch.
        """
        if epochs is None or epochs == self.epochs:
            return self
        if epochs < 1:
            raise InputError(f"--epochs {epochs}: at least 1")
        drops = tuple(drop * epochs / self.epochs for drop in self.drops)
        return replace(self, name=f"{self.name} in other epochs", epochs=epochs, drops=drops)

    def factor(self, step: int, per_epoch: int) -> float:
        """Factor of the learning rates at a step."""
        if not self.drops:
            return 0.5 * (1 + math.cos(math.pi * step / (self.epochs * per_epoch)))
        return 0.1 ** sum(step // per_epoch >= drop for drop in self.drops)

    def describe(self) -> str:
        """Describe it in words, to stand beside a number."""
        rates = f"lr {self.rates[0]:g}" if len(self.rates) == 1 else f"{len(self.rates)} learning rates"
        course = f"a tenth from {', '.join(f'{drop:g}' for drop in self.drops)}" if self.drops else "cosine"
        return f"{self.name}: SGD, {rates}, batch {self.batch}, {self.epochs} epochs, {course}"


PROTOCOLS = (
    Protocol("paper", (10.0,), 128, 60, (30, 40, 50)),
    Protocol("moco", (30.0,), 256, 100, (60, 80)),
    Protocol("sweep", (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100), 256, 30),
)


def find_protocol(name: str, epochs: int | None) -> Protocol:
    """Find a protocol by its name, in its own number of epochs or another."""
    return next(one for one in PROTOCOLS if one.name == name).shorten(epochs)
