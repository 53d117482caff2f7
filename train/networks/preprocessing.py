"""Preparation of test images for an encoder: size, interpolation, crop, channel mean and deviation."""

from dataclasses import dataclass
from typing import Any, Literal

Interpolation = Literal["bilinear", "bicubic"]
Resize = Literal["torchvision", "no-enlargement"]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, of channels in 0 ... 1
CROP = 224 / 256
VERSION = "v2"  # of the crop; a new one makes new caches and measures sets again
LARGEST_READY_CUT = 64  # pixels; data sets of so small images are cut to size already
Channels = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocessing:
    """Resize, centre crop and normalisation; by default torchvision's for ImageNet.

    `torchvision` resizes every image to the shorter side before the crop. `no-enlargement` resizes an image
    whose shorter side is less than that to the crop's side alone, so that one cut to size is taken as it is.
    """

    image_size: int = 224
    """Side of the crop in pixels, S."""
    mean: Channels = MEAN
    """Channel means, of values in 0 ... 1."""
    std: Channels = STD
    """Channel deviations."""
    interpolation: Interpolation = "bilinear"
    crop: float = CROP
    """Share of the resized image's shorter side that the crop keeps."""
    resize: Resize | None = None
    """None: `no-enlargement` for crops of at most 64 px, else `torchvision`."""

    @property
    def enlarges(self) -> bool:
        """Resize smaller images, too."""
        if self.resize is None:
            return self.image_size > LARGEST_READY_CUT
        return self.resize == "torchvision"

    @property
    def resized(self) -> int:
        """Shorter side in pixels before the crop; rounded as torchvision's 256 for 224, else as in timm."""
        return round(self.image_size / self.crop) if self.crop == CROP else int(self.image_size / self.crop)

    @property
    def transform(self) -> str:
        """Name of resize and crop, as results record it."""
        share = "256/224" if self.crop == CROP else f"1/{self.crop:g}"
        kind = "torchvision" if self.enlarges else "no-enlargement"
        return f"{kind}-resize-{share}-{self.interpolation}-centre-crop-{VERSION}"

    def plan(self, height: int, width: int) -> tuple[tuple[int, int], int, int]:
        """Return the size (width, height) to resize an image to, then left and top of the crop.

        Rounded as torchvision does: the longer side down, the offset to the nearest number, halves to even.
        """
        side, shorter, longer = self.image_size, min(height, width), max(height, width)
        short = self.resized if self.enlarges or shorter >= self.resized else side
        long = int(short * longer / shorter)
        size = (short, long) if width <= height else (long, short)
        return size, round((size[0] - side) / 2), round((size[1] - side) / 2)

    def describe(self) -> str:
        """Describe it in words, to stand beside a number."""
        mean, std = (" ".join(f"{value:.4g}" for value in channels) for channels in (self.mean, self.std))
        small = "" if self.enlarges else "; smaller images are not enlarged to that"
        return (
            f"{self.image_size} px of a shorter side of {self.resized}, {self.interpolation},"
            f" mean {mean}, deviation {std}{small}"
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
