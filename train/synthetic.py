"""Synthetic negatives as a configuration."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from texneg.errors import InputError
from texneg.philox.arrays import fold
from texneg.philox.streams import Stream
from texneg.similarity import Similarities
from texneg.synthetic import extend
from texneg.train.options import Named, later


@dataclass(frozen=True)
class Synthetic:
    """Further ordinary negatives of each query, made of its hardest; by default none."""

    interpolated: int = later(0)
    """Synthetic negatives a query between it and one of its hardest (SynCo's type 1, MoCHi's second kind)."""
    extrapolated: int = later(0)
    """Synthetic negatives a query from it beyond one of its hardest (SynCo's type 2)."""
    ascended: int = later(0)
    """Synthetic negatives a query, each one of its hardest a step towards it (SynCo's type 5)."""
    synthetic_from: int = later(1024)
    """The hardest of the negatives that are kept, of which they are made; all where there are fewer."""

    FLAGS: ClassVar[str] = "--interpolated, --extrapolated and --ascended"

    @property
    def active(self) -> bool:
        """True if there are synthetic negatives."""
        return bool(self.interpolated or self.extrapolated or self.ascended)

    def __call__(self, s: Similarities, *key: int) -> Similarities:
        """Apply `texneg.extend` with draws of its own.

        Args:
            s: similarities, after the selection.
            key: seed, step, process and number of the part, which the draws are a function of.
        """
        if not self.active:
            return s
        # Not the generator of torch, whose state a resumed run would not have.
        draws = torch.Generator(s.negatives.device).manual_seed(fold(*key, Stream.SYNTHETIC) >> 1)
        return extend(
            s,
            hardest=self.synthetic_from,
            interpolated=self.interpolated,
            extrapolated=self.extrapolated,
            ascended=self.ascended,
            generator=draws,
        )

    def check(self, negatives: int, method: str, loss: Named, *, compensate: bool) -> None:
        """Refuse numbers outside their range, and synthetic negatives that a loss would misread.

        Args:
            negatives: ordinary negatives of each query.
            method: what provides them, for the message.
            loss: of the run.
            compensate: the negatives that are kept weigh as much as all would.

        Raises:
            InputError: naming the flags and the remedy.
        """
        for name in ("interpolated", "extrapolated", "ascended"):
            if getattr(self, name) < 0:
                raise InputError(f"--{name} {getattr(self, name)}: 0 or more")
        if self.synthetic_from < 1:
            raise InputError(f"--synthetic-from {self.synthetic_from}: 1 or more")
        if not self.active:
            if self.synthetic_from != type(self).synthetic_from:
                raise InputError(
                    f"--synthetic-from: there are no synthetic negatives; give one of {self.FLAGS}"
                )
            return
        if not negatives:
            raise InputError(
                f"{self.FLAGS} are made of ordinary negatives, which --method {method} has none of; leave"
                " them out"
            )
        if loss.name != "info_nce":
            raise InputError(f"{self.FLAGS} are for --loss info_nce, not {loss.name}; leave them out")
        counting = {
            "--compensate": compensate,
            "--eqco": getattr(loss, "eqco", None) is not None,
            "--class-prior": bool(getattr(loss, "class_prior", 0)),
        }
        for other, given in counting.items():
            if given:
                raise InputError(
                    f"{other} counts negatives drawn from the data, and {self.FLAGS} are not; leave one out"
                )
