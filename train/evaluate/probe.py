"""`texneg probe`: a linear probe on frozen features, its head and its accuracy."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from texneg import __version__
from texneg.cli import console
from texneg.cli.fields import Positional
from texneg.datasets.images import ImageSet, fingerprint
from texneg.datasets.storage.json_files import write_json
from texneg.datasets.storage.places import require_folder
from texneg.train.data.splits import find_test, open_test, open_train, require_labels
from texneg.train.device import pick_device
from texneg.train.evaluate.features import TRANSFORM, Features, extract
from texneg.train.evaluate.linear import PENALTIES, VALIDATION_SHARE, fit_probe, save_head
from texneg.train.evaluate.sets.accuracy import measure_accuracy
from texneg.train.evaluate.sets.base import save_outcomes
from texneg.train.networks.encoder import load_encoder

PROTOCOL = "lbfgs"


@dataclass(frozen=True)
class ProbeConfig:
    """Linear probe: L-BFGS on standardised frozen features, penalty chosen on a held-out tenth."""

    checkpoint: Positional[str]
    """pre-trained checkpoint or run folder"""
    data: str
    """labelled training images: class folders or tar shards; its `train` split where it has one"""
    out: str
    """run folder for head.pt and probe.json"""
    test: str | None = None
    """test images; without it, the `val`, `validation` or `test` split of --data where there is one"""
    flip: bool = False
    """average the features of each image and its mirror image"""
    seed: int = 0
    """of the validation split"""
    batch: int = 256
    """images a forward pass"""
    device: str = "auto"
    """auto, cpu or cuda"""
    cache: str | None = None
    """folder that keeps features between calls"""


def probe(config: ProbeConfig) -> int:
    """Fit the head, test it, and write head.pt, probe.json and the per-image outcomes."""
    require_folder(config.out, "--out")
    device = pick_device(config.device)
    encoder = load_encoder(config.checkpoint, device=device)
    train = require_labels(open_train(config.data))
    test = open_test(config.test) if config.test else find_test(config.data, train.classes)

    def features(images: ImageSet) -> Features:
        return extract(encoder, images, batch=config.batch, flip=config.flip, cache=config.cache)

    fitted = features(train)
    head = fit_probe(fitted.values, fitted.labels, classes=train.classes, seed=config.seed, device=device)
    head = replace(head, encoder=encoder.fingerprint)
    out = Path(config.out)
    tested = None
    if test is not None:
        found = measure_accuracy(head, features(test), test.classes)
        save_outcomes(out / "probe-outcomes.npz", found.keys, found.values)
        shared = {name: found.numbers[name] for name in ("classes", "chance", "left_out")}
        tested = {**found.numbers["masked"], **shared, "data": fingerprint(test)}
    save_head(str(out / "head.pt"), head)
    result = {
        "protocol": PROTOCOL,
        "transform": TRANSFORM,
        "encoder": encoder.fingerprint,
        "head": head.fingerprint,
        "classes": list(head.classes),
        "n_train": len(train),
        "penalty": head.penalty,
        "penalties": list(PENALTIES),
        "validation_share": VALIDATION_SHARE,
        "validation_accuracy": head.validation,
        "test": tested,
        "config": vars(config),
        "version": __version__,
    }
    write_json(out / "probe.json", result)
    console.out(f"{summary(result)} -> {out / 'head.pt'}")
    return 0


def summary(result: dict[str, Any]) -> str:
    """One line for the terminal."""
    line = (
        f"linear probe ({result['protocol']}): {result['n_train']} training images, "
        f"{len(result['classes'])} classes, penalty {result['penalty']:.2g}, "
        f"validation {100 * result['validation_accuracy']:.1f} %"
    )
    test = result["test"]
    if test is None:
        return f"{line}; no test set given"
    interval = f"[{100 * test['low']:.1f}, {100 * test['high']:.1f}]"
    return f"{line}, test {100 * test['accuracy']:.1f} % {interval} of {test['n']} images"
