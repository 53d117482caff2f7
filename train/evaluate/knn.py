"""`texneg knn`: k-nearest-neighbour accuracy of frozen features."""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from texneg import __version__
from texneg.cli import console
from texneg.cli.fields import Positional
from texneg.datasets.storage.json_files import write_json
from texneg.datasets.storage.places import require_folder
from texneg.errors import InputError
from texneg.train.data.splits import find_test, open_test, open_train, require_labels
from texneg.train.evaluate.class_space import declare, describe_left_out, find_class_map
from texneg.train.evaluate.features import Bad, describe_encoder, describe_unreadable, extract, open_encoder
from texneg.train.evaluate.sets.accuracy import score, summarise, vote
from texneg.train.networks.imported import Foreign


@dataclass(frozen=True)
class KnnConfig:
    """kNN accuracy of frozen features: cosine neighbours, weighted by exp(cosine / temperature)."""

    checkpoint: Positional[str]
    """run folder, encoder.pt, file of another project's weights, or timm:NAME"""
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
    bad: Bad = "wrong"
    """a test image that cannot be read: counts as wrong, is left out (skip), or ends the test (error);
    images to search in that cannot be read are left out unless it is error"""
    allow_truncated: bool = False
    """use truncated files as far as they go"""
    classes: str | None = None
    """class map of the test images' folders: a file, a map that comes with texneg, or folders"""
    leave_out: bool = False
    """leave out test images in unknown class folders or in none, instead of refusing them"""
    foreign: Foreign = Foreign()


def knn(config: KnnConfig) -> int:
    """Measure top-1 accuracy for each k over the classes that both sets share."""
    if not config.k or min(config.k) < 1 or not 0 < config.temperature < math.inf:
        raise InputError("--k takes numbers of 1 or more, --temperature one above 0")
    for folder, flag in ((config.out, "--out"), (config.cache, "--cache")):
        if folder:
            require_folder(folder, flag)
    encoder = open_encoder(config.checkpoint, config.device, config.foreign)
    train = require_labels(open_train(config.data))
    test = open_test(config.test) if config.test else find_test(config.data, train.classes)
    if test is None:
        raise InputError(
            f"{config.data} has no val, validation or test split with its classes; name one with --test"
        )
    searched: Bad = "error" if config.bad == "error" else "skip"
    bank, seen = (
        extract(
            encoder,
            replace(images, allow_truncated=config.allow_truncated),
            batch=config.batch,
            cache=config.cache,
            bad=bad,
        )
        for images, bad in ((train, searched), (test, config.bad))
    )
    declared = find_class_map(config.classes, "", test)
    space = declare(train.classes, test.classes, seen.labels, declared, leave_out=config.leave_out)
    known = space.known
    readable = seen.mark_wrong(known)[known]
    notes = describe_left_out(space.left_out) + describe_unreadable(seen.unreadable, config.bad)
    if bank.unreadable:
        notes += f"; of the images to search in, {bank.unreadable} unreadable left out"
    rows = {}
    for k in config.k:
        votes, how = vote(
            bank, seen.values[known], space, classes=len(train.classes), k=k, temperature=config.temperature
        )
        used = how["k"]
        found = score(correct := space.judge(votes) & readable)
        rows[str(k)] = {**summarise(space, correct), "k": used, "asked": k}
        asked = f" (asked for {k})" if used < k else ""
        of = f"in {space.kinds} classes ({len(space.columns)}-way, chance {100 * space.chance:.1f} %)"
        console.out(f"kNN k = {used}{asked}: {found} {of}{notes}")
    if largest := max((row["k"] for row in rows.values() if row["k"] < row["asked"]), default=0):
        console.info(
            f"warning: --k {max(config.k)} is more than the {largest} images to search in, which all vote"
        )
    if config.out:
        record = {
            "encoder": encoder.fingerprint,
            **describe_encoder(encoder),
            "config": asdict(config),
            "version": __version__,
        }
        unreadable = {"test": seen.unreadable, "searched": bank.unreadable}
        write_json(
            Path(config.out) / "knn.json",
            {"k": rows, **space.describe(), "unreadable": unreadable, **record},
        )
    return 0
