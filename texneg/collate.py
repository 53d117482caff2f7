"""Negatives made in the loader's workers, by one call for each batch.

Shapes: N batch, C H W image.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import index as as_int
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

Position: TypeAlias = int | str | tuple[int | str, ...]


class Indexed(Dataset[Any]):
    """A map-style data set whose samples also carry their index, which names an image to `NegativeCollate`.

    A tuple or list sample gets it as a further last element, a mapping under "index"; anything else becomes
    the pair (sample, index).
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        sample = self.dataset[index]
        if isinstance(sample, Mapping):
            return {**sample, "index": index}
        return (*sample, index) if isinstance(sample, tuple | list) else (sample, index)


class NegativeCollate:
    """A `collate_fn` that adds negatives of one view to the batch.

        collate = NegativeCollate(partial(patch_negatives, seed=0), view=0, index=-1)
        loader = DataLoader(Indexed(data), batch_size=256, num_workers=8, collate_fn=collate)
        for epoch in range(epochs):
            collate.set_epoch(epoch)
            for view, label, index, negatives in loader:

    Samples are joined by torch's `default_collate`. Views are torch (C, H, W) or NumPy (H, W, C), of equal
    shape and finished: after crop, jitter and blur. Their negatives, (N, count, C, H, W), or (N, count, H, W,
    C) of NumPy views, become the batch's last element, or in a mapping "negatives".

    Args:
        make: `patch_negatives` or another kind with the same call, its own options bound by `partial`; it is
            called once a batch with the views, `index` and `epoch`.
        view: position of the view in a sample: a number, a key, or a tuple of those that leads inwards.
        index: position in a sample of the image's index in its data set. Labels are integers too, so a
            wrong position goes unnoticed.

    Raises:
        ValueError: in a call, where a sample holds no view or no integer there, or has "negatives" already;
            TypeError for a `make` that is no function.
    """

    def __init__(
        self,
        make: Callable[..., Any],
        *,
        view: Position = 0,
        index: Position = -1,
    ) -> None:
        if not callable(make):
            raise TypeError(f"make is {make!r}; it must be a function such as patch_negatives")
        self.make, self.view, self.index = make, view, index
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch before the loader is iterated; persistent workers see it too."""
        self.epoch.fill_(as_int(epoch))

    def __call__(self, samples: Sequence[Any]) -> Any:
        """Join samples to a batch and add their negatives."""
        batch = default_collate(list(samples))
        views, index = _find(batch, self.view, "view"), _find(batch, self.index, "index")
        if not isinstance(views, Tensor) or views.ndim != 4:
            raise ValueError(
                f"view={self.view!r} leads to {_describe(views)}; it must lead to the images, (N, C, H, W);"
                " a view within a list of views is named by a tuple, such as view=(0, 0)"
            )
        if (
            not isinstance(index, Tensor)
            or index.ndim != 1
            or index.is_floating_point()
            or index.dtype == torch.bool
        ):
            raise ValueError(
                f"index={self.index!r} leads to {_describe(index)}; it must lead to one integer a sample,"
                " the image's index in its data set; Indexed(dataset) adds it as the last element"
            )
        options = {"index": index, "epoch": int(self.epoch)}
        if isinstance(_find(samples[0], self.view, "view"), np.ndarray):
            return _add_negatives(batch, torch.from_numpy(self.make(views.numpy(), **options)))
        return _add_negatives(batch, self.make(views, **options))


def _find(batch: Any, position: Position, name: str) -> Any:
    """Look up the value at a position of a batch."""
    found = batch
    for step in position if isinstance(position, tuple) else (position,):
        try:
            found = found[step]
        except (LookupError, TypeError):
            raise ValueError(
                f"{name}={position!r} leads nowhere: there is no {step!r} in {_describe(found)};"
                " give a position, a key, or a tuple of those"
            ) from None
    return found


def _add_negatives(batch: Any, negatives: Tensor) -> Any:
    if not isinstance(batch, Mapping):
        return [*batch, negatives]
    if "negatives" in batch:
        raise ValueError('the samples hold "negatives" already; rename them or leave NegativeCollate out')
    return {**batch, "negatives": negatives}


def _describe(value: Any) -> str:
    """Describe a value in a few words."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}, {value.dtype}"
    if isinstance(value, Mapping):
        return f"a mapping of {', '.join(map(repr, value))}"
    return f"a {type(value).__name__} of {len(value)}" if hasattr(value, "__len__") else f"{value!r}"
