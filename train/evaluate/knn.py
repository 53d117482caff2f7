"""k-nearest-neighbour accuracy of frozen features: the evaluation that needs no training.

Shapes: N training images, T test images, F features. The vote is the one of Wu et al., "Unsupervised
feature learning via non-parametric instance discrimination", CVPR 2018: weights exp(cosine / T).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from texneg import __version__
from texneg.cli.fields import Positional
from texneg.datasets.images import open_images
from texneg.datasets.storage.json_files import write_json
from texneg.errors import InputError
from texneg.train.data.splits import find_test, labelled, open_train
from texneg.train.device import pick_device
from texneg.train.evaluate.accuracy import score, share_classes
from texneg.train.evaluate.features import extract
from texneg.train.networks.encoder import load_encoder

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
    if k < 1 or temperature <= 0:
        raise ValueError(f"k = {k}, temperature = {temperature}: needs k of at least 1, temperature above 0")
    if not len(train_features) or len(train_features) != len(train_labels):
        raise ValueError(f"{len(train_features)} training features with {len(train_labels)} labels")
    bank = F.normalize(train_features.float(), dim=1)
    k = min(k, len(bank))
    for block in test_features.split(max(1, TILE // len(bank))):
        cosines, nearest = (F.normalize(block.float(), dim=1) @ bank.T).topk(k, dim=1)
        # Taking 1 off the cosine rescales a query's votes together and keeps exp() in range.
        weights = ((cosines - 1) / temperature).exp()
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


@dataclass(frozen=True)
class KnnConfig:
    """kNN accuracy of frozen features: cosine neighbours, weighted by exp(cosine / temperature)."""

    checkpoint: Positional[str]
    """pre-trained checkpoint or run folder"""
    data: str
    """labelled images to search in; the `train` split where there is one"""
    test: str | None = None
    """test images; without it, the `val`, `validation` or `test` split of --data"""
    out: str | None = None
    """run folder for knn.json; none prints only"""
    k: tuple[int, ...] = (10, 20, 200)
    """numbers of neighbours"""
    temperature: float = 0.07
    """of the weights; older tables use 0.1"""
    batch: int = 256
    """images a forward pass"""
    device: str = "auto"
    """auto, cpu or cuda"""
    cache: str | None = None
    """folder that keeps features between calls"""


def knn(config: KnnConfig) -> int:
    """Measure top-1 accuracy for each k over the classes that both sets share."""
    if not config.k or min(config.k) < 1 or config.temperature <= 0:
        raise InputError("--k takes numbers of 1 or more, --temperature one above 0")
    encoder = load_encoder(config.checkpoint, device=pick_device(config.device))
    train = labelled(open_train(config.data))
    test = open_images(config.test) if config.test else find_test(config.data, train.classes)
    if test is None:
        raise InputError(
            f"{config.data} has no val, validation or test split with its classes; name one with --test"
        )
    bank, seen = (extract(encoder, s, batch=config.batch, cache=config.cache) for s in (train, test))
    shared = share_classes(train.classes, test.classes, seen.labels)
    near, known = torch.isin(bank.labels, shared.columns), shared.known
    rows = {}
    for k in config.k:
        blocks = knn_scores(
            bank.values[near],
            bank.labels[near],
            seen.values[known],
            classes=len(train.classes),
            k=k,
            temperature=config.temperature,
        )
        rows[str(k)] = row = score(torch.cat([b.argmax(1) for b in blocks]) == shared.targets[known])
        interval = f"[{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
        print(f"kNN k = {k}: {100 * row['accuracy']:.1f} % {interval} of {row['n']} images")
    if config.out:
        record = {"encoder": encoder.fingerprint, "config": vars(config), "version": __version__}
        write_json(Path(config.out) / "knn.json", {"k": rows, "classes": list(shared.names), **record})
    return 0
