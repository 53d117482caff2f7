"""Preparation of test images for an encoder: size, interpolation, crop, channel mean and deviation."""

from dataclasses import dataclass
from typing import Any, Literal

Interpolation = Literal["bilinear", "bicubic"]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, of channels in 0 ... 1
CROP = 224 / 256
DEFAULT_TRANSFORM = "resize-256/224-bilinear-centre-crop-v1"  # a new name makes new caches
Channels = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocessing:
    """Resize, centre crop and normalisation; by default torchvision's for ImageNet."""

    image_size: int = 224
    """Side of the crop in pixels, S."""
    mean: Channels = MEAN
    """Channel means, of values in 0 ... 1."""
    std: Channels = STD
    """Channel deviations."""
    interpolation: Interpolation = "bilinear"
    crop: float = CROP
    """Share of the resized image's shorter side that the crop keeps."""

    @property
    def resized(self) -> int:
        """Shorter side in pixels before the crop; rounded as torchvision's 256 for 224, else as in timm."""
        return round(self.image_size / self.crop) if self.crop == CROP else int(self.image_size / self.crop)

    @property
    def transform(self) -> str:
        """Name of resize and crop, as results record it."""
        if (self.interpolation, self.crop) == ("bilinear", CROP):
            return DEFAULT_TRANSFORM
        return f"resize-1/{self.crop:g}-{self.interpolation}-centre-crop-v1"

    def describe(self) -> str:
        """Describe it in words, to stand beside a number."""
        mean, std = (" ".join(f"{value:.4g}" for value in channels) for channels in (self.mean, self.std))
        return (
            f"{self.image_size} px of a shorter side of {self.resized}, {self.interpolation}, mean {mean},"
            f" deviation {std}"
        )


def read_timm_config(config: dict[str, Any], image_size: int) -> Preprocessing:
    """Read timm's configuration of a set of weights; `image_size` stands where it names none."""
    size = config.get("input_size")
    return Preprocessing(
        size[-1] if size else image_size,
        tuple(config.get("mean") or MEAN),
        tuple(config.get("std") or STD),
        "bicubic" if config.get("interpolation") == "bicubic" else "bilinear",
        config.get("crop_pct") or CROP,
    )
