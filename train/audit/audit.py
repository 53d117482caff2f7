"""`texneg audit`: tell, leak and cost of kinds of negatives, on images of one's own.

`audit.json` in the output folder keeps a row for each kind, written as soon as it is measured. The same
command measures again only what has changed; rows of other kinds on the same images stay.

Shapes: N images, S side of a view.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from texneg import __version__
from texneg.cli import console
from texneg.cli.fields import Positional
from texneg.datasets.decode import DecodeError
from texneg.datasets.fingerprint import fingerprint
from texneg.datasets.images import ImageSet, open_images
from texneg.datasets.storage.json_files import read_json, write_json
from texneg.datasets.storage.places import require_folder
from texneg.datasets.stored import Array
from texneg.errors import InputError
from texneg.philox.arrays import generator
from texneg.philox.streams import Stream
from texneg.tell import VERSION as DEFINITION
from texneg.tell import Statistics, collect_statistics, compare
from texneg.train.audit.columns import (
    IMAGE,
    Column,
    make_columns,
    make_references,
    open_folder,
    read_kinds,
)
from texneg.train.audit.leak import (
    Judge,
    compute_features,
    judge_by_head,
    judge_by_probe,
    require_classes,
)
from texneg.train.audit.page import Row, draw_page, make_table
from texneg.train.audit.views import Views, cut_images, require_enough, require_seen
from texneg.train.data.splits import report_inputs
from texneg.train.evaluate.cells import hash_fields
from texneg.train.evaluate.encoders import Encoder, describe_encoder, open_encoder
from texneg.train.evaluate.linear import Head, load_head
from texneg.train.networks.imported import Foreign
from texneg.train.sheet.figures import RESULT

TIMED, CALLS = 32, 4  # images, times that they are made


@dataclass(frozen=True)
class AuditConfig:
    """Tell of negatives, by local statistics of their pixels, and leak of the class, by an encoder."""

    data: Positional[str]
    """class-folder tree, flat folder of images, folder of .tar shards, or one .tar"""
    out: str
    """folder for audit.json and audit.png; the same command goes on where it stopped"""
    negatives: tuple[str, ...] = ("patch", "patch_permutation", "texture", "texture_live")
    """kinds with their options, as texneg sheet --kinds takes them; kinds joined by + are a mixture"""
    folder: tuple[str, ...] = ()
    """ready negatives, one for each image under its key: NAME=DIR, such as what texneg synth wrote"""
    textures: str | None = None
    """texture files for the kind texture; without it those in the same tars as the images, else made here"""
    encoder: str | None = None
    """run folder, encoder.pt, file of another project's weights, or timm:NAME, for the leak"""
    head: str | None = None
    """head of texneg probe on the same encoder, or own: the classifier of a model of ImageNet's classes;
    without it probes are fitted on the images"""
    classes: str | None = None
    """class map of the folders for --head: a file, or one that comes with texneg"""
    split: str | None = None
    """train, val, validation or test, where the data has them"""
    images: int = 500
    """how many images to take, drawn by the seed; 0 for all"""
    size: int = 224
    """side of the views whose tell is measured, pixels; the leak is measured at the encoder's"""
    count: int = 12
    """images on the sheet"""
    seed: int = 0
    """of the images, the views and the negatives"""
    batch: int = 64
    """images a forward pass"""
    device: str = "auto"
    """auto, cpu or cuda"""
    bad: Literal["skip", "error"] = "skip"
    """an image that cannot be read: is left out, or ends the audit"""
    allow_truncated: bool = False
    """use truncated files as far as they go"""
    as_stored: bool = False
    """take images with all channels and their depth (TIFF, .npy, PNG), in place of RGB of 8 bits"""
    foreign: Foreign = Foreign()


@dataclass(frozen=True)
class Witness:
    """An encoder and its judge."""

    encoder: Encoder
    judge: Judge
    identity: list[Any]
    """decides the judge's answers, besides the images"""


class Material(NamedTuple):
    """All that an audit measures."""

    views: Views
    columns: Sequence[Column]
    """the image, its control, the kinds, the references"""
    witness: Witness | None


def audit(config: AuditConfig) -> int:
    """Measure every kind that is not measured yet; write audit.json and audit.png.

    Raises:
        InputError: too few images, negatives that do not pair with them, no classes for the leak.
    """
    views, columns, witness = prepare(config)
    rows = measure(config, views, columns, witness)
    console.out("")
    for line in make_table(rows, None if witness is None else witness.judge):
        console.out(line)
    cuts = views.cuts if views.seen is None else views.seen
    sheet = Path(config.out) / "audit.png"
    draw_page(sheet, views.images.keys, cuts, columns, rows, count=config.count)
    console.out(f"{sheet}; {Path(config.out) / RESULT}: intervals, colour, classes, images one by one")
    return 0


def prepare(config: AuditConfig) -> Material:
    """Open images, negatives and encoder, and cut the views.

    Raises:
        InputError: as `audit`.
    """
    check(config)
    kinds = read_kinds(config.negatives, config.size)
    images = open_images(config.data, config.split, stored=config.as_stored)
    images = replace(images, allow_truncated=config.allow_truncated)
    report_inputs(images)
    if config.images:
        chosen = generator(config.seed, Stream.AUDIT).permutation(len(images))[: config.images]
        images = images.take(np.sort(chosen))
    require_enough(images, len(images))
    encoder = head = None
    if config.encoder:
        require_classes(images, fitted=config.head is not None)
        with suppress(DecodeError):  # the first image stands for all until they are cut
            require_seen(images, images.pixels_of(0), 0)
        encoder = open_encoder(config.encoder, config.device, config.foreign)
        head = load_head(config.head, encoder) if config.head else None
    views = cut_images(images, encoder, size=config.size, seed=config.seed, bad=config.bad)
    ready = [open_folder(text, views.images, config.out) for text in config.folder]
    made = make_columns(
        config.negatives,
        kinds,
        views.images,
        data=config.data,
        textures=config.textures,
        split=config.split,
        seed=config.seed,
        out=config.out,
    )
    image, control, *others = make_references(views.images, config.seed)
    columns = [image, control, *made, *ready, *others]
    if len({column.title for column in columns}) < len(columns):
        raise InputError("--negatives, --folder: two of one name; give each folder a NAME=DIR of its own")
    witness = None if encoder is None else make_witness(config, views, encoder, head)
    return Material(views, columns, witness)


def check(config: AuditConfig) -> None:
    """Refuse what cannot be measured, before anything is opened.

    Raises:
        InputError: naming the flag and what it may be.
    """
    require_folder(config.out, "--out")
    if not 16 <= config.size <= 1024:
        raise InputError(f"--size {config.size}: 16 to 1024 pixels")
    if config.images < 0 or config.count < 1 or config.batch < 1:
        raise InputError(
            f"--images {config.images} --count {config.count} --batch {config.batch}:"
            " 0 or more, then 1 or more"
        )
    if not config.negatives and not config.folder:
        raise InputError("--negatives: name one or more kinds, or ready negatives with --folder")
    if config.head and not config.encoder:
        raise InputError(f"--head {config.head}: a head judges features; give its --encoder, too")


def make_witness(config: AuditConfig, views: Views, encoder: Encoder, head: Head | None) -> Witness:
    """Compute the features of the images, and find or fit what names their classes."""
    assert views.seen is not None
    features = compute_features(encoder, views.seen, config.batch)
    if head is not None:
        judge = judge_by_head(features, views.images, head, config.classes)
    else:
        judge = judge_by_probe(features, views.images, config.seed)
    identity = [encoder.fingerprint, "probe" if head is None else head.fingerprint, config.classes]
    return Witness(encoder, judge, identity)


def measure(
    config: AuditConfig, views: Views, columns: Sequence[Column], witness: Witness | None
) -> list[Row]:
    """Measure rows that are not there yet, and write each as it is ready; returns those of this command."""
    path = Path(config.out) / RESULT
    common = [
        fingerprint(views.images, config.out), config.size, config.seed, DEFINITION,
        None if witness is None else witness.identity, *(["as stored"] if config.as_stored else []),
    ]  # fmt: skip
    kept = read_rows(path, hash_fields(audit=common))
    result = {
        "audit": hash_fields(audit=common), "version": __version__, "keys": list(views.images.keys),
        "images": len(views.images), "size": config.size, "seed": config.seed,
        "encoder": None if witness is None else describe_encoder(witness.encoder),
        "judge": None if witness is None else {"by": witness.judge.by, "chance": witness.judge.chance},
    }  # fmt: skip
    rows: list[Row] = []
    of_images: Statistics = {}
    for column in columns:
        name = hash_fields(audit=common, column=column.title, identity=column.identity)
        row = kept.pop(column.title, None)
        if row is None or row["row"] != name:
            console.info(f"measuring {column.title}")
            of_images = of_images or collect_statistics(views.cuts)
            row = {"row": name, **measure_row(config, views, of_images, column, witness)}
        rows.append(row)
        write_json(path, {**result, "rows": [*rows, *kept.values()]})
    return rows


def read_rows(path: Path, same: str) -> dict[str, Row]:
    """Read the rows measured before on these very images, by title; none of another audit."""
    if not path.is_file():
        return {}
    found = read_json(path, remedy="delete it, and texneg audit makes it anew")
    return {row["title"]: row for row in found["rows"]} if found.get("audit") == same else {}


def measure_row(
    config: AuditConfig, views: Views, of_images: Statistics, column: Column, witness: Witness | None
) -> Row:
    """Measure one kind: tell on the views, leak on what the encoder is shown."""
    places = np.arange(len(views.images))
    tell, leak, microseconds = [], None, None
    if column.timed:
        microseconds = time_column(column, views.cuts[:TIMED], places[:TIMED])
    if column.name != IMAGE:
        of_negatives = collect_statistics(column.make(views.cuts, places))
        tell = [asdict(one) for one in compare(of_images, of_negatives)]
    if witness is not None and views.seen is not None:
        pictures = column.make(views.seen, places)
        found = witness.judge.measure(compute_features(witness.encoder, pictures, config.batch))
        leak = {**asdict(found), "classes": average_classes(views.images, found.ranks)}
    return {
        "title": column.title,
        "name": column.name,
        "reference": column.reference,
        "tell": tell,
        "leak": leak,
        "microseconds": microseconds,
    }


def time_column(column: Column, cuts: Array, places: npt.NDArray[np.int64]) -> float:
    """Time negatives: CPU time of all threads, microseconds an image, the quickest of a few calls."""
    seconds = []
    for _ in range(CALLS):  # the first one compiles
        start = time.process_time()
        column.make(cuts, places)
        seconds.append(time.process_time() - start)
    return 1e6 * min(seconds) / len(places)


def average_classes(images: ImageSet, ranks: Sequence[int]) -> dict[str, float]:
    """Average the pictures whose class is found, class by class."""
    found, labels = np.array(ranks) == 0, images.labels
    return {images.classes[i]: float(found[labels == i].mean()) for i in np.unique(labels).tolist()}
