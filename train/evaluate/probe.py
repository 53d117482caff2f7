"""`texneg probe`: a linear probe on frozen features, its head and its accuracy."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from texneg import __version__
from texneg.cli.fields import Positional
from texneg.datasets.images import ImageSet, open_images
from texneg.datasets.storage.json_files import write_json
from texneg.train.data.splits import find_test, labelled, open_train
from texneg.train.device import pick_device
from texneg.train.evaluate.accuracy import predictions, score, share_classes
from texneg.train.evaluate.features import TRANSFORM, Encoder, Features, data_fingerprint, extract
from texneg.train.evaluate.head import Head, save_head
from texneg.train.evaluate.linear import PENALTIES, VALIDATION_SHARE, fit_probe
from texneg.train.evaluate.outcomes import save_outcomes
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
    device = pick_device(config.device)
    encoder = load_encoder(config.checkpoint, device=device)
    train = labelled(open_train(config.data))
    test = open_images(config.test) if config.test else find_test(config.data, train.classes)

    def features(images: ImageSet) -> Features:
        return extract(encoder, images, batch=config.batch, flip=config.flip, cache=config.cache)

    result, head = run_probe(encoder, train, test, features=features, seed=config.seed, device=device)
    out = Path(config.out)
    save_head(str(out / "head.pt"), head)
    if test is not None:
        save_outcomes(out / "probe-outcomes.npz", *result.pop("outcomes"))
    write_json(out / "probe.json", {**result, "config": vars(config), "version": __version__})
    print(f"{summary(result)} -> {out / 'head.pt'}")
    return 0


def run_probe(
    encoder: Encoder,
    train: ImageSet,
    test: ImageSet | None,
    *,
    features: Callable[[ImageSet], Features],
    seed: int = 0,
    device: str = "cpu",
) -> tuple[dict[str, Any], Head]:
    """Fit and test a probe; what probe.json holds, with the test's per-image outcomes, and the head."""
    fitted = features(train)
    head = fit_probe(fitted.values, fitted.labels, classes=train.classes, seed=seed, device=device)
    head = Head(**{**vars(head), "encoder": encoder.fingerprint})
    result: dict[str, Any] = {
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
        "test": None,
    }
    if test is None:
        return result, head
    seen = features(test)
    shared = share_classes(head.classes, test.classes, seen.labels)
    chosen = predictions(head.logits(seen.values[shared.known]), shared)
    right = chosen["masked"] == shared.targets[shared.known]
    result["test"] = {
        **score(right),
        "classes": len(shared.names),
        "chance": 1 / len(shared.names),
        "left_out": {"images": int((~shared.known).sum()), "classes": list(shared.unknown)},
        "data": data_fingerprint(test),
    }
    keys = [key for key, known in zip(seen.keys, shared.known.tolist(), strict=True) if known]
    result["outcomes"] = keys, right.numpy()
    return result, head


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
