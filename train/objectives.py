"""Objectives: a selection of ordinary negatives, then a loss; called with the similarities of a step."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, sqrt
from typing import Any, ClassVar

import torch
from torch import Tensor

from texneg.errors import InputError
from texneg.losses import byol, info_nce, info_nce_logits, simple_contrastive, truncated_triplet
from texneg.similarity import Similarities
from texneg.train.centring import Centring
from texneg.train.options import later, to_plain, to_settings
from texneg.train.selection import SELECTING, Selection
from texneg.train.synthetic import Synthetic
from texneg.weighting import modify_features, reweight


@dataclass(frozen=True)
class Loss(ABC):
    """A loss of one set of similarities: a frozen dataclass whose fields are its options."""

    name: ClassVar[str]

    @property
    def alpha(self) -> float:
        """Weight of the non-semantic negatives: a field of every loss that knows them."""
        return 0.0

    @property
    def push(self) -> float:
        """Push from non-semantic negatives over the pull of the positive, in a linear loss; else 0."""
        return 0.0

    @property
    def negatives_needed(self) -> int:
        """Ordinary negatives that each query needs at least."""
        return 1

    def count_as(self, negatives: int) -> "Loss | None":
        """Return the loss that counts its ordinary negatives as so many; None if it takes a mean."""
        return None

    def nonsemantic_share(self, s: Similarities) -> Tensor | None:
        """Share of the non-semantic negatives in a softmax over all cosines; None without softmax."""
        return None

    def check(self) -> None:
        """Raise `InputError` for options outside their range."""

    @abstractmethod
    def __call__(self, s: Similarities) -> Tensor:
        """Return the mean loss of the queries, a scalar."""


@dataclass(frozen=True)
class InfoNCE(Loss):
    """Cross-entropy of the positive against ordinary and weighted non-semantic negatives (Ge et al.)."""

    name = "info_nce"

    temperature: float = 0.2
    """Temperature of the softmax, above 0."""
    alpha: float = 2.0
    """Weight of the non-semantic cosines, inside the exponent."""
    eqco: int | None = None
    """Effective number of negatives of EqCo's margin (Zhu et al.); None: the number there is."""
    hardness: float = later(0.0)
    """Weigh ordinary negatives by e^(hardness cosine / temperature), of mean 1 (HCL's beta); 0: alike."""
    class_prior: float = later(0.0)
    """Probability that an ordinary negative is of the query's class, whose part is taken off their sum
    (debiased; with --hardness, HCL)."""
    decoupled: bool = later(False)
    """Leave the positive out of the denominator (DCL)."""
    epsilon: float = later(0.0)
    """Take the mean with the loss of modified features: positives lower, ordinary negatives higher by this
    (IFM)."""

    def check(self) -> None:
        """Refuse options outside their range."""
        if not 0 < self.temperature < inf:
            raise InputError(f"--temperature {self.temperature}: above 0")
        if self.eqco is not None and self.eqco < 1:
            raise InputError(f"--eqco {self.eqco}: at least 1 negative")
        if not 0 <= self.hardness < inf:
            raise InputError(f"--hardness {self.hardness}: 0 or more")
        if not 0 <= self.class_prior < 1:
            raise InputError(f"--class-prior {self.class_prior}: 0 or more and below 1")
        if not 0 <= self.epsilon < inf:
            raise InputError(f"--epsilon {self.epsilon}: 0 or more")

    def count_as(self, negatives: int) -> Loss:
        """Weight each negative by EqCo's factor."""
        return replace(self, eqco=negatives)

    def nonsemantic_share(self, s: Similarities) -> Tensor:
        """Mean over the queries of the share in the denominator, p_ns."""
        logits = info_nce_logits(s, log_weights=self.weights(s), **self.options)
        M = s.nonsemantic.shape[1]
        if self.decoupled:
            logits = logits[:, 1:]
        return logits.softmax(1)[:, logits.shape[1] - M :].sum(1).mean()

    def __call__(self, s: Similarities) -> Tensor:
        """Compute `texneg.info_nce`."""
        given = [s, modify_features(s, self.epsilon)] if self.epsilon else [s]
        losses = [
            info_nce(x, log_weights=self.weights(x), decoupled=self.decoupled, **self.options) for x in given
        ]
        return losses[0] if len(losses) == 1 else torch.stack(losses).mean()

    @property
    def options(self) -> dict[str, Any]:
        """Options of the logits."""
        return {"temperature": self.temperature, "alpha": self.alpha, "eqco": self.eqco}

    def weights(self, s: Similarities) -> Tensor | None:
        """Weigh ordinary negatives, if they are weighed."""
        if not (self.hardness or self.class_prior):
            return None
        return reweight(s, temperature=self.temperature, hardness=self.hardness, class_prior=self.class_prior)


@dataclass(frozen=True)
class SimpleContrastive(Loss):
    """The contrastive loss without hardness awareness (Wang and Liu, CVPR 2021, eq. 3)."""

    name = "simple_contrastive"

    weight: float | None = None
    """Factor on each ordinary negative; None: 1 / K."""
    alpha: float = 1.0
    """Factor on the mean non-semantic cosine."""

    @property
    def push(self) -> float:
        """Alpha: the positive has weight 1."""
        return self.alpha

    def check(self) -> None:
        """Refuse a weight below 0."""
        if self.weight is not None and not 0 <= self.weight < inf:
            raise InputError(f"--weight {self.weight}: 0 or more")

    def __call__(self, s: Similarities) -> Tensor:
        """Compute `texneg.simple_contrastive`."""
        return simple_contrastive(s, weight=self.weight, alpha=self.alpha)


@dataclass(frozen=True)
class TruncatedTriplet(Loss):
    """Triplet loss against the mean of a range of hard negatives (Wang et al., ICCV 2021)."""

    name = "truncated_triplet"

    ranks: tuple[int, int] = (2, 10)
    """First and last rank of the negatives that count, the hardest being 1."""
    margin: float = 100.0
    """Margin, in units of squared distance; 100, as in the official code, keeps the hinge open."""
    pull: float = 2.0
    """Weight of the positive."""
    alpha: float = 1.0
    """Factor on the mean non-semantic cosine."""

    @property
    def push(self) -> float:
        """Alpha over the weight of the positive."""
        return self.alpha / self.pull if self.pull else 0.0

    @property
    def negatives_needed(self) -> int:
        """The last rank."""
        return self.ranks[1]

    def check(self) -> None:
        """Refuse ranks out of order, and weights that are no numbers."""
        first, last = self.ranks
        if not 1 <= first <= last:
            raise InputError(f"--ranks {first} {last}: first and last, 1 or more, in this order")
        if not (-inf < self.margin < inf and 0 <= self.pull < inf):
            raise InputError(f"--margin {self.margin} --pull {self.pull}: a number, and one of 0 or more")

    def __call__(self, s: Similarities) -> Tensor:
        """Compute `texneg.truncated_triplet`."""
        return truncated_triplet(s, ranks=self.ranks, margin=self.margin, pull=self.pull, alpha=self.alpha)


@dataclass(frozen=True)
class Byol(Loss):
    """Pull towards the positive, push from non-semantic negatives; the push is a reconstruction."""

    name = "byol"

    alpha: float = 0.5
    """Factor on the mean non-semantic cosine."""

    @property
    def push(self) -> float:
        """Alpha: the positive has weight 1."""
        return self.alpha

    @property
    def negatives_needed(self) -> int:
        """None: ordinary negatives play no part."""
        return 0

    def __call__(self, s: Similarities) -> Tensor:
        """Compute `texneg.byol`."""
        return byol(s, alpha=self.alpha)


LOSSES: list[type[Loss]] = [InfoNCE, SimpleContrastive, TruncatedTriplet, Byol]
"""Append a class here to train with it by its name."""

SIMILAR = 0.9  # cosine of a positive and a non-semantic negative in an encoder that leans on texture


def best_positive(push: float, cosine: float) -> float:
    """Return q.p of the unit vector q that is the minimum of push q.t - q.p, where p.t is `cosine`."""
    return (1 - push * cosine) / sqrt(1 - 2 * push * cosine + push * push)


@dataclass(frozen=True)
class Objective:
    """A loss on the ordinary negatives that a selection keeps, and on synthetic ones made of them.

    A method centres non-semantic cosines, since it has the embeddings.
    """

    loss: Loss = InfoNCE()
    selection: Selection = Selection()
    centring: Centring = Centring()
    synthetic: Synthetic = Synthetic()

    def __call__(self, parts: Sequence[Similarities], *key: int) -> Tensor:
        """Sum the losses of the parts of a step.

        Args:
            parts: of the step.
            key: whole numbers that name the step, for the draws of synthetic negatives.
        """
        kept = (self.synthetic(self.selection(s), *key, i) for i, s in enumerate(parts))
        return torch.stack([self.weigh(s)(x) for s, x in zip(parts, kept, strict=True)]).sum()

    def nonsemantic_share(self, s: Similarities) -> Tensor | None:
        """Share of the non-semantic negatives in the softmax of what is kept of these similarities."""
        return self.weigh(s).nonsemantic_share(self.synthetic(self.selection(s)))

    def weigh(self, s: Similarities) -> Loss:
        """Return the loss for what is kept of these similarities."""
        counted = self.loss.count_as(s.negatives.shape[1]) if self.selection.compensate else None
        return counted or self.loss

    def plain(self) -> dict[str, Any]:
        """Return the settings as JSON has them."""
        centring = to_settings(self.centring)
        return {
            "loss": to_plain(self.loss),
            "selection": to_settings(self.selection),
            **({"centring": centring} if centring else {}),
            **({"synthetic": synthetic} if (synthetic := to_settings(self.synthetic)) else {}),
        }

    def check(self, negatives: int, method: str) -> None:
        """Refuse options outside their range, and a loss or a selection without its negatives.

        Args:
            negatives: ordinary negatives of each query, K.
            method: what provides them, for the message.

        Raises:
            InputError: naming the flag and what it may be.
        """
        self.loss.check()
        if not 0 <= self.loss.alpha < inf:
            raise InputError(f"--alpha {self.loss.alpha}: 0 or more")
        selects, needed = self.selection.active, self.loss.negatives_needed
        if not negatives and (selects or needed):
            what = f"{SELECTING} act" if selects else f"--loss {self.loss.name} acts"
            remedy = "leave them out" if selects else "use --loss byol"
            raise InputError(f"{what} on ordinary negatives, which --method {method} has none of; {remedy}")
        if self.selection.exclude and not (negatives and needed):
            raise InputError(
                f"--exclude {self.selection.exclude}: --method {method} with --loss {self.loss.name} has no"
                " ordinary negatives; leave it out"
            )
        if selects and not needed:
            raise InputError(
                f"{SELECTING} act on ordinary negatives, which --loss {self.loss.name} ignores; leave them"
                " out"
            )
        if self.selection.compensate and self.loss.count_as(1) is None:
            raise InputError(f"--compensate is for --loss info_nce, not {self.loss.name}; leave it out")
        if self.selection.compensate and getattr(self.loss, "eqco", None) is not None:
            raise InputError("--compensate and --eqco: both set what the negatives weigh; give one of them")
        self.synthetic.check(negatives, method, self.loss, compensate=self.selection.compensate)
        kept = self.selection.check(negatives) if negatives else 0
        if kept < needed:
            raise InputError(
                f"--loss {self.loss.name} needs {needed} ordinary negatives a query,"
                f" --method {method} leaves {kept}; give it more, or use another --loss"
            )

    def warnings(self, *, nonsemantic: bool) -> list[str]:
        """Warn of a margin for random negatives with others, and of a push that trains positives apart.

        Args:
            nonsemantic: there are non-semantic negatives.
        """
        found = []
        if getattr(self.loss, "eqco", None) is not None and self.selection.active:
            found.append(
                f"--eqco with {SELECTING}: its margin is for negatives drawn at random, and these"
                " are chosen by their cosine; --compensate in its place makes up for their number"
            )
        pushed = nonsemantic and self.centring.centre == "none"
        best = best_positive(self.loss.push, SIMILAR) if pushed else 1.0
        if best < 0:
            usual = type(self.loss)()
            found.append(
                f"--alpha {self.loss.alpha:g} with --loss {self.loss.name}: negatives push"
                f" {self.loss.push:.3g} times as hard as the positive pulls; where their cosine is"
                f" {SIMILAR}, positives are trained to {best:.2f}; at --alpha {usual.alpha:g} to"
                f" {best_positive(usual.push, SIMILAR):.2f}"
            )
        return found
