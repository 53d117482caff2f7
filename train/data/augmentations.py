"""Augmentations of published methods: the operators of each of the two views, with probabilities and ranges.

Chen et al., arXiv 2003.04297 (MoCo-v2); Grill et al., NeurIPS 2020 (BYOL); Chen et al., ICML 2020 (SimCLR);
Wang and Liu, CVPR 2021. All crop, jitter colours, make grey, blur, solarise and flip, in this order.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from texneg.errors import InputError
from texneg.train.options import from_plain, later, to_plain, to_settings

QUERY, KEY = 0, 1
SIGMA = 0.1, 2.0  # of a blur, pixels


@dataclass(frozen=True)
class Operators:
    """The operators of one view."""

    jitter: float
    """Probability of a colour jitter."""
    blur: float
    """Probability of a blur."""
    reach: float = float("inf")
    """Pixels from its centre at which the blur's kernel ends, if that is below three sigma."""
    solarise: float = 0.0
    """Probability of inverting the brighter half of the levels."""
    cubic: bool = False
    """Resize crops by a bicubic filter instead of a bilinear one, both antialiased."""


@dataclass(frozen=True)
class Augmentation(ABC):
    """The augmentation of a run's views: a frozen dataclass whose fields are its options."""

    name: ClassVar[str]
    colours: ClassVar[tuple[float, float, float, float]]
    """Largest change of brightness, contrast, saturation and hue at --jitter 1."""

    image_size: int = 224
    """Side of a view, pixels."""
    crop: float = 0.2
    """Smallest share of the image's area that a crop keeps; the largest is 1."""
    jitter: float = 1.0
    """Strength of the colour jitter; 1 is the published one."""
    grey: float = 0.2
    """Probability of a grey view."""
    operators: Literal["compiled", "pillow"] = later("compiled")
    """compiled: rounded to 8 bits once, at the end. pillow: torchvision's functions on Pillow images, as in
    the official loaders, several times slower; for runs that are compared with theirs."""

    @abstractmethod
    def of_view(self, view: int) -> Operators:
        """Return the operators of the query view (0) or the key view (1)."""

    @property
    def largest_jitter(self) -> float:
        """The strength at which a factor may become 0, or a hue its opposite."""
        return min(1 / max(self.colours[:3]), 0.5 / self.colours[3])

    def plain(self) -> dict[str, Any]:
        """Return the settings as JSON has them; without the name of MoCo-v2's augmentation."""
        return to_settings(self) if type(self) is MocoV2 else to_plain(self)

    def check(self) -> None:
        """Refuse values outside their range.

        Raises:
            InputError: naming the flag and what it may be.
        """
        for wrong, message in (
            (not 8 <= self.image_size <= 4096, f"--image-size {self.image_size}: 8 to 4096 pixels"),
            (not 0 < self.crop <= 1, f"--crop {self.crop}: a share of the area, above 0 and at most 1"),
            (
                not 0 <= self.jitter <= self.largest_jitter,
                f"--jitter {self.jitter}: 0 to {self.largest_jitter:g}",
            ),
        ):
            if wrong:
                raise InputError(message)
        for option in ("grey", "blur", "solarise"):
            value = getattr(self, option, 0.0)
            given = value if isinstance(value, tuple) else (value,)
            if not all(0 <= share <= 1 for share in given):
                words = " ".join(f"{share:g}" for share in given)
                raise InputError(f"--{option} {words}: a probability, 0 to 1")


@dataclass(frozen=True)
class MocoV2(Augmentation):
    """MoCo-v2's augmentation: crop, colour jitter, grey, blur, flip, the same for both views."""

    name = "moco_v2"
    colours = 0.4, 0.4, 0.4, 0.1

    blur: float = 0.5
    """Probability of a blur of sigma 0.1 to 2 pixels; use 0 for images up to 64 pixels."""

    def of_view(self, view: int) -> Operators:
        """Return the same for both."""
        return Operators(jitter=0.8, blur=self.blur)


@dataclass(frozen=True)
class Byol(Augmentation):
    """BYOL's augmentation: the query view is blurred, the key view at times solarised; bicubic crops."""

    name = "byol"
    colours = 0.4, 0.4, 0.2, 0.1

    crop: float = 0.08
    """Smallest share of the image's area that a crop keeps; the largest is 1."""
    blur: tuple[float, float] = (1.0, 0.1)
    """Probabilities of a blur of sigma 0.1 to 2 pixels, of the query view and the key view."""
    solarise: tuple[float, float] = (0.0, 0.2)
    """Probabilities that levels from 128 up are inverted, in the query view and the key view."""

    def of_view(self, view: int) -> Operators:
        """Return those of the query view or the key view."""
        return Operators(jitter=0.8, blur=self.blur[view], solarise=self.solarise[view], cubic=True)


@dataclass(frozen=True)
class SimClr(Augmentation):
    """SimCLR's augmentation: strong colours, a blur that ends at a twentieth of the side, bicubic crops."""

    name = "simclr"
    colours = 0.8, 0.8, 0.8, 0.2

    crop: float = 0.08
    """Smallest share of the image's area that a crop keeps; the largest is 1."""
    jitter: float = 1.0
    """Strength of the colour jitter; 1 is that for ImageNet, 0.5 that for CIFAR-10."""
    blur: float = 0.5
    """Probability of a blur of sigma 0.1 to 2 pixels; published with 0 for CIFAR-10."""

    def of_view(self, view: int) -> Operators:
        """Return the same for both."""
        return Operators(jitter=0.8, blur=self.blur, reach=max(1, self.image_size // 20), cubic=True)


@dataclass(frozen=True)
class WangLiu(Augmentation):
    """Wang and Liu's augmentation, that of instance discrimination: every view's colours change, hue most."""

    name = "wang_liu"
    colours = 0.4, 0.4, 0.4, 0.4

    blur: float = 0.0
    """Probability of a blur of sigma 0.1 to 2 pixels; they blur ImageNet-100 alone."""

    def of_view(self, view: int) -> Operators:
        """Return the same for both."""
        return Operators(jitter=1.0, blur=self.blur)


AUGMENTATIONS: list[type[Augmentation]] = [MocoV2, Byol, SimClr, WangLiu]
"""Append a class here to train with it by its name."""


def read_augmentation(plain: Mapping[str, Any]) -> Augmentation:
    """Read what `plain` wrote, by way of JSON or not.

    Raises:
        InputError: a name that is not in `AUGMENTATIONS`, or options that its class does not have.
    """
    return from_plain(AUGMENTATIONS, {"name": MocoV2.name, **plain}, "--views")
