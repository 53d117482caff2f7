"""Linear heads by gradient descent, as in the published protocols, on views or on kept features.

Heads that differ in their learning rate alone are trained side by side on the same features. The gradient is
written out, so that a step is a function of its numbers and nothing else.

Shapes: N images of a step, F features, C classes, R heads.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from texneg.datasets.sampler import epoch_order
from texneg.errors import InputError, RunFailed
from texneg.philox.arrays import generator
from texneg.philox.streams import Stream
from texneg.train.data.loader import Batch, Batches
from texneg.train.engine.optimiser import MOMENTUM
from texneg.train.evaluate.encoders import Encoder, evaluation_mode, find_device
from texneg.train.evaluate.features import pass_in_pieces, to_network_input
from texneg.train.evaluate.fitting import Fit, load_batches
from texneg.train.evaluate.protocols import Protocol

SPREAD = 0.01  # of the weights that a head begins with, as in MoCo


@dataclass(frozen=True)
class KeptFeatures:
    """Features of training images, computed once, as a source of steps."""

    values: Tensor
    """float32 (images, F)"""
    batch: int
    seed: int

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch; the last incomplete batch is left out."""
        return len(self.values) // self.batch

    def read(self, steps: range) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield features (N, F) and places (N,) of these steps."""
        for step in steps:
            epoch, at = divmod(step, self.per_epoch)
            order = epoch_order(len(self.values), seed=self.seed, epoch=epoch)
            places = torch.from_numpy(order[at * self.batch : (at + 1) * self.batch])
            yield self.values[places.to(self.values.device)], places


@dataclass(frozen=True)
class FrozenViews:
    """Random crops through the frozen encoder, as a source of steps."""

    encoder: Encoder
    batches: Batches
    workers: int

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch."""
        return self.batches.steps_per_epoch

    def read(self, steps: range) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield features (N, F) and places (N,) of these steps."""
        device = find_device(self.encoder)
        loading: Iterator[Batch] = load_batches(self.batches, steps, self.workers, pin=device.type == "cuda")
        for batch in loading:
            with evaluation_mode(self.encoder):
                features = pass_in_pieces(
                    self.encoder, to_network_input(batch.query.to(device), self.encoder)
                ).float()
            yield features, batch.indices


class HeadFit(Fit):
    """The training of R linear heads.

    Args:
        source: of features.
        labels: int64 (images,), of all places.
        classes: C.
        protocol: rates, batch, epochs.
        seed: of the weights that the heads begin with.
        judge: accuracy on the test images of a head's weight (C, F) and bias (C,); None without any.
        path: of the state.
        identity: of the work.
    """

    def __init__(
        self,
        source: KeptFeatures | FrozenViews,
        labels: Tensor,
        *,
        classes: int,
        features: int,
        protocol: Protocol,
        seed: int,
        device: torch.device,
        judge: Callable[[Tensor, Tensor], float] | None,
        path: Path,
        identity: Mapping[str, Any],
    ) -> None:
        batch = min(protocol.batch, len(labels))
        super().__init__(path, identity, per_epoch=source.per_epoch, epochs=protocol.epochs, batch=batch)
        self.source, self.labels, self.protocol, self.judge = source, labels, protocol, judge
        drawn = generator(seed, Stream.HEAD).normal(0, SPREAD, (classes, features))
        heads = len(protocol.rates)
        self.weight = torch.from_numpy(drawn).float().to(device).repeat(heads, 1, 1)
        self.bias = self.weight.new_zeros(heads, classes)
        self.speed, self.speed_bias = torch.zeros_like(self.weight), torch.zeros_like(self.bias)
        self.rates = torch.tensor(protocol.rates, device=device)
        self.best: tuple[float, int] | None = None
        """Highest accuracy on the test images, and after how many epochs; of a single head."""

    def read(self, steps: range) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield features and places."""
        return self.source.read(steps)

    def advance(self, taken: tuple[Tensor, Tensor]) -> None:
        """Make a step of SGD with momentum, of all heads."""
        x, places = taken
        R, C, _ = self.weight.shape
        scores = torch.addmm(self.bias.flatten(), x, self.weight.flatten(0, 1).T).view(-1, R, C)
        shares = scores.softmax(2)
        shares[torch.arange(len(x)), :, self.labels[places]] -= 1
        shares /= len(x)
        gradient = (shares.flatten(1).T @ x).view_as(self.weight)
        self.speed.mul_(MOMENTUM).add_(gradient)
        self.speed_bias.mul_(MOMENTUM).add_(shares.sum(0))
        rates = self.rates * self.protocol.factor(self.step, self.per_epoch)
        self.weight -= rates[:, None, None] * self.speed
        self.bias -= rates[:, None] * self.speed_bias

    def end_epoch(self, epoch: int) -> str:
        """Test the head, where there is one and something to test it on."""
        if not self.weight.isfinite().all(2).all(1).any():
            raise RunFailed(
                f"the head is not finite after epoch {epoch}: {self.protocol.name}'s lr is too high"
            )
        if self.judge is None or len(self.weight) > 1:
            return f"epoch {epoch}"
        found = self.judge(self.weight[0].cpu(), self.bias[0].cpu())
        if self.best is None or found > self.best[0]:
            self.best = found, epoch
        return f"epoch {epoch}: test {100 * found:.1f} %"

    def state(self) -> dict[str, Any]:
        """Weights, their speed and the best accuracy."""
        numbers = {name: getattr(self, name) for name in ("weight", "bias", "speed", "speed_bias")}
        return {**{name: value.cpu() for name, value in numbers.items()}, "best": self.best}

    def restore(self, state: dict[str, Any]) -> None:
        """Put them back."""
        for name in ("weight", "bias", "speed", "speed_bias"):
            getattr(self, name).copy_(state[name])
        self.best = state["best"]

    def choose(self, features: Tensor, labels: Tensor) -> tuple[int, float | None]:
        """Choose the head that is right most often on held-out images, of equals the one of the lowest loss.

        Args:
            features: (H, F); none of them for a single head.
            labels: int64 (H,).

        Returns:
            Its place, and its accuracy on these images.

        Raises:
            InputError: several heads, and no image was held out.
        """
        if len(self.weight) == 1:
            return 0, None
        if not len(features):
            raise InputError("a sweep chooses on held-out images: give two or more images of a class")
        scores = [
            features @ weight.T + bias
            for weight, bias in zip(self.weight.cpu(), self.bias.cpu(), strict=True)
        ]
        right = [(one.argmax(1) == labels).double().mean().item() for one in scores]
        losses = [F.cross_entropy(one, labels).nan_to_num(torch.inf).item() for one in scores]
        place = min(range(len(scores)), key=lambda i: (-right[i], losses[i]))
        return place, right[place]
