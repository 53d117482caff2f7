"""A recipe: its configuration with source, published result and cost."""

from collections.abc import Callable
from dataclasses import dataclass

from texneg.train.config import PretrainConfig

RATE = 100e12
"""Operations a second that `Recipe.hours` counts with: a large GPU in bfloat16, kept busy."""
CORE_RATE = 50e9
"""The same of a CPU core in float32."""
CORE = "1 core"
"""`Recipe.hardware` of those for a CPU."""


@dataclass(frozen=True)
class Recipe:
    """A configuration with where it comes from and what it costs."""

    make: Callable[[], PretrainConfig]
    """The function that returns it; its name is the name of the recipe."""
    data: str
    """The data set that it is meant for."""
    images: int
    """Training images of that data set."""
    expected: str
    """Published linear top-1 in percent; empty where there is none."""
    hardware: str
    """GPUs with this much memory, or CPU cores."""
    gflop: float
    """Operations of training one image in one step, in thousand millions: networks alone, forward and
    backward, a multiply-add counted as two."""

    @property
    def name(self) -> str:
        """The name after `texneg pretrain`."""
        return self.make.__name__

    @property
    def hours(self) -> float:
        """Hours at `RATE`, or of a core: calculated, not measured."""
        rate = CORE_RATE if self.hardware == CORE else RATE
        return self.gflop * 1e9 * self.images * self.make().optimisation.epochs / rate / 3600
