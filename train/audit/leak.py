"""Leak: how much of an image's class an encoder still sees in its negative.

Shapes: N images, F features, C classes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from texneg.datasets.images import ImageSet
from texneg.errors import InputError
from texneg.philox.arrays import generator
from texneg.philox.streams import Stream
from texneg.train.evaluate.class_space import declare, find_class_map
from texneg.train.evaluate.encoders import Encoder, evaluation_mode, find_device
from texneg.train.evaluate.features import pass_in_pieces, require_finite, to_network_input
from texneg.train.evaluate.linear import Head, fit_probe

FOLDS, NEIGHBOURS = 4, 10
PENALTIES = (1.0, 1e-1, 1e-2, 1e-3)  # of probes fitted here
STEPS = 30  # of L-BFGS, for each penalty
U8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Leak:
    """Figures of one kind of pictures."""

    top1: float
    """share of pictures whose best class is the image's"""
    top5: float
    median_rank: float
    """of the image's class among all, from 0"""
    knn: float | None
    """share in whose class the nearest other images vote; None where every class has one image"""
    cosine: float
    """mean, of the picture's features with the image's"""
    own_image: float
    """share of pictures whose nearest image is their own"""
    ranks: tuple[int, ...]
    """(N,): of the image's class"""


@dataclass(frozen=True)
class Judge:
    """The images as the encoder sees them, and the classes to be found."""

    features: Tensor
    """(N, F), of the images"""
    labels: Tensor
    """int64 (N,)"""
    score: Callable[[Tensor], Tensor]
    """from features (N, F) to scores (N, C)"""
    right: Tensor
    """boolean (N, C)"""
    by: str
    """origin of the scores, in words"""

    @property
    def chance(self) -> float:
        """Share of right answers of a blind choice."""
        return float(self.right.double().mean(1).mean())

    def measure(self, features: Tensor) -> Leak:
        """Measure features (N, F) of pictures, one of each image."""
        scores = self.score(features)
        best = scores.masked_fill(~self.right, -torch.inf).amax(1, keepdim=True)
        ranks = (scores > best).sum(1)
        pictures, images = (functional.normalize(x, dim=1) for x in (features, self.features))
        cosines = pictures @ images.T
        return Leak(
            top1=float((ranks == 0).double().mean()),
            top5=float((ranks < 5).double().mean()),
            median_rank=float(np.median(ranks.numpy())),
            knn=self._vote(cosines),
            cosine=float(cosines.diagonal().mean()),
            own_image=float((cosines.argmax(1) == torch.arange(len(cosines))).double().mean()),
            ranks=tuple(ranks.tolist()),
        )

    def _vote(self, cosines: Tensor) -> float | None:
        """Accuracy of the vote of the nearest other images, where there are others of the class."""
        others = self.labels.bincount()[self.labels] > 1
        if not others.any():
            return None
        nearest = cosines.clone().fill_diagonal_(-torch.inf)
        weights, places = nearest.topk(min(NEIGHBOURS, len(nearest) - 1), dim=1)
        votes = torch.zeros(len(nearest), int(self.labels.max()) + 1)
        votes.scatter_add_(1, self.labels[places], ((weights - weights[:, :1]) / 0.07).exp())
        return float((votes.argmax(1) == self.labels)[others].double().mean())


def compute_features(encoder: Encoder, pictures: U8, batch: int) -> Tensor:
    """Compute features (N, F) of pictures (N, S, S, 3) of the encoder's side."""
    device = find_device(encoder)
    with evaluation_mode(encoder):
        rows = [
            pass_in_pieces(
                encoder, to_network_input(torch.from_numpy(pictures[at : at + batch]).to(device), encoder)
            )
            .float()
            .cpu()
            for at in range(0, len(pictures), batch)
        ]
    values = torch.cat(rows).clone()
    require_finite(values, "the audit")
    return values


def require_classes(images: ImageSet, *, fitted: bool) -> None:
    """Refuse images in whose classes nothing can leak.

    Args:
        images: of the audit.
        fitted: there is a head.

    Raises:
        InputError: images without class folders; or, without a head, no class with two images.
    """
    labels = images.labels[images.labels >= 0]
    counts = np.bincount(labels) if len(labels) else np.zeros(1, int)
    if len(labels) < len(images) or (counts > 0).sum() < 2:
        raise InputError(
            f"--encoder: leak is measured in classes, and {len(labels)} of {len(images)} images of"
            f" {images.root} lie in {len(images.classes)} class folders: put each into one of two or more, or"
            " leave --encoder out"
        )
    if not fitted and counts.max() < 2:
        raise InputError(
            f"--encoder without --head: no class of {images.root} has two images, so that no classifier can"
            " be fitted; give a head of texneg probe, or --head own for a model of ImageNet's classes"
        )


def judge_by_head(features: Tensor, images: ImageSet, head: Head, classes: str | None) -> Judge:
    """Judge by a fitted head, or by the classifier of a model.

    Raises:
        InputError: head and images share no class.
    """
    labels = torch.from_numpy(images.labels)
    space = declare(head.classes, images.classes, labels, find_class_map(classes, "", images))
    if not space.known.all():
        raise InputError(
            f"--head: it has no class for {int((~space.known).sum())} of {len(images)} images (folder"
            f" {space.lacking[0]}): leave them out, or declare what the folders mean with --classes"
        )
    return Judge(features, labels, head.logits, space.right[labels], "head")


def judge_by_probe(features: Tensor, images: ImageSet, seed: int) -> Judge:
    """Judge by probes fitted here: that of a picture has seen neither its image nor any other of its fold."""
    labels, classes = torch.from_numpy(images.labels), images.classes
    fold = torch.from_numpy(generator(seed, Stream.AUDIT, 3).permutation(len(labels)) % FOLDS)
    heads = [
        fit_probe(
            features[fold != k],
            labels[fold != k],
            classes=classes,
            penalties=PENALTIES,
            steps=STEPS,
            seed=seed,
        )
        for k in range(FOLDS)
    ]

    def score(pictures: Tensor) -> Tensor:
        scores = torch.empty(len(pictures), len(classes))
        for k, head in enumerate(heads):
            scores[fold == k] = head.logits(pictures[fold == k])
        return scores

    return Judge(features, labels, score, functional.one_hot(labels, len(classes)).bool(), "probe")
