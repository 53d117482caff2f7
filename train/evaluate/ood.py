"""`texneg ood`: accuracy on named test folders and shape bias on cue-conflict sets, resumable set by set.

The output folder holds `cells.jsonl` (one line for each finished set, appended, never rewritten), `ood.json`
(all finished sets of this encoder and head) and `outcomes/*.npz` (every image, for paired comparisons). A set
is measured again only when the weights, the head, its images or the protocol changed.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from texneg import __version__
from texneg.cli.fields import Positional
from texneg.datasets.images import ImageSet, open_images
from texneg.datasets.storage.json_files import append_json_line, write_json
from texneg.errors import InputError
from texneg.train.data.splits import labelled, open_train
from texneg.train.device import pick_device
from texneg.train.evaluate.features import TRANSFORM, Encoder, Features, data_fingerprint, extract
from texneg.train.evaluate.head import Head, load_head
from texneg.train.evaluate.outcomes import save_outcomes
from texneg.train.evaluate.sets.measure import Measured, measure_accuracy, measure_shape_bias
from texneg.train.networks.encoder import load_encoder

PROTOCOL = "ood-1"  # a new name measures everything again


@dataclass(frozen=True)
class OodConfig:
    """Test one encoder with one head on named sets of images."""

    checkpoint: Positional[str]
    """pre-trained checkpoint or run folder"""
    head: str
    """head.pt of texneg probe on the same checkpoint"""
    out: str
    """run folder for ood.json"""
    sets: tuple[str, ...] = ()
    """test sets as NAME=PATH; class folders are matched with the head's classes by name"""
    cue_conflict: tuple[str, ...] = ()
    """cue-conflict sets as NAME=PATH; files named <shape><i>-<texture><j> in folders by shape"""
    mapping: str | None = None
    """JSON file {category: [head classes]} for cue-conflict sets whose categories group the head's classes"""
    data: str | None = None
    """training images of the head, for kNN accuracy on every set too; none for the head alone"""
    strict: bool = False
    """refuse test sets with class folders that the head lacks, instead of leaving those images out"""
    batch: int = 256
    """images a forward pass"""
    device: str = "auto"
    """auto, cpu or cuda"""
    cache: str | None = None
    """folder that keeps features between calls"""


@dataclass(frozen=True)
class TestSet:
    """One set to measure."""

    __test__ = False  # not a test case, whatever its name

    name: str
    path: str
    kind: str
    """accuracy or shape-bias"""
    options: dict[str, Any] = field(default_factory=dict)
    """what else decides the numbers"""


def ood(config: OodConfig) -> int:
    """Measure every set that is not finished, then write ood.json."""
    encoder = load_encoder(config.checkpoint, device=pick_device(config.device))
    head = load_head(config.head, encoder)
    mapping = read_mapping(config.mapping)
    train = labelled(open_train(config.data)) if config.data else None
    sets = parse_sets(config.sets, "--sets", "accuracy", {"knn": data_fingerprint(train)} if train else {})
    sets += parse_sets(config.cue_conflict, "--cue-conflict", "shape-bias", {"mapping": mapping})
    if not sets:
        raise InputError("no test set given; name one or more: --sets sketch=/data/sketch")

    def features(images: ImageSet) -> Features:
        return extract(encoder, images, batch=config.batch, cache=config.cache)

    @cache
    def bank() -> Features | None:
        return head_bank(head, train, features) if train else None

    def measure(one: TestSet, images: ImageSet) -> Measured:
        seen = features(images)
        if one.kind == "shape-bias":
            return measure_shape_bias(head, seen, images.classes, mapping=mapping)
        found = measure_accuracy(head, seen, images.classes, bank=bank())
        unknown = found.numbers["left_out"]["classes"]
        if config.strict and unknown:
            raise InputError(f"the head lacks {', '.join(unknown[:5])}; remove the folders or drop --strict")
        return found

    run_sets(Path(config.out), sets, encoder=encoder, head=head, measure=measure)
    return 0


def run_sets(
    out: Path,
    sets: Sequence[TestSet],
    *,
    encoder: Encoder,
    head: Head,
    measure: Callable[[TestSet, ImageSet], Measured],
) -> dict[str, Any]:
    """Measure the sets without a finished cell; returns and writes what ood.json holds."""
    weights = {"encoder": encoder.fingerprint, "head": head.fingerprint}
    cells = read_cells(out / "cells.jsonl")
    for one in sets:
        images = open_images(one.path)
        data = data_fingerprint(images)
        cell = cell_id(**weights, data=data, kind=one.kind, name=one.name, **one.options)
        row = cells.get(cell)
        if row is None or not (out / row["outcomes"]).is_file():
            try:
                found = measure(one, images)
            except InputError as error:
                raise InputError(f"set {one.name!r} ({one.path}): {error}") from error
            outcomes = f"outcomes/{cell[:16]}.npz"
            save_outcomes(out / outcomes, found.keys, found.values)
            row = {
                **found.numbers, **weights,
                "cell": cell, "name": one.name, "path": one.path, "data": data,
                "outcomes": outcomes, "options": one.options, "version": __version__,
            }  # fmt: skip
            append_json_line(out / "cells.jsonl", row)
        cells.pop(cell, None)  # the latest of a name stands last
        cells[cell] = row
        print(summary(row))
    mine = [row for row in cells.values() if {key: row[key] for key in weights} == weights]
    by_name = {(row["kind"], row["name"]): row for row in mine}
    result = {
        "protocol": PROTOCOL,
        "transform": TRANSFORM,
        **weights,
        "classes": list(head.classes),
        "sets": list(by_name.values()),
        "version": __version__,
    }
    write_json(out / "ood.json", result)
    return result


def cell_id(**fields: Any) -> str:
    """sha256 over everything that decides a set's numbers."""
    return hashlib.sha256(
        json.dumps([PROTOCOL, TRANSFORM, fields], sort_keys=True).encode("utf-8", "surrogateescape")
    ).hexdigest()


def read_cells(path: Path) -> dict[str, dict[str, Any]]:
    """Finished cells by id; a line that a kill cut short is as good as absent."""
    cells: dict[str, dict[str, Any]] = {}
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        try:
            row = json.loads(line)
            cells[row["cell"]] = row
        except (ValueError, KeyError, TypeError):
            continue
    return cells


def parse_sets(texts: Sequence[str], flag: str, kind: str, options: dict[str, Any]) -> list[TestSet]:
    """The sets of one flag, each NAME=PATH; a wrong or repeated name raises `InputError`."""
    sets: dict[str, TestSet] = {}
    for text in texts:
        name, _, path = text.partition("=")
        if not name or not path:
            raise InputError(f"{flag} {text!r} is not NAME=PATH, for example {flag} sketch=/data/sketch")
        if name in sets:
            raise InputError(f"{flag}: the name {name!r} is given twice; give every set its own name")
        sets[name] = TestSet(name, path, kind, options)
    return list(sets.values())


def read_mapping(path: str | None) -> Mapping[str, list[str]] | None:
    """Category to class names from a JSON file."""
    if path is None:
        return None
    try:
        mapping = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"--mapping {path!r} cannot be read as JSON ({error})") from error
    good = isinstance(mapping, dict) and all(
        isinstance(group, list) and all(isinstance(name, str) for name in group) for group in mapping.values()
    )
    if not good:
        raise InputError(f"--mapping {path!r} must hold {{category: [class folder names]}}")
    return mapping


def head_bank(head: Head, train: ImageSet, features: Callable[[ImageSet], Features]) -> Features:
    """Features of the training images under the head's class indices, as neighbours for kNN."""
    if set(train.classes) != set(head.classes):
        raise InputError(
            "--data has other class folders than the head; give the images the probe was fitted on"
        )
    found = features(train)
    places = [head.classes.index(name) for name in train.classes]
    return Features(found.values, found.labels.new_tensor(places)[found.labels], found.keys)


def summary(row: Mapping[str, Any]) -> str:
    """One line for the terminal."""
    if row["kind"] == "shape-bias":
        bias = "undecided" if row["shape_bias"] is None else f"{100 * row['shape_bias']:.1f} %"
        return (
            f"{row['name']}: shape bias {bias}, cue accuracy {100 * row['cue_accuracy']:.1f} %, n {row['n']}"
        )
    masked, unmasked = row["masked"], row["unmasked"]
    return (
        f"{row['name']}: {100 * masked['accuracy']:.1f} % "
        f"[{100 * masked['low']:.1f}, {100 * masked['high']:.1f}] of {row['n']} images "
        f"in {row['classes']} classes (chance {100 * row['chance']:.1f} %), "
        f"unmasked {100 * unmasked['accuracy']:.1f} %"
    )
