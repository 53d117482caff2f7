"""Tell: the ease with which a local classifier separates negatives from images.

A negative that is told apart by its seams or its blur can be pushed away by a network that has learnt nothing
of shape. Tell is the area under the ROC curve of a classifier that sees windows of a few pixels and averages
over the image: 0.5 where negatives have the local statistics of images, 1 where every negative is found.

Definition, for a receptive field of 5 s pixels, s = 1, 4 or 16:

1. Images are reduced by s with means of s x s pixels; grey is .299 R + .587 G + .114 B (the mean of any other
   number of channels).
2. 24 filters of 5 x 5, normal values from a fixed Philox stream, each of mean zero in every channel and of
   unit norm; in colour a filter spans all channels. At s = 1 they are applied at every second row and column.
3. With |r|, r^2, r^4 averaged over all positions and l(x) = log(1 + x), r in grey levels of 0 ... 255, each
   filter gives three statistics: l(|r|), l(r^2) - 2 l(|r|), l(r^4) - 2 l(r^2): contrast, and two measures of
   heavy tails.
4. The images are dealt to five folds, a negative with its image. On four folds the statistics are
   standardised and a ridge regression to -1 (image) and +1 (negative) is fitted, its penalty chosen of five
   by leave-one-out error; it scores the fifth.
5. AUC of all scores; percentile interval by resampling the images, each with its negative, 1000 times.

Shapes: N images, H W C image, F statistics.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from texneg.philox.arrays import generator
from texneg.philox.streams import Stream

FIELDS = (5, 20, 80)
"""Receptive fields, pixels."""
FEWEST = 20
"""Images without which an AUC says nothing."""
VERSION = 1  # of the definition: a new one makes figures that cannot be compared

_WINDOW, _FILTERS, _FOLDS, _RESAMPLES, _LEVEL = 5, 24, 5, 1000, 0.95
_PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # times the number of training images
_GREY = (0.299, 0.587, 0.114)
_BATCH = 16  # images filtered at a time

Array = npt.NDArray[Any]
F64 = npt.NDArray[np.float64]
Statistics = dict[tuple[int, bool], F64]
"""(N, F) at each field, in grey or in colour."""


@dataclass(frozen=True)
class Separation:
    """The area under the ROC curve at one receptive field, with its interval over images."""

    field: int
    """pixels"""
    colour: bool
    """filters of all channels; else of grey"""
    auc: float
    low: float
    high: float


def measure_tell(
    images: Array,
    negatives: Array,
    *,
    fields: Sequence[int] = FIELDS,
    colours: Sequence[bool] = (False, True),
) -> tuple[Separation, ...]:
    """Measure how easily negatives are told from images; 0.5 is not at all, 1 always.

    Args:
        images: (N, H, W, C), N of 20 or more; uint8, or others, which are scaled by the largest of `images`.
        negatives: as `images`, the negative of each.
        fields: receptive fields of 5, 20 or 80 px; those that do not fit the images are left out.
        colours: False for grey, True for all channels; grey images have no colour.

    Returns:
        One for each field in grey, then in colour.

    Raises:
        ValueError: shapes that do not pair, fewer than 20 images, or a field outside its choices.
    """
    if images.ndim != 4 or images.shape != negatives.shape or len(images) < FEWEST:
        raise ValueError(
            f"images {images.shape}, negatives {negatives.shape}: both must be (N, H, W, C), with N of"
            f" {FEWEST} or more"
        )
    if not set(fields) <= set(FIELDS):
        raise ValueError(f"fields {tuple(fields)}: choose from {FIELDS}")
    largest = find_largest(images)
    described = (
        collect_statistics(x, fields=fields, colours=colours, largest=largest) for x in (images, negatives)
    )
    return compare(*described)


def find_largest(images: Array) -> float:
    """Return the pixel value that stands for 255."""
    return 255.0 if images.dtype == np.uint8 else max(float(np.abs(images).max()), 1e-30)


def collect_statistics(
    images: Array,
    *,
    fields: Sequence[int] = FIELDS,
    colours: Sequence[bool] = (False, True),
    largest: float = 255.0,
) -> Statistics:
    """Compute the statistics at every field that fits the images, in grey and in colour."""
    return {
        (field, colour): local_statistics(images, field, colour=colour, largest=largest)
        for colour in colours
        for field in fields
        if min(images.shape[1:3]) >= field and (images.shape[3] > 1 or not colour)
    }


def compare(of_images: Statistics, of_negatives: Statistics) -> tuple[Separation, ...]:
    """Classify the statistics of images and of their negatives."""
    return tuple(
        Separation(field, colour, *separate(values, of_negatives[field, colour]))
        for (field, colour), values in of_images.items()
    )


def local_statistics(images: Array, field: int, *, colour: bool, largest: float = 255.0) -> F64:
    """Compute the statistics (N, F) of filter responses: steps 1 to 3 of the definition.

    Args:
        images: (N, H, W, C), sides of at least `field`.
        field: receptive field, pixels.
        colour: filters of all channels; else of grey.
        largest: pixel value that stands for 255.
    """
    scale, channels = field // _WINDOW, images.shape[3]
    filters = _draw_filters(channels if colour else 1)
    grey = torch.tensor(_GREY if channels == 3 else (1 / channels,) * channels)[:, None, None]
    rows = []
    with torch.inference_mode():
        for at in range(0, len(images), _BATCH):
            batch = np.ascontiguousarray(images[at : at + _BATCH]).astype(np.float32) * np.float32(
                255 / largest
            )
            x = torch.from_numpy(batch)
            x = x.permute(0, 3, 1, 2)
            x = x.contiguous() if colour else (x * grey).sum(1, keepdim=True)
            if scale > 1:
                x = functional.avg_pool2d(x, scale)
            r = functional.conv2d(x, filters, stride=2 if scale == 1 else 1).flatten(2)
            square = r.square()
            first, second, fourth = (
                torch.log1p(power.mean(2, dtype=torch.float64))
                for power in (r.abs(), square, square.square())
            )
            rows.append(torch.cat([first, second - 2 * first, fourth - 2 * second], 1))
    return torch.cat(rows).numpy()


def separate(of_images: F64, of_negatives: F64) -> tuple[float, float, float]:
    """Classify statistics (N, F) in folds of images: steps 4 and 5. Returns AUC and its interval."""
    N = len(of_images)
    fold = generator(Stream.TELL, 1).permutation(N) % _FOLDS
    scores = np.empty((2, N))
    for k in range(_FOLDS):
        train, test = fold != k, fold == k
        x = np.concatenate([of_images[train], of_negatives[train]])
        y = np.repeat([-1.0, 1.0], int(train.sum()))
        mean, deviation = x.mean(0), x.std(0) + 1e-9
        weight = _fit_ridge((x - mean) / deviation, y)
        for row, values in zip(scores, (of_images, of_negatives), strict=True):
            row[test] = ((values[test] - mean) / deviation) @ weight
    difference = scores[1][:, None] - scores[0][None]
    above = (np.sign(difference) + 1) / 2  # (negatives, images)
    counts = generator(Stream.TELL, 2).multinomial(N, [1 / N] * N, size=_RESAMPLES).astype(np.float64)
    resampled = ((counts @ above) * counts).sum(1) / N**2
    low, high = np.quantile(resampled, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(above.mean()), float(low), float(high)


def _draw_filters(channels: int) -> torch.Tensor:
    """Draw the filters (24, channels, 5, 5), float32."""
    drawn = generator(Stream.TELL, 0).standard_normal((_FILTERS, channels, _WINDOW, _WINDOW))
    drawn -= drawn.mean((2, 3), keepdims=True)
    drawn /= np.sqrt(np.square(drawn).sum((1, 2, 3), keepdims=True))
    return torch.from_numpy(drawn).float()


def _fit_ridge(x: F64, y: F64) -> F64:
    """Fit weights (F,) of the penalty with the least leave-one-out error, which has a closed form."""
    u, s, v = np.linalg.svd(x, full_matrices=False)
    along = u.T @ y
    found = []
    for penalty in _PENALTIES:
        shrunk = s**2 / (s**2 + penalty * len(x))
        residual = (y - u @ (shrunk * along)) / (1 - (u**2 * shrunk).sum(1))
        found.append((float(np.square(residual).mean()), penalty))
    penalty = min(found)[1]
    return v.T @ (s / (s**2 + penalty * len(x)) * along)
