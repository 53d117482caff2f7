"""The vote of the k nearest neighbours of frozen features: an accuracy that needs no training.

Shapes: N training images, T test images, F features. The vote is the one of Wu et al., "Unsupervised
feature learning via non-parametric instance discrimination", CVPR 2018: weights exp(cosine / T), here in
units of the nearest neighbour's.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from texneg.errors import InputError

TILE = 1 << 24  # similarities held at a time, 64 MB in float32


def knn_scores(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    *,
    classes: int,
    k: int = 20,
    temperature: float = 0.07,
) -> Iterator[Tensor]:
    """Class votes of the test images in blocks: float32 (block, classes), in the order of `test_features`.

    Args:
        train_features: (N, F); normalised here. On the device of `test_features`.
        train_labels: int64 (N,), in 0 ... classes - 1.
        test_features: (T, F).
        classes: width of the vote.
        k: neighbours; all N of them where N is smaller.
        temperature: T > 0 of the weights exp(cosine / T).
    """
    if k < 1 or not 0 < temperature < math.inf:
        raise InputError(f"k = {k}, temperature = {temperature}: needs k of at least 1, temperature above 0")
    if len(train_features) != len(train_labels):
        raise ValueError(f"{len(train_features)} training features with {len(train_labels)} labels")
    if not len(train_features):
        raise InputError("no training image to vote: none of the classes that both sets share has any")
    if not train_features.isfinite().all() or not test_features.isfinite().all():
        raise InputError(
            "features that are not finite have no neighbours: the encoder's training has diverged"
        )
    bank = F.normalize(train_features.float(), dim=1)
    k = min(k, len(bank))
    for block in test_features.split(max(1, TILE // len(bank))):
        cosines, nearest = (F.normalize(block.float(), dim=1) @ bank.T).topk(k, dim=1)
        # Taking the largest cosine off rescales a query's votes together; no temperature leaves them all 0.
        weights = ((cosines - cosines[:, :1]) / temperature).exp()
        votes = torch.zeros(len(block), classes, device=bank.device)
        yield votes.scatter_add_(1, train_labels[nearest], weights)


def knn_accuracy(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    test_labels: Tensor,
    *,
    k: int = 20,
    temperature: float = 0.07,
) -> float:
    """Top-1 accuracy of the weighted vote, a share between 0 and 1 (not a percentage).

    Args:
        train_features: (N, F) on any device; normalised here.
        train_labels: int64 (N,), non-negative.
        test_features: (T, F), T at least 1.
        test_labels: int64 (T,).
        k: neighbours; all N of them where N is smaller.
        temperature: of the weights exp(cosine / temperature).
    """
    if not len(test_features) or len(test_features) != len(test_labels):
        raise ValueError(f"{len(test_features)} test features with {len(test_labels)} labels")
    classes = int(train_labels.max()) + 1
    scores = knn_scores(
        train_features, train_labels, test_features, classes=classes, k=k, temperature=temperature
    )
    predictions = torch.cat([votes.argmax(1) for votes in scores])
    return (predictions == test_labels).double().mean().item()
