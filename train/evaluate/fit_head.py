"""The fit of a probe's head by one of the protocols.

`lbfgs` finds the minimum on features of centre crops. The others are published ones, by gradient descent on
random crops through the frozen encoder; what counts is the head of their last epoch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from texneg.datasets.class_maps import ClassMap
from texneg.datasets.fingerprint import fingerprint
from texneg.datasets.images import ImageSet
from texneg.errors import InputError
from texneg.train.evaluate.encoders import Encoder, find_device
from texneg.train.evaluate.features import Features
from texneg.train.evaluate.fitting import make_batches
from texneg.train.evaluate.linear import (
    PENALTIES,
    VALIDATION_SHARE,
    Head,
    fit_probe,
    make_plain_head,
    validation_split,
)
from texneg.train.evaluate.protocols import ProtocolName, find_protocol
from texneg.train.evaluate.sets.accuracy import measure_accuracy
from texneg.train.evaluate.sgd import FrozenViews, HeadFit, KeptFeatures

LBFGS = "lbfgs"


@dataclass(frozen=True)
class FitOptions:
    """Protocol of the fit."""

    protocol: ProtocolName = "lbfgs"
    """lbfgs: the minimum on standardised features of centre crops, penalty chosen on a held-out tenth. paper:
    SGD, lr 10, batch 128, 60 epochs. moco: SGD, lr 30, batch 256, 100 epochs. sweep: nine learning rates side
    by side, 30 epochs, chosen on a held-out tenth"""
    epochs: int | None = None
    """passes of SGD, in place of the protocol's own number"""
    centre_crops: bool = False
    """SGD on features of centre crops, computed once, in place of random crops: fast, and another protocol"""
    workers: int = 0
    """loader processes for random crops; 0 makes them in this process"""


class Fitted(NamedTuple):
    """A head, and how it was fitted."""

    head: Head
    record: dict[str, Any]
    """plain values"""
    fit: HeadFit | None = None
    """whose file is of no more use once the result is written"""


Judge = Callable[[Tensor, Tensor, Sequence[str]], float]
"""Accuracy on the test images of a head's weight (C, F), bias (C,) and classes."""


def make_judge(seen: Features, test: ImageSet, declared: ClassMap | None, *, leave_out: bool) -> Judge:
    """Return the masked accuracy on test images as a function of a head."""

    def judge(weight: Tensor, bias: Tensor, classes: Sequence[str]) -> float:
        head = make_plain_head(weight, bias, classes)
        found = measure_accuracy(head, seen, test.classes, declared=declared, leave_out=leave_out)
        return float(found.numbers["masked"]["accuracy"])

    return judge


def fit_head(
    encoder: Encoder,
    train: ImageSet,
    fitted: Features,
    how: FitOptions,
    *,
    seed: int,
    judge: Judge | None,
    state: Path,
    cache: str | None,
) -> Fitted:
    """Fit a head, or go on with it.

    Args:
        encoder: frozen.
        train: its training images.
        fitted: their features, without those of images that cannot be read.
        how: protocol.
        seed: of the validation split, of order, crops and first weights.
        judge: None without test images.
        state: file of a fit by gradient descent that is not finished.
        cache: folder of fingerprints.
    """
    if how.protocol != LBFGS:
        return fit_sgd(encoder, train, fitted, how, seed=seed, judge=judge, state=state, cache=cache)
    if how != replace(FitOptions(), workers=how.workers):
        raise InputError(
            "--epochs and --centre-crops are for gradient descent: add --protocol paper, moco or sweep"
        )
    head = fit_probe(
        fitted.values, fitted.labels, classes=train.classes, seed=seed, device=find_device(encoder)
    )
    return Fitted(
        head,
        {
            "protocol": LBFGS,
            "penalty": head.penalty,
            "penalties": list(PENALTIES),
            "validation_share": VALIDATION_SHARE,
            "validation": head.validation,
        },
    )


def fit_sgd(
    encoder: Encoder,
    train: ImageSet,
    fitted: Features,
    how: FitOptions,
    *,
    seed: int,
    judge: Judge | None,
    state: Path,
    cache: str | None,
) -> Fitted:
    """Fit a head by a protocol of gradient descent; arguments as for `fit_head`."""
    protocol = find_protocol(how.protocol, how.epochs)
    device, many = find_device(encoder), len(protocol.rates) > 1
    held = validation_split(fitted.labels, seed=seed) & many
    there = np.setdiff1d(np.arange(len(train)), fitted.skipped)[~held.numpy()]
    values, labels = fitted.values[~held], fitted.labels[~held]
    batch = min(protocol.batch, len(values))
    source: KeptFeatures | FrozenViews
    if how.centre_crops:
        source = KeptFeatures(values.to(device), batch, seed)
    else:
        batches = make_batches(train.take(there), encoder.preprocessing, batch=batch, seed=seed)
        source = FrozenViews(encoder, batches, how.workers)
    fit = HeadFit(
        source,
        labels,
        classes=len(train.classes),
        features=values.shape[1],
        protocol=protocol,
        seed=seed,
        device=device,
        judge=None if judge is None else lambda weight, bias: judge(weight, bias, train.classes),
        path=state,
        identity={
            "protocol": protocol.describe(),
            "seed": seed,
            "encoder": encoder.fingerprint,
            "data": fingerprint(train, cache),
            "images": len(values),
            "centre_crops": how.centre_crops,
        },
    )
    fit.resume()
    fit.run()
    place, validation = fit.choose(fitted.values[held], fitted.labels[held])
    rate = protocol.rates[place]
    head = make_plain_head(fit.weight[place].cpu(), fit.bias[place].cpu(), train.classes)
    views = "centre crops" if how.centre_crops else "random crops and flips"
    choice = f"lr {rate:g} chosen on a held-out {VALIDATION_SHARE:.0%}, " if many else ""
    described = f"{protocol.describe()}, {views}"
    record = {
        "protocol": described,
        "choice": f"{choice}last epoch",
        "rate": rate,
        "validation_share": VALIDATION_SHARE if many else 0.0,
        "validation": validation,
        "best_on_test": None if fit.best is None else {"accuracy": fit.best[0], "epoch": fit.best[1]},
    }
    return Fitted(replace(head, protocol=described, validation=validation), record, fit)
