"""Features and crops in memory, which the heads of one encoder and the cells of one set share."""

from collections.abc import Callable, Hashable

import numpy as np
import numpy.typing as npt

from texneg.train.evaluate.features import Features

KEPT_BYTES = 2**30  # of crops: 7,000 images at 224 px
Crops = dict[int, npt.NDArray[np.uint8]]
"""Crops by the places of their images."""


class Memo:
    """The latest features of a test set, those of banks, and the crops of the set that is corrupted."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._latest: dict[Hashable, Features] = {}
        self._banks: dict[Hashable, Features] = {}
        self._crops: dict[Hashable, Crops] = {}

    def features(self, key: Hashable, make: Callable[[], Features], *, bank: bool = False) -> Features:
        """Return the features of this key, and make them where they are not here; those of banks stay."""
        for known in (self._latest, self._banks):
            if key in known:
                return known[key]
        found = make()
        if not bank:
            self._latest.clear()
        (self._banks if bank else self._latest)[key] = found
        return found

    def crops(self, key: Hashable, images: int, side: int) -> Crops | None:
        """Return the place for the crops of a set, and drop another set's; None if they are too many."""
        if 3 * images * side**2 > self._kept_bytes:
            return None
        if key not in self._crops:
            self._crops.clear()
            self._crops[key] = {}
        return self._crops[key]
