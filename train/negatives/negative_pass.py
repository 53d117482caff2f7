"""The pass of non-semantic negatives through the network: in which steps, and of what part of them.

Shapes: N images, M negatives a query, S view side.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from texneg.errors import InputError
from texneg.train.distributed import mean_over_processes
from texneg.train.options import later

LOOK = 10  # the first of so many parts of an epoch shows whether the rest of it has negatives
SMALLEST = 16  # pixels of a side of a negative


@dataclass(frozen=True)
class NegativePass:
    """Savings on the pass of the negatives, a fifth of a step."""

    negatives_half: bool = later(False)
    """Embed the upper left quarter of each negative, of half its side: a quarter of the cost, and the same
    local statistics."""
    negatives_every: int = later(1)
    """Steps from one with negatives to the next; 1: every step has them."""
    negatives_above: float | None = later(None)
    """Leave the negatives out of the rest of an epoch if in its first tenth the mean cosine of queries and
    their negatives is not above this; every epoch looks again."""

    @property
    def steady(self) -> bool:
        """True if every step has negatives."""
        return self.negatives_every == 1 and self.negatives_above is None

    def check(self, size: int, *, centred: bool) -> None:
        """Refuse options outside their range.

        Args:
            size: side of the views, pixels.
            centred: non-semantic cosines are centred.

        Raises:
            InputError: naming the flag and what it may be.
        """
        if self.negatives_half and size < 2 * SMALLEST:
            raise InputError(f"--negatives-half: for --image-size {2 * SMALLEST} or more, not {size}")
        if self.negatives_every < 1:
            raise InputError(f"--negatives-every {self.negatives_every}: 1 or more steps")
        above = self.negatives_above
        if above is not None and not -1 <= above <= 1:
            raise InputError(f"--negatives-above {above}: a cosine, -1 to 1")
        if above is not None and centred:
            raise InputError(
                f"--negatives-above {above} looks at cosines, which --centre changes; leave one of them out"
            )

    def crop(self, negatives: Tensor | None) -> Tensor | None:
        """Return the part (N, M, S', S', 3) of negatives (N, M, S, S, 3) that is embedded."""
        if negatives is None or not self.negatives_half:
            return negatives
        side = negatives.shape[2] // 2
        return negatives[:, :, :side, :side].contiguous()


class Teaching:
    """Steps in which there are negatives; the mean cosine of an epoch's beginning is all it remembers.

    Args:
        config: the options.
        epoch_steps: steps of an epoch.
    """

    def __init__(self, config: NegativePass, epoch_steps: int) -> None:
        self.config, self.epoch_steps = config, epoch_steps
        self.looks = max(1, epoch_steps // LOOK)
        self.total, self.count, self.goes_on = torch.zeros(()), 0, True

    def wants(self, step: int) -> bool:
        """Return True if this step has negatives."""
        if step % self.config.negatives_every:
            return False
        return self.config.negatives_above is None or step % self.epoch_steps < self.looks or self.goes_on

    def add(self, step: int, cosine: Tensor | None) -> None:
        """Count the mean cosine of a step's negatives; the host waits for it once an epoch.

        Args:
            step: just done.
            cosine: scalar; None in a step without negatives.
        """
        place, above = step % self.epoch_steps, self.config.negatives_above
        if above is None or place >= self.looks:
            return
        if cosine is not None:
            self.total, self.count = self.total.to(cosine.device) + cosine, self.count + 1
        if place == self.looks - 1:
            mean = mean_over_processes(self.total / max(1, self.count)).item()
            self.goes_on = not self.count or mean > above
            self.total, self.count = torch.zeros(()), 0

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint, the same in every process."""
        total = self.total if self.config.negatives_above is None else mean_over_processes(self.total)
        return {"total": total, "count": self.count, "goes_on": self.goes_on}

    def restore(self, state: dict[str, Any]) -> None:
        """Put `state` back."""
        self.total, self.count, self.goes_on = state["total"], state["count"], state["goes_on"]
