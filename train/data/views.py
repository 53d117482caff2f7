"""Augmented views whose pixels depend on (seed, epoch, image index, view) alone.

Parameters are drawn for a whole batch from Philox words; `augment` applies them, or `pillow` does.

Shapes: N batch, H W image, S view side.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from texneg.philox.arrays import fold, fold_array, philox
from texneg.philox.streams import Stream
from texneg.train.data.augment import allocate, augment
from texneg.train.data.augmentations import SIGMA, Augmentation
from texneg.train.data.colours import NEUTRAL, ORDERS

TRIES = 10  # crops drawn before the largest central one is taken, as in torchvision
RATIO = 3 / 4, 4 / 3

U8 = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]
Plan = npt.NDArray[np.float64]
"""(N, 15): top, left, height, width of the crop in pixels; flip; brightness, contrast, saturation, hue;
row of `colours.ORDERS`; grey; sigma of the blur in pixels, 0 for none; solarise; bicubic crop; reach of the
blur in pixels."""


def make_views(
    images: Sequence[U8],
    augmentation: Augmentation,
    *,
    seed: int,
    epoch: int,
    index: npt.NDArray[np.int64],
    view: int,
) -> U8:
    """Make one view of each of N images: uint8 (N, S, S, 3).

    Args:
        images: uint8 (H, W, 3) each, sizes may differ.
        augmentation: operators and strengths.
        seed: of the run.
        epoch: counted from 0.
        index: (N,) places in the data set; another image with the same index (a texture) is augmented alike.
        view: QUERY or KEY.
    """
    sizes = np.array([image.shape[:2] for image in images], np.float64)
    plan = plan_views(sizes, augmentation, seed=seed, epoch=epoch, index=index, view=view)
    out = np.empty((len(images), augmentation.image_size, augmentation.image_size, 3), np.uint8)
    if augmentation.operators == "pillow":
        from texneg.train.data.pillow import augment_pillow  # torchvision takes a second to import

        for image, row, pixels in zip(images, plan, out, strict=True):
            pixels[:] = np.asarray(augment_pillow(image, row, augmentation.image_size))
        return out
    memory = allocate(plan, augmentation.image_size)
    for image, row, pixels in zip(images, plan, out, strict=True):
        augment(np.ascontiguousarray(image), row, pixels, memory)
    return out


def plan_views(
    sizes: F64, augmentation: Augmentation, *, seed: int, epoch: int, index: npt.NDArray[np.int64], view: int
) -> Plan:
    """Draw the parameters (N, 15) of a view of each image; `sizes` (N, 2) are heights and widths, pixels."""
    keys = fold_array(fold(seed, epoch, Stream.VIEWS, view), index)
    u = philox(keys[:, None], np.arange(TRIES + 3)) / 2.0**32  # (N, blocks, 4), uniform on [0, 1)
    a, of = augmentation, augmentation.of_view(view)
    (flip, jittered, grey, blurred), (order, sigma, solarised) = u[:, TRIES].T, u[:, TRIES + 2, :3].T
    shift = a.jitter * np.multiply(a.colours, 2 * u[:, TRIES + 1] - 1)
    factors = NEUTRAL + np.where(jittered < of.jitter, shift.T, 0).T
    blurs = np.where(blurred < of.blur, SIGMA[0] + sigma * (SIGMA[1] - SIGMA[0]), 0)
    turns, same = np.floor(order * len(ORDERS)), np.ones(len(u))
    rest = [turns, grey < a.grey, blurs, solarised < of.solarise, same * of.cubic, same * of.reach]
    crops = draw_crops(u[:, :TRIES], sizes, a.crop)
    return np.hstack([crops, (flip < 0.5)[:, None], factors, np.stack(rest, axis=1)])


def draw_crops(u: F64, sizes: F64, smallest: float) -> F64:
    """Draw crops: top, left, height, width (N, 4); area uniform from `smallest` to 1, log aspect uniform.

    Args:
        u: (N, TRIES, 4) uniform numbers: area, aspect, vertical and horizontal place of each try.
        sizes: (N, 2) heights and widths in pixels.
        smallest: share of the area.
    """
    H, W = sizes.T
    area = H[:, None] * W[:, None] * (smallest + u[..., 0] * (1 - smallest))  # (N, TRIES)
    aspect = np.exp(math.log(RATIO[0]) + u[..., 1] * math.log(RATIO[1] / RATIO[0]))
    width, height = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
    fits = (width >= 1) & (height >= 1) & (width <= W[:, None]) & (height <= H[:, None])
    first = np.arange(len(u)), fits.argmax(1)
    height, width = height[first], width[first]
    top, left = (
        np.floor(u[first][:, 2 + i] * (n - m + 1)) for i, (n, m) in enumerate(((H, height), (W, width)))
    )
    none = ~fits.any(1)
    whole = np.minimum(H, np.rint(W / RATIO[0])), np.minimum(W, np.rint(H * RATIO[1]))
    height, width = np.where(none, whole[0], height), np.where(none, whole[1], width)
    top, left = np.where(none, (H - height) // 2, top), np.where(none, (W - width) // 2, left)
    return np.stack([top, left, height, width], axis=1)
