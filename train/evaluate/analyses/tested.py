"""Analyses that test a classifier on frozen features: their images, the probe or head, and the neighbours.

Shapes: N test images, F features.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from texneg.datasets.fingerprint import sample_fingerprint
from texneg.datasets.images import ImageSet
from texneg.errors import InputError
from texneg.train.data.splits import find_test, open_test, open_train, require_labels
from texneg.train.evaluate.analyses.base import Analysis, draw_sample
from texneg.train.evaluate.class_space import ClassSpace, check_classes, declare, find_class_map
from texneg.train.evaluate.encoders import Encoder, find_device
from texneg.train.evaluate.features import U8, Edit, Features, extract
from texneg.train.evaluate.linear import Head, find_head, fit_probe, load_head, save_head

HEAD = "analysis-head.pt"
MOST_BYTES = 400_000_000  # of crops that are kept: 8,000 at 128 px, 2,600 at 224 px


@dataclass(frozen=True)
class Tested(Analysis):
    """An analysis of the answers of a probe on frozen features, or of a head that is given."""

    data: str
    """labelled images: the train split fits probe and neighbours, the val or test split is tested"""
    test: str | None = None
    """test images; without it, the `val`, `validation` or `test` split of --data"""
    images: int = 1000
    """how many test images to take, drawn by the seed; 0 for all"""
    fit: int = 5000
    """how many training images to fit on, drawn by the seed; 0 for all"""
    head: str | None = None
    """classifier in place of a fitted one: a file of texneg probe, or own; --data may be test images then"""
    classes: str | None = None
    """class map of the test images' folders: a file, a map that comes with texneg, or folders"""
    cache: str | None = None
    """folder that keeps features of training images between calls"""

    def open_images(self) -> ImageSet:
        """Open the test images."""
        if self.test:
            return open_test(self.test)
        train = open_train(self.data)
        found = find_test(self.data, train.classes)
        if found is None and self.head is None:
            raise InputError(
                f"{self.data} has no val, validation or test split with its classes; name test images with"
                " --test, or a classifier that was fitted on others with --head"
            )
        return train if found is None else found

    def prepare(self, encoder: Encoder, images: ImageSet, tested: ImageSet) -> "Setup":
        """Open the training images, and fit the probe or open the head.

        Raises:
            InputError: there are no images to fit on, or class folders that do not fit.
        """
        train = open_train(self.data)
        whole = None if train.root == images.root else require_labels(train)
        if whole is None and self.head is None:
            raise InputError(
                f"{self.data} holds the test images: a probe is fitted on others, or give --head"
            )
        declared = find_class_map(self.classes, "", images)
        if whole is not None:
            places = draw_sample(len(whole), self.fit or len(whole), seed=self.seed)
            whole = replace(whole, allow_truncated=self.allow_truncated).take(places)
            if self.head is None:
                check_classes(whole.classes, images, declared, leave_out=False)

        given = None if self.head is None else load_head(find_head(self.head, self.out)[1], encoder)
        prepared: dict[str, Any] = {} if given is None else {"flip": given.flip, "resize": given.resize}

        @cache
        def read_bank() -> Features:
            assert whole is not None
            return extract(encoder, whole, batch=self.batch, cache=self.cache, bad="skip", **prepared)

        if given is None:
            assert whole is not None
            head = fit_head(Path(self.out) / HEAD, encoder, whole, read_bank, seed=self.seed)
        else:
            head = given
        names = {name: place for place, name in enumerate(head.classes)}
        votes = whole is not None and all(name in names for name in whole.classes)
        return Setup(
            encoder,
            head,
            tested,
            declare(head.classes, images.classes, torch.from_numpy(tested.labels), declared),
            (lambda: relabel(read_bank(), [names[name] for name in whole.classes]))
            if whole and votes
            else None,
            sample_fingerprint(whole) if whole and votes else "",
            len(whole) if whole and self.head is None else None,
            {} if len(tested) * 3 * encoder.image_size**2 <= MOST_BYTES else None,
        )


@dataclass(frozen=True)
class Setup:
    """Test images with what answers on them."""

    encoder: Encoder
    head: Head
    images: ImageSet
    """N"""
    space: ClassSpace
    bank: Callable[[], Features] | None
    """training images that vote, labelled by the classes of the head; None without any"""
    bank_fingerprint: str
    fitted: int | None
    """images that the probe was fitted on; None for another head"""
    crops: dict[int, U8] | None = None
    """crops of the test images by place, decoded once; None where they would fill the memory"""

    def extract(self, *, batch: int, edit: Edit | None = None) -> Tensor:
        """Compute features of the test images that count, edited or not."""
        flip, resize = self.head.flip, self.head.resize
        found = extract(
            self.encoder,
            self.images,
            batch=batch,
            flip=flip,
            resize=resize,
            edit=edit,
            crops=self.crops,
        )
        return found.values[self.space.known]


def relabel(bank: Features, places: Sequence[int]) -> Features:
    """Label the images of a bank by the classes of a head."""
    return replace(bank, labels=bank.labels.new_tensor(places)[bank.labels])


def fit_head(
    path: Path, encoder: Encoder, train: ImageSet, read_bank: Callable[[], Features], *, seed: int
) -> Head:
    """Fit the probe, or read the one that was fitted on the same images before."""
    data = sample_fingerprint(train)
    if path.is_file():
        with suppress(InputError):
            head = load_head(str(path), encoder)
            if head.data == data and head.classes == train.classes:
                return head
    bank = read_bank()
    head = fit_probe(bank.values, bank.labels, classes=train.classes, seed=seed, device=find_device(encoder))
    prepared = encoder.preprocessing
    head = replace(head, encoder=encoder.fingerprint, transform=prepared.transform, data=data)
    save_head(str(path), head)
    return head
