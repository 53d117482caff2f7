"""Views of images that lie on the training device, made there for a whole batch.

The parameters are those of `views`, drawn on the host, so no value of the device is waited for. The operators
are those of `augment` in float32, in batched torch operations: levels differ by rounding alone.

Shapes: N batch, H W largest crop of the batch, S view side, P = S S.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from texneg.cli.console import format_bytes
from texneg.errors import InputError
from texneg.train.data.augment import DEVIATIONS
from texneg.train.data.augmentations import Augmentation
from texneg.train.data.colours import NEUTRAL, ORDERS
from texneg.train.data.sources import U8, Read
from texneg.train.data.views import Plan, plan_views

LUMA = 0.2989, 0.587, 0.114
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)


class DeviceImages:
    """All images of a run in one uint8 tensor on a device.

    Raises:
        InputError: they do not fit.
    """

    def __init__(self, read: Read, n: int, device: torch.device) -> None:
        images: list[U8] = [read(i) for i in range(n)]
        self.sizes = np.array([image.shape[:2] for image in images], np.int64)
        self.starts = np.concatenate([[0], np.cumsum(self.sizes.prod(1))])  # of each image, pixels
        size = 3 * int(self.starts[-1])
        try:
            self.pixels = torch.empty((int(self.starts[-1]), 3), dtype=torch.uint8, device=device)
        except RuntimeError as error:
            raise InputError(
                f"--loader device: {format_bytes(size)} for {n} images cannot be had on {device}; use a"
                " smaller --resident, or --loader memory"
            ) from error
        for i, image in enumerate(images):
            flat = torch.from_numpy(np.require(image, requirements=["C", "W"])).view(-1, 3)
            self.pixels[self.starts[i] : self.starts[i + 1]].copy_(flat)

    def views(
        self, augmentation: Augmentation, *, seed: int, epoch: int, index: npt.NDArray[np.int64], view: int
    ) -> Tensor:
        """Make one view of each of N images, as `make_views` does: uint8 (N, S, S, 3) on the device."""
        sizes = self.sizes[index].astype(np.float64)
        plan = plan_views(sizes, augmentation, seed=seed, epoch=epoch, index=index, view=view)
        return augment_batch(self.crop(plan, index), plan, augmentation.image_size)

    def crop(self, plan: Plan, index: npt.NDArray[np.int64]) -> Tensor:
        """Gather the crops of a plan: uint8 (N, H, W, 3), the edge pixels repeated beyond each crop."""
        top, left, height, width = plan[:, :4].astype(np.int64).T
        first = self.starts[index] + top * self.sizes[index, 1] + left
        numbers = self.to_device(np.stack([first, height, width, self.sizes[index, 1]]))
        first_, height_, width_, stride = numbers[:, :, None, None]
        y = torch.arange(int(height.max()), device=numbers.device)[None, :, None]
        x = torch.arange(int(width.max()), device=numbers.device)[None, None, :]
        places = first_ + torch.minimum(y, height_ - 1) * stride + torch.minimum(x, width_ - 1)
        return self.pixels[places]

    def to_device(self, numbers: npt.NDArray[np.int64]) -> Tensor:
        """Copy numbers to the device."""
        return torch.from_numpy(numbers).to(self.pixels.device, non_blocking=True)


def augment_batch(crops: Tensor, plan: Plan, side: int) -> Tensor:
    """Resize and augment crops (N, H, W, 3): uint8 (N, S, S, 3); `plan` (N, 15) is on the host."""
    p = torch.from_numpy(plan).float().to(crops.device, non_blocking=True)
    cubic = bool(plan[0, 13])
    x = resize(crops, p[:, 2], p[:, 3], side, cubic=cubic)  # (N, 3, S, S)
    x = torch.where(p[:, 4, None, None, None] > 0, x.flip(3), x)
    x = x.clamp(0, 1) if cubic else x
    for step in range(4):
        which = ORDERS[plan[:, 9].astype(np.int64), step]
        for operator, change in ADJUST.items():
            wanted = (which == operator) & (plan[:, 5 + operator] != NEUTRAL[operator])
            x = apply_to(x, wanted, change, p[:, 5 + operator])
    x = apply_to(x, plan[:, 10] > 0, adjust_saturation, torch.zeros_like(p[:, 10]))
    reach = np.minimum(np.minimum(np.ceil(DEVIATIONS * plan[:, 11]), side - 1), plan[:, 14])
    sigma = torch.stack([p[:, 11], torch.from_numpy(reach).float().to(p.device, non_blocking=True)], dim=1)
    x = apply_to(x, plan[:, 11] > 0, blur, sigma)
    x = apply_to(x, plan[:, 12] > 0, lambda y, _: torch.where(y >= 0.5, 1 - y, y), p[:, 12])
    return (x * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def apply_to(
    x: Tensor, wanted: npt.NDArray[np.bool_], change: Callable[[Tensor, Tensor], Tensor], factor: Tensor
) -> Tensor:
    """Change the images of a batch that the host names, each by its factor, in place."""
    places = np.flatnonzero(wanted)
    if not len(places):
        return x
    if len(places) == len(x):
        return change(x, factor)
    rows = torch.from_numpy(places).to(x.device, non_blocking=True)
    return x.index_copy_(0, rows, change(x.index_select(0, rows), factor.index_select(0, rows)))


def resize(crops: Tensor, height: Tensor, width: Tensor, side: int, *, cubic: bool) -> Tensor:
    """Resize crops (N, H, W, 3) of these heights and widths (N,) to float32 (N, 3, S, S) in 0 ... 1."""
    N, H, W, _ = crops.shape
    down = make_taps(height, H, side, cubic=cubic)  # (N, S, H)
    across = make_taps(width, W, side, cubic=cubic)  # (N, S, W)
    lines = (down / 255) @ crops.reshape(N, H, 3 * W).float()
    planes = lines.view(N, side, W, 3).permute(0, 3, 1, 2).reshape(N, 3 * side, W)
    return (planes @ across.transpose(1, 2)).view(N, 3, side, side)


def make_taps(length: Tensor, longest: int, n: int, *, cubic: bool) -> Tensor:
    """Make the weights (N, n, longest) of antialiased resizes from lengths (N,) to n."""
    scale = (length / n)[:, None, None]
    unit = scale.clamp(min=1)
    support = 2 * unit if cubic else unit
    centre = (torch.arange(n, device=length.device)[:, None] + 0.5) * scale  # (N, n, 1)
    i = torch.arange(longest, device=length.device)
    inside = (i >= (centre - support + 0.5).floor()) & (i < (centre + support + 0.5).floor())
    inside &= i < length[:, None, None]
    t = (i + 0.5 - centre).abs() / unit
    if cubic:
        near = (1.5 * t - 2.5) * t * t + 1
        far = ((2.5 - 0.5 * t) * t - 4) * t + 2
        weights = torch.where(t < 1, near, torch.where(t < 2, far, 0.0))
    else:
        weights = (1 - t).clamp(min=0)
    weights = torch.where(inside, weights, 0.0)
    return weights / weights.sum(dim=2, keepdim=True)


def luma(x: Tensor) -> Tensor:
    """Compute grey values (N, 1, S, S)."""
    return LUMA[0] * x[:, :1] + LUMA[1] * x[:, 1:2] + LUMA[2] * x[:, 2:]


def spread(factor: Tensor) -> Tensor:
    """Shape factors (N,) for images."""
    return factor[:, None, None, None]


def adjust_brightness(x: Tensor, factor: Tensor) -> Tensor:
    """Multiply by the factor."""
    return (spread(factor) * x).clamp(0, 1)


def adjust_contrast(x: Tensor, factor: Tensor) -> Tensor:
    """Blend with the mean grey value."""
    mean = luma(x).mean(dim=(1, 2, 3), keepdim=True)
    return (spread(factor) * x + spread(1 - factor) * mean).clamp(0, 1)


def adjust_saturation(x: Tensor, factor: Tensor) -> Tensor:
    """Blend with the grey image."""
    return (spread(factor) * x + spread(1 - factor) * luma(x)).clamp(0, 1)


def adjust_hue(x: Tensor, turn: Tensor) -> Tensor:
    """Rotate the hue of HSV by so many full turns."""
    red, green, blue = x.unbind(1)
    top = x.amax(1)
    chroma = top - x.amin(1)
    per = torch.where(chroma > 0, 1 / chroma, 0.0)
    sixth = torch.where(top == green, (blue - red) * per + 2, (red - green) * per + 4)
    sixth = torch.where(top == red, (green - blue) * per, sixth) + 6 * turn[:, None, None]
    ahead = torch.tensor([5.0, 3.0, 1.0]).to(x.device, non_blocking=True)[:, None, None]
    k = torch.remainder(sixth[:, None] + ahead, 6)
    return top[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp(0, 1)


ADJUST = {
    BRIGHTNESS: adjust_brightness,
    CONTRAST: adjust_contrast,
    SATURATION: adjust_saturation,
    HUE: adjust_hue,
}


def blur(x: Tensor, sigma_reach: Tensor) -> Tensor:
    """Blur by Gaussians of these sigmas and reaches (N, 2), mirrored at the edges."""
    S = x.shape[-1]
    sigma, reach = sigma_reach[:, :, None, None].unbind(1)
    o, j = torch.arange(S, device=x.device)[:, None], torch.arange(S, device=x.device)

    def weigh(distance: Tensor) -> Tensor:
        return torch.where(distance <= reach, torch.exp(-0.5 * (distance / sigma) ** 2), 0.0)

    # Pixel j is met directly, in the mirror before 0, and in the mirror behind S - 1.
    before = torch.where(j > 0, weigh(o + j), 0.0)
    behind = torch.where(j < S - 1, weigh(2 * (S - 1) - o - j), 0.0)
    weights = weigh((o - j).abs()) + before + behind
    weights = (weights / weights.sum(dim=2, keepdim=True))[:, None]  # (N, 1, S, S)
    return weights @ x @ weights.transpose(2, 3)
