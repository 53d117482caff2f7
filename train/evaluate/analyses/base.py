"""The interface of an analysis: a measurement on a sample of images, and its part of a report.

Shapes: N images.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from texneg.cli.fields import Positional
from texneg.datasets.images import ImageSet
from texneg.philox.arrays import generator
from texneg.philox.streams import Stream
from texneg.train.data.reading import find_unreadable
from texneg.train.data.splits import open_train
from texneg.train.evaluate.encoders import Encoder
from texneg.train.evaluate.figures import Look
from texneg.train.networks.imported import Foreign

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Findings = Mapping[str, Any]
"""Results of an analysis of one encoder, as in its JSON file."""


@dataclass(frozen=True)
class Analysis(ABC):
    """An analysis of a frozen encoder: a frozen dataclass whose fields are flags of `texneg analyze NAME`.

    `texneg.train.evaluate.analyses.ANALYSES` lists the classes. A report has no instance, only the files
    NAME.json of the run folders, so the methods that it calls are class methods.
    """

    checkpoint: Positional[str]
    """run folder, encoder.pt, file of another project's weights, or timm:NAME"""
    data: str
    """images, labelled or not; the `train` split where there is one"""
    out: str
    """run folder for the results"""
    images: int = 2048
    """how many images to take, drawn by the seed; 0 for all"""
    seed: int = 0
    """of the sample and of everything else that is drawn"""
    batch: int = 256
    """images a forward pass"""
    device: str = "auto"
    """auto, cpu or cuda"""
    bad: Literal["skip", "error"] = "skip"
    """an image of the sample that cannot be read: is left out, or ends the analysis"""
    allow_truncated: bool = False
    """use truncated files as far as they go"""
    foreign: Foreign = Foreign()

    name: ClassVar[str]
    """of the analysis on the command line, and of its JSON file"""
    heading: ClassVar[str]
    """of its section in a report"""
    lede: ClassVar[str]
    """what the section shows"""
    caption: ClassVar[str] = ""
    """how to read the figure"""
    picture: ClassVar[str] = ""
    """file in the run folder that a report shows below the figure"""

    def open_images(self) -> ImageSet:
        """Open the images of which a sample is measured."""
        return open_train(self.data)

    def find_unreadable(self, images: ImageSet, index: npt.NDArray[np.int64]) -> dict[int, str]:
        """Say why some of the images at N places cannot be used, by place."""
        return find_unreadable(images, index.tolist())

    @abstractmethod
    def measure(self, encoder: Encoder, images: ImageSet, index: npt.NDArray[np.int64]) -> dict[str, Any]:
        """Measure the images at N places; returns plain values for the JSON file."""

    @classmethod
    @abstractmethod
    def numbers(cls, found: Findings) -> dict[str, float]:
        """The rows of its table: a name and a number each."""

    @classmethod
    def summary(cls, found: Findings) -> list[str]:
        """Lines for the terminal."""
        return [f"{name}: {value:.3f}" for name, value in cls.numbers(found).items()]

    @classmethod
    def figure(cls, arms: Sequence[tuple[Look, Sequence[Findings]]]) -> "Figure | None":
        """A figure of all arms, each with the results of its runs; None for the table alone."""
        return None


def draw_sample(n: int, count: int, *, seed: int) -> npt.NDArray[np.int64]:
    """Draw `count` of n places without replacement, in rising order; all of them where n is smaller."""
    return np.sort(generator(seed, Stream.SIMILARITY_SAMPLE).permutation(n)[:count]).astype(np.int64)
