"""The published constants of a corruption: one for each severity, of data sets of three image sizes."""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

Constants = Literal["imagenet-c", "tiny-imagenet-c", "cifar-c"]
CONSTANTS: tuple[Constants, ...] = get_args(Constants)
SIDES: dict[Constants, int] = {"imagenet-c": 224, "tiny-imagenet-c": 64, "cifar-c": 32}
SEVERITIES = (1, 2, 3, 4, 5)

C = TypeVar("C")
Five = tuple[C, C, C, C, C]


@dataclass(frozen=True)
class Severities(Generic[C]):
    """Constants of the severities 1 to 5."""

    px224: Five[C]
    """of ImageNet-C"""
    px64: Five[C]
    """of Tiny-ImageNet-C"""
    px32: Five[C]
    """of CIFAR-10-C and CIFAR-100-C"""

    def of(self, constants: Constants) -> Five[C]:
        """The constants of one data set."""
        return {"imagenet-c": self.px224, "tiny-imagenet-c": self.px64, "cifar-c": self.px32}[constants]


def nearest_constants(side: int) -> Constants:
    """The data set whose images are nearest in size, as a ratio, to images of this side.

    Constants are published for its own size alone: at any other, results are comparable among themselves.
    """
    return min(CONSTANTS, key=lambda name: max(side / SIDES[name], SIDES[name] / side))
