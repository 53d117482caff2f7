"""Non-semantic negatives of query views: one kind, and the kinds of a run with their probabilities.

Shapes: N images, M negatives a query, S view side.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from texneg.errors import InputError
from texneg.mixture import mixed_negatives
from texneg.train.options import describe, to_plain

U8 = npt.NDArray[np.uint8]
Pixels = TypeVar("Pixels", U8, Tensor)
TextureViews = Callable[..., U8]
"""(N,) places in the data set, as `index=`, to the textures of these images as views (N, S, S, 3)."""


@dataclass(frozen=True)
class Negative(ABC):
    """A kind of non-semantic negative: a frozen dataclass whose fields are its options."""

    name: ClassVar[str]
    needs_textures: ClassVar[bool] = False
    """Made of texture files instead of the query view."""

    @property
    def on_device(self) -> bool:
        """True where `make` takes tensors on any device; else negatives are made in the loader."""
        return True

    @property
    def title(self) -> str:
        """The kind in words, with its options that are not the defaults."""
        return describe(self)

    def check(self, size: int) -> None:
        """Raise `InputError` where negatives of views of this side, pixels, cannot be made."""

    @abstractmethod
    def make(self, images: Any, textures: TextureViews | None = None, **stream: Any) -> Any:
        """Make the negatives of query views, as `texneg.patch_negatives` does.

        Args:
            images: uint8 arrays (N, H, W, C) or tensors (N, C, H, W).
            textures: for kinds with `needs_textures`.
            stream: `count` negatives of each image; `seed`; `epoch`; `index`, (N,) places in the data set.

        Returns:
            (N, count, ...) of the kind, dtype and device of `images`.
        """


@dataclass(frozen=True)
class Negatives:
    """The negatives of a run: kinds with their probabilities; none of them is a baseline."""

    kinds: tuple[tuple[Negative, float], ...] = ()
    count: int = 1
    """Negatives a query, M."""

    @classmethod
    def of(cls, *kinds: Negative, count: int = 1) -> "Negatives":
        """Make negatives of one kind, or of several with equal probabilities."""
        return cls(tuple((kind, 1.0) for kind in kinds), count)

    @property
    def need_textures(self) -> bool:
        """True if a kind reads texture files."""
        return any(kind.needs_textures for kind, _ in self.kinds)

    @property
    def on_device(self) -> bool:
        """True if every kind can be made on the device of the batch."""
        return all(kind.on_device for kind, _ in self.kinds)

    @property
    def title(self) -> str:
        """All kinds in words: `0.5 patch + 0.5 texture_live ×2`; empty for none."""
        total = sum(share for _, share in self.kinds)
        mixed = len(self.kinds) > 1
        words = " + ".join(
            f"{share / total:.3g} {kind.title}" if mixed else kind.title for kind, share in self.kinds
        )
        return words if self.count == 1 else f"{words} ×{self.count}"

    def plain(self) -> dict[str, Any]:
        """Return the settings as JSON has them."""
        kinds = [{"share": share, **to_plain(kind)} for kind, share in self.kinds]
        return {"kinds": kinds, "count": self.count if kinds else 1}

    def check(self, size: int) -> None:
        """Refuse what cannot be made of views of this side, pixels.

        Raises:
            InputError: naming the flag and what it may be.
        """
        shares = [share for _, share in self.kinds]
        if shares and not (all(0 <= share < inf for share in shares) and sum(shares) > 0):
            words = " ".join(f"{kind.name} {share:g}" for kind, share in self.kinds)
            raise InputError(f"--mixture {words}: probabilities of at least 0, not all 0")
        if self.count < 1:
            raise InputError(f"--count {self.count}: 1 or more; for none use --negatives none")
        if self.count != 1 and self.kinds and all(kind.needs_textures for kind, _ in self.kinds):
            raise InputError(f"--count {self.count}: an image has one texture; use 1")
        for kind, _ in self.kinds:
            kind.check(size)

    def make(
        self,
        query: Pixels,
        *,
        seed: int,
        epoch: int,
        index: npt.NDArray[np.int64] | Tensor | list[int],
        textures: TextureViews | None = None,
    ) -> Pixels:
        """Make negatives (N, M, S, S, 3) of query views (N, S, S, 3), uint8, on their device.

        Arrays and tensors, on any device, give the same bytes.
        """
        stream: dict[str, Any] = {"count": self.count, "seed": seed, "epoch": epoch, "index": index}
        images: Any = query.permute(0, 3, 1, 2) if isinstance(query, Tensor) else query
        functions = [(partial(kind.make, textures=textures), share) for kind, share in self.kinds]
        (first, _), *others = functions
        made: Any = mixed_negatives(images, functions, **stream) if others else first(images, **stream)
        negatives: Pixels = made.permute(0, 1, 3, 4, 2).contiguous() if isinstance(query, Tensor) else made
        return negatives
