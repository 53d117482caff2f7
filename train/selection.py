"""Selection of ordinary negatives as a configuration."""

from dataclasses import dataclass
from typing import Literal

from texneg.errors import InputError
from texneg.selection import select
from texneg.similarity import Similarities
from texneg.train.options import later

SELECTING = "--difficulty, --hardest and --max-cosine"


@dataclass(frozen=True)
class Selection:
    """Ordinary negatives that each query keeps, by their difficulty; by default all."""

    difficulty: tuple[float, float] | None = None
    """Keep a range of the negatives, sorted from the hardest, as shares (0 0.05: the hardest 5 percent)."""
    hardest: int | None = None
    """Keep this many of the hardest negatives."""
    remove: bool = False
    """Leave out what --difficulty or --hardest would keep, and keep all others."""
    max_cosine: float | None = None
    """Leave out negatives above this cosine with the query, as probable views of the same thing."""
    exclude: Literal["class", "group"] | None = later(None)
    """Leave out negatives of the query's class (its class folder), or of its group in the file --groups."""
    compensate: bool = False
    """Let the negatives that are kept weigh as much as all would."""

    @property
    def ranked(self) -> bool:
        """True if negatives are chosen by rank."""
        return self.difficulty is not None or self.hardest is not None

    @property
    def active(self) -> bool:
        """True if negatives are chosen by their cosines."""
        return self.ranked or self.max_cosine is not None

    def __call__(self, s: Similarities) -> Similarities:
        """Apply `texneg.select`, or keep everything."""
        if not self.active:
            return s
        return select(
            s,
            difficulty=self.difficulty,
            hardest=self.hardest,
            remove=self.remove,
            max_cosine=self.max_cosine,
        )

    def check(self, negatives: int) -> int:
        """Refuse what cannot be selected from so many negatives; return how many are kept.

        Raises:
            InputError: naming the flag and what it may be.
        """
        if not self.active and (self.remove or self.compensate):
            flag = "--remove" if self.remove else "--compensate"
            raise InputError(f"{flag}: nothing is selected; give --difficulty or --hardest")
        if self.remove and not self.ranked:
            raise InputError("--remove: no range is given; --max-cosine alone leaves negatives out already")
        if self.max_cosine is not None and not 0 < self.max_cosine < 1:
            raise InputError(
                f"--max-cosine {self.max_cosine:g}: above 0 and below 1; images that have nothing in common"
                " are at about 0"
            )
        inside = self.count_range(negatives)
        if inside == negatives and self.remove:
            raise InputError(f"--remove: the range is all of the {negatives} negatives; narrow it")
        return negatives - inside if self.remove else inside

    def count_range(self, negatives: int) -> int:
        """Count the negatives of the range; all, where there is none."""
        if self.difficulty is not None:
            low, high = self.difficulty
            if self.hardest is not None or not 0 <= low < high <= 1:
                raise InputError(
                    f"--difficulty {low} {high}: two shares, the first below the second, and not with"
                    " --hardest"
                )
            kept = round(high * negatives) - round(low * negatives)
            if not kept:
                raise InputError(f"--difficulty {low} {high}: keeps none of {negatives} negatives; widen it")
            return kept
        if self.hardest is not None and not 1 <= self.hardest <= negatives:
            raise InputError(f"--hardest {self.hardest}: 1 to the {negatives} negatives of a query")
        return self.hardest or negatives
