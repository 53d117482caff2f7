"""Centring of non-semantic cosines as a configuration."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from texneg.errors import InputError
from texneg.similarity import Similarities, centred_nonsemantic, nonsemantic_confusion
from texneg.train.distributed import gather_with_gradient, rank
from texneg.train.options import later


@dataclass(frozen=True)
class Centring:
    """Non-semantic cosines against those with the negatives of other images."""

    centre: Literal["none", "mean", "soft_maximum", "confusion"] = later("none")
    """Take off each non-semantic cosine what the negatives of the other images of the step get: their mean,
    or a soft maximum. So a query is pushed from what its own negative has of its own image, and not from what
    tells any negative from an image, such as seams. confusion: put in place of each what the query shows of
    which negative is its own, 0 where it confuses them all."""
    centre_temperature: float = later(0.2)
    """Temperature of the soft maximum and of the confusion, above 0."""

    def check(self, parts: int, batch: int) -> None:
        """Refuse options outside their range.

        Args:
            parts: of a step.
            batch: images of a step.

        Raises:
            InputError: naming the flag and what it may be.
        """
        if not 0 < self.centre_temperature < float("inf"):
            raise InputError(f"--centre-temperature {self.centre_temperature}: above 0")
        if self.centre == "none":
            return
        if parts > 1:
            raise InputError(
                f"--centre {self.centre} compares the images of a step, of which each of --accumulate {parts}"
                " parts has fewer; use --accumulate 1"
            )
        if batch < 2:
            raise InputError(f"--centre {self.centre}: needs 2 images a step or more")

    def __call__(self, s: Similarities, query: Tensor, nonsemantic: Tensor | None) -> Similarities:
        """Centre the non-semantic cosines of N queries by the negatives of all processes.

        Args:
            s: their similarities.
            query: (N, D) embeddings.
            nonsemantic: (N, M, D); None without.
        """
        if self.centre == "none" or nonsemantic is None:
            return s
        gathered = gather_with_gradient(nonsemantic)
        if self.centre == "confusion":
            made = nonsemantic_confusion(
                query, nonsemantic, gathered=gathered, temperature=self.centre_temperature
            )
            return s._replace(nonsemantic=made)
        made = centred_nonsemantic(
            query,
            nonsemantic,
            gathered=gathered,
            start=rank() * len(query),
            temperature=self.centre_temperature if self.centre == "soft_maximum" else None,
        )
        return s._replace(nonsemantic=made)
