"""`texneg probe`: a linear probe on frozen features, its head and its accuracy."""

import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from texneg import __version__
from texneg.cli import console
from texneg.cli.fields import Positional
from texneg.datasets.fingerprint import fingerprint, sample_fingerprint
from texneg.datasets.images import ImageSet
from texneg.datasets.sources.splits import HELD_OUT, TRAIN
from texneg.datasets.storage.json_files import read_json, write_json
from texneg.datasets.storage.places import require_folder
from texneg.errors import InputError, RunFailed
from texneg.train.data.splits import find_test, open_test, open_train, require_labels
from texneg.train.evaluate.class_space import check_classes, find_class_map
from texneg.train.evaluate.encoders import describe_encoder, open_encoder
from texneg.train.evaluate.features import Bad, Features, describe_unreadable, extract
from texneg.train.evaluate.fit_head import LBFGS, FitOptions, fit_head, make_judge
from texneg.train.evaluate.linear import OWN, head_file, save_head
from texneg.train.evaluate.outcomes import save_outcomes
from texneg.train.evaluate.sets.accuracy import describe_accuracy, measure_accuracy
from texneg.train.networks.imported import Foreign
from texneg.train.networks.preprocessing import VERSION


@dataclass(frozen=True)
class ProbeConfig:
    """Linear probe on frozen features: a head, and its accuracy."""

    checkpoint: Positional[str]
    """run folder, encoder.pt, file of another project's weights, or timm:NAME"""
    data: str
    """labelled training images: class folders or tar shards; its `train` split where it has one"""
    out: str
    """run folder for head.pt and probe.json"""
    test: str | None = None
    """test images; without it, the `val`, `validation` or `test` split of --data where there is one"""
    name: str = ""
    """of this head, where a run has several: its files are head-NAME.pt and probe-NAME.json"""
    in_distribution: bool = False
    """--test is of the distribution of --data; so is a split beside its training images without this flag"""
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
    bad: Bad = "wrong"
    """a test image that cannot be read: counts as wrong, is left out (skip), or ends the test (error);
    training images that cannot be read are left out unless it is error"""
    allow_truncated: bool = False
    """use truncated files as far as they go"""
    classes: str | None = None
    """class map of the test images' folders: a file, a map that comes with texneg, or folders"""
    leave_out: bool = False
    """leave out test images in unknown class folders or in none, instead of refusing them"""
    how: FitOptions = FitOptions()
    foreign: Foreign = Foreign()


def probe(config: ProbeConfig) -> int:
    """Fit the head and write head.pt, test it, and write probe.json and the per-image outcomes.

    Raises:
        RunFailed: the test images are of no use; the head is written.
    """
    require_folder(config.out, "--out")
    if config.cache:
        require_folder(config.cache, "--cache")
    encoder = open_encoder(config.checkpoint, config.device, config.foreign)
    train, test = open_sets(config)
    require_own_place(config, train)
    declared = None if test is None else find_class_map(config.classes, "", test)
    if test is not None:
        check_classes(train.classes, test, declared, leave_out=config.leave_out)

    def features(images: ImageSet, bad: Bad) -> Features:
        return extract(encoder, images, batch=config.batch, flip=config.flip, cache=config.cache, bad=bad)

    fitted = features(train, "error" if config.bad == "error" else "skip")
    judge = None
    if test is not None and config.how.protocol != LBFGS:  # before the long fit, which looks at it
        judge = make_judge(features(test, config.bad), test, declared, leave_out=config.leave_out)
    state = record_file(Path(config.out), config.name).with_suffix(".fit.pt")
    made = fit_head(
        encoder, train, fitted, config.how, seed=config.seed, judge=judge, state=state, cache=config.cache
    )
    prepared = encoder.preprocessing
    head = replace(
        made.head,
        encoder=encoder.fingerprint,
        flip=config.flip,
        resize="torchvision" if prepared.enlarges else "no-enlargement",
        transform=prepared.transform,
        data=sample_fingerprint(train),
    )
    out = Path(config.out)
    record_path, head_path = record_file(out, config.name), head_file(out, config.name)
    record_path.unlink(missing_ok=True)  # numbers of an earlier head
    save_head(str(head_path), head)
    tested, clean = None, config.in_distribution or is_split_of(config.data, config.test)
    if test is not None:
        try:
            seen = features(test, config.bad)
            found = measure_accuracy(
                head, seen, test.classes, declared=declared, leave_out=config.leave_out, rank=clean
            )
        except (InputError, OSError) as error:
            raise RunFailed(
                f"the test on {test.root} failed: {error}; {head_path} is written, {record_path.name} is not"
            ) from error
        save_outcomes(out / outcomes_name(config.name), found.keys, found.values, found.answers)
        tested = {
            **found.numbers["masked"],
            **found.numbers,
            "data": fingerprint(test, config.cache),
            "in_distribution": clean,
            "unreadable": seen.unreadable,
            "bad": config.bad,
        }
    result = {
        **made.record,
        **describe_encoder(encoder),
        "encoder": encoder.fingerprint,
        "name": config.name,
        "head": head.fingerprint,
        "classes": list(head.classes),
        "data": sample_fingerprint(train),
        "n_train": len(fitted.values),
        "unreadable": fitted.unreadable,
        "test": tested,
        "config": asdict(config),
        "version": __version__,
    }
    write_json(record_path, result)
    if made.fit is not None:
        made.fit.finish()
    console.out(f"{summary(result, config.bad)} -> {head_path}")
    return 0


def record_file(out: Path, name: str) -> Path:
    """Place of the record of a head in a run folder."""
    return out / (f"probe-{name}.json" if name else "probe.json")


def outcomes_name(name: str) -> str:
    """File of the outcomes of a head's test in a run folder."""
    return f"probe-{name}-outcomes.npz" if name else "probe-outcomes.npz"


def require_own_place(config: ProbeConfig, train: ImageSet) -> None:
    """Refuse to write over the head that was fitted on other images.

    Raises:
        InputError: asks for a name for this one.
    """
    if not re.fullmatch(r"[\w.-]*", config.name) or config.name == OWN:
        raise InputError(f"--name {config.name!r}: letters, digits, dots, hyphens and underscores; not {OWN}")
    path = record_file(Path(config.out), config.name)
    found = read_json(path) if path.is_file() else {}
    before = found.get("config", {}).get("data")
    if before not in (None, config.data) and found.get("data") != sample_fingerprint(train):
        raise InputError(
            f"{path} is of a head fitted on {before}: give this one a name, such as"
            f" --name {Path(config.data).name}"
        )


def is_split_of(data: str, test: str | None) -> bool:
    """Return True for test images in a split beside the training images."""
    if test is None:
        return True
    train, other = Path(data).absolute(), Path(test).absolute()
    root = train.parent if train.name == TRAIN else train
    return other.name in HELD_OUT and other.parent == root


def open_sets(config: ProbeConfig) -> tuple[ImageSet, ImageSet | None]:
    """Open the training images and, where there are any, the test images."""
    train = require_labels(open_train(config.data))
    test = open_test(config.test) if config.test else find_test(config.data, train.classes)
    train = replace(train, allow_truncated=config.allow_truncated)
    return train, None if test is None else replace(test, allow_truncated=config.allow_truncated)


def is_current(config: ProbeConfig) -> bool:
    """Return True if the record is there, of today's crops and of the images that are there, if they are."""
    path = record_file(Path(config.out), config.name)
    if not path.is_file():
        return False
    found = read_json(path)
    if not str(found.get("transform")).endswith(VERSION):
        return False  # of crops of an earlier version
    before = FitOptions(**found.get("config", {}).get("how", {}))
    if replace(before, workers=config.how.workers) != config.how:
        return False
    try:
        train, test = open_sets(config)
    except InputError:
        return True
    tested = found.get("test") or {}
    same_test = tested.get("data") == (None if test is None else fingerprint(test, path.parent))
    return same_test and found.get("data") == sample_fingerprint(train)


def summary(result: dict[str, Any], bad: Bad) -> str:
    """One line for the terminal."""
    line = (
        f"linear probe ({result['protocol']}): {result['n_train']} training images, "
        f"{len(result['classes'])} classes{describe_unreadable(result['unreadable'], 'skip')}, "
        f"{describe_choice(result)}"
    )
    test = result["test"]
    if test is None:
        return f"{line}; no test set given"
    best, after = result.get("best_on_test"), ""
    if best is not None:
        after = (
            f" (best epoch on these test images, as the paper reports: {100 * best['accuracy']:.1f} % after"
            f" epoch {best['epoch']}; not to be compared with other numbers)"
        )
    return f"{line}; test: {describe_accuracy(test)}{after}{describe_unreadable(test['unreadable'], bad)}"


def describe_choice(result: dict[str, Any]) -> str:
    """Describe how the head was chosen."""
    validation = result["validation"]
    shown = "" if validation is None else f"validation {100 * validation:.1f} %"
    if "choice" in result:
        return f"{result['choice']}{', ' if shown else ''}{shown}"
    return f"penalty {result['penalty']:.2g}, {shown or 'chosen without validation'}"
