"""Mixtures: several kinds of negatives in one batch, the kind of each negative drawn at random.

Shapes: N images, k negatives each, C H W image.
"""

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from texneg.arguments import Images, Index, check_count, image_sides, index_array, is_tensor, shared_key
from texneg.philox.arrays import fold_array, philox
from texneg.philox.streams import Stream

WORDS = 1 << 32

Rows = npt.NDArray[np.int64]


def mixed_negatives(
    images: Images,
    kinds: Sequence[tuple[Callable[..., Any], float]],
    *,
    count: int = 1,
    seed: int = 0,
    epoch: int = 0,
    index: Index = None,
) -> Images:
    """Make negatives of several kinds; the kind of each negative is drawn by the given probabilities.

        live = partial(texture_negatives, exemplar=96)
        mixed_negatives(x, ((patch_negatives, 0.5), (live, 0.5)), index=index, epoch=epoch)

    The draw depends on (seed, epoch, index, k) only, not on batch split, order, worker or device, and
    negative k of an image is exactly the one its kind alone would have made. A kind receives only the images
    that it makes a negative of; with count above 1 it makes their negatives up to the last one needed. The
    draw happens on the host: an index there never waits, one on a device is copied first.

    Args:
        images: NumPy (N, H, W, C) or torch (N, C, H, W), as the kinds accept them.
        kinds: (function, probability) each: `function(images, count=, seed=, epoch=, index=)` returns
            (N, count, ...) like `patch_negatives`; bind options of its own with `functools.partial`.
            Probabilities are >= 0 with a sum above 0, which they are divided by.
        count: negatives of each image, >= 1.
        seed: any integer.
        epoch: any integer.
        index: the N data-set indices of the images; None for 0 ... N - 1.

    Returns:
        (N, count, H, W, C) or (N, count, C, H, W), of the kind, dtype and device of `images`.

    Raises:
        ValueError: no kinds, probabilities, a count or an index that do not fit, or a kind that returns
            another shape or dtype; TypeError for images or kinds of another kind.
    """
    image_sides(images)
    check_count(count)
    kinds = _parse_kinds(kinds)
    rows = index_array(index, images.shape[0])
    chosen = chosen_kinds([p for _, p in kinds], count=count, seed=seed, epoch=epoch, index=rows)
    result = _empty((images.shape[0] * count, *images.shape[1:]), images)
    for i, (function, _) in enumerate(kinds):
        wanted, numbers = np.nonzero(chosen == i)  # image by image
        if len(wanted):
            own, place = np.unique(wanted, return_inverse=True)
            last, given = int(numbers.max()) + 1, _take(images, own)
            made = function(given, count=last, seed=seed, epoch=epoch, index=rows[own].view(np.int64))
            _check_made(function, made, given, last)
            _put(result, wanted * count + numbers, _take(_flatten(made), place * last + numbers))
    mixed: Images = result.reshape(images.shape[0], count, *images.shape[1:])
    return mixed


def chosen_kinds(
    probabilities: Sequence[float], *, index: Any, count: int = 1, seed: int = 0, epoch: int = 0
) -> Rows:
    """Draw the number of each negative's kind: (N, count), a function of (seed, epoch, index, k) alone.

    Kind i is chosen where the first Philox word of the negative lies in an interval of p_i 2^32 words.

    Args:
        probabilities: >= 0 each, with a sum above 0, which they are divided by.
        index: (N,) data-set indices.
        count: negatives of each image.
        seed: any integer.
        epoch: any integer.

    Raises:
        ValueError: no probabilities, or one that is negative or not a number, or none above 0.
    """
    if not probabilities or not all(0 <= p < math.inf for p in probabilities) or not sum(probabilities):
        raise ValueError(
            f"probabilities {list(probabilities)}; they must be one or more numbers of at least 0, not all 0"
        )
    largest = max(probabilities)
    sums = list(accumulate(p / largest for p in probabilities))  # the largest sum is finite
    bounds = np.array([round(s / sums[-1] * WORDS) for s in sums])
    keys = fold_array(shared_key(seed, epoch, Stream.MIXTURE), index_array(index, len(index)))
    keys = fold_array(keys[:, None], np.arange(count))
    return np.searchsorted(bounds, philox(keys, 0)[..., 0].astype(np.int64), side="right")


def _parse_kinds(kinds: Any) -> list[tuple[Callable[..., Any], float]]:
    wrong = TypeError(f"kinds are {kinds!r}; they must be pairs of a function and its probability")
    try:
        pairs = [(function, float(probability)) for function, probability in kinds]
    except (TypeError, ValueError):
        raise wrong from None
    if not all(callable(function) for function, _ in pairs):
        raise wrong
    return pairs


def _empty(shape: tuple[int, ...], like: Any) -> Any:
    return like.new_empty(shape) if is_tensor(like) else np.empty(shape, like.dtype)


def _flatten(made: Any) -> Any:
    return made.reshape(-1, *made.shape[2:])


def _take(images: Any, rows: Rows) -> Any:
    """Take rows of a batch; the batch itself if they are all rows in order."""
    if np.array_equal(rows, np.arange(len(images))):
        return images
    return images.index_select(0, _on_device(rows, images)) if is_tensor(images) else images[rows]


def _put(result: Any, rows: Rows, values: Any) -> None:
    if is_tensor(result):
        result.index_copy_(0, _on_device(rows, result), values)
    else:
        result[rows] = values


def _on_device(rows: Rows, like: Any) -> Any:
    import torch

    return torch.from_numpy(rows).to(like.device, non_blocking=True)


def _check_made(function: Any, made: Any, given: Any, count: int) -> None:
    expected = (given.shape[0], count, *given.shape[1:])
    shape, dtype = tuple(getattr(made, "shape", ())), getattr(made, "dtype", type(made))
    if is_tensor(made) != is_tensor(given) or shape != expected or dtype != given.dtype:
        name = getattr(function, "__name__", repr(function))
        raise ValueError(
            f"{name} returned {shape}, {dtype};"
            f" it must return {expected}, {given.dtype}, like patch_negatives"
        )
