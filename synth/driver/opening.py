"""Open a run: check its places, resume or plan it, requeue images, and check the space."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from texneg.cli.console import format_bytes
from texneg.datasets.sources.items import Item
from texneg.datasets.sources.sources import Source
from texneg.datasets.storage.json_files import write_json
from texneg.datasets.storage.names import escape, plain_name, show
from texneg.datasets.storage.places import (
    Place,
    free_bytes,
    is_inside,
    make_absolute,
    make_folder,
    remove_tree,
    resolve,
)
from texneg.datasets.storage.url import Url
from texneg.errors import InputError, RunFailed
from texneg.synth.ledger.ledger import Ledger
from texneg.synth.ledger.manifest import Row, Status, read_rows
from texneg.synth.ledger.record import Run, clear, new_record, open_record, versions
from texneg.synth.plan.extend import same_inputs
from texneg.synth.plan.plan import Plan, Settings, Shard, load_plan, plan_file, read_items, write_items
from texneg.synth.plan.planning import make_plan

READ_ONLY = ("http", "https")
BYTES_PER_PIXEL = {
    "webp": 1.5,
    "png": 1.9,
    "JPEG": 0.4,
}  # of a lossless texture of a photograph; of quality 85
MOST_BYTES_PER_PIXEL = 3.1  # of a lossless texture of noise
BYTES_PER_TEXTURE = 350  # of a file, however small
BLOCK = 4096  # of a file system, of which a file takes whole ones
BYTES_PER_MEMBER = 1024  # of a tar, beside the data


@dataclass(frozen=True)
class Specification:
    """The run that a command asks for: inputs, places and settings."""

    src: Place
    """As given: one tar, or a folder."""
    source: Source
    settings: Settings
    resume: Callable[[Settings, Settings], Settings]
    """From these settings and those of an earlier run, the settings with which it goes on."""
    ledger: Ledger
    command: str
    """Recorded as the command of a run that begins."""
    cores: int
    """For which a plan is cut."""
    part_size: int | None
    shard_size: int


def check_places(src: Place, dst: Place, ledger: Place) -> None:
    """Refuse places that cannot be written or are no text, or that lie inside each other."""
    for name, path in (("SRC", make_absolute(src)), ("DST", resolve(dst)), ("the ledger", resolve(ledger))):
        if plain_name(escaped := escape(str(path))) is None:
            raise InputError(f"{name} {show(escaped)}: the path is not UTF-8; rename it")
    for name, path in (("DST", dst), ("the ledger", ledger)):
        if isinstance(path, Url) and path.scheme in READ_ONLY:
            raise InputError(f"{path}: nothing can be written over {path.scheme}; {name} must be elsewhere")
        if blocked := next((part for part in (path, *_above(path)) if part.is_file()), None):
            raise InputError(f"{blocked} is a file; {name} must be a folder")
        if is_inside(path, src) and src.is_dir():
            raise InputError(f"{name} {path} lies inside SRC {src}; choose a folder outside of it")
    if is_inside(ledger, dst):
        raise InputError(
            f"the ledger {ledger} lies inside DST {dst}, where loaders would read it; choose another --ledger"
        )


def _above(path: Place) -> Iterator[Path]:
    """The folders that contain a place on disk."""
    if isinstance(path, Path):
        yield from path.absolute().parents


def resume_run(spec: Specification) -> Run | None:
    """The earlier run that a command resumes, if there is one.

    Raises:
        InputError: it was made with other settings or from other inputs.
    """
    if not spec.ledger.config.exists():
        return None
    ledger, record = open_record(spec.ledger)
    settings = spec.resume(spec.settings, record.settings)
    if differences := settings.differences(record.settings):
        raise InputError(
            f"{ledger.dst} was made with other settings ({'; '.join(differences)});"
            " repeat those, choose another DST, or remake it with --overwrite"
        )
    plan = load_plan(ledger.plan)
    if str(resolve(spec.src)) != record.src and not _has_same_inputs(spec, plan):
        raise InputError(
            f"{ledger.dst} was made from {record.src}, and {spec.src} holds other images;"
            " choose another DST, or remake it with --overwrite"
        )
    return Run(ledger, plan, settings, str(make_absolute(spec.source.root)), record.versions)


def begin_run(spec: Specification) -> Run:
    """Remove an earlier run's files, freeze the plan, and write the record. The caller holds the lease."""
    clear(spec.ledger)
    try:
        run = plan_run(spec, spec.ledger.plan)
    except InputError:
        remove_tree(spec.ledger.plan)
        raise
    ledger = replace(spec.ledger, fingerprint=spec.settings.fingerprint(run.plan.digest))
    record = new_record(ledger, spec.settings, src=resolve(spec.src), command=spec.command)
    write_json(ledger.config, asdict(record))
    make_folder(ledger.dst)
    return replace(run, ledger=ledger)


def plan_run(spec: Specification, folder: Place) -> Run:
    """Make the plan of a run, in that folder."""
    plan = make_plan(
        spec.source,
        spec.settings,
        folder,
        cores=spec.cores,
        part_size=spec.part_size,
        shard_size=spec.shard_size,
    )
    return Run(spec.ledger, plan, spec.settings, str(make_absolute(spec.source.root)), versions())


def _has_same_inputs(spec: Specification, plan: Plan) -> bool:
    """True if a moved source still gives the frozen plan, which may have been extended or requeued since."""
    if plan.files == 1:
        with tempfile.TemporaryDirectory(prefix="texneg-plan-") as folder:
            if plan_run(spec, Path(folder)).plan.digest == plan.digest:
                return True
    return spec.settings.limit is None and same_inputs(plan, spec.source)


def check_space(run: Run, images: int) -> None:
    """Compare the estimate for that many images with the free space.

    The parts of a tar and the tar that they are joined to are on disk at the same time.

    Raises:
        RunFailed: it will not fit.
    """
    if isinstance(run.ledger.dst, Url):
        return
    joined = [shard.n for shard in run.plan.shards if shard.tar and run.plan.parts(shard) > 1]
    needed = bytes_to_write(run, images + max(joined, default=0)) if images else 0
    free = free_bytes(run.ledger.dst)
    if needed > free:
        raise RunFailed(
            f"about {format_bytes(needed)} to write and {format_bytes(free)} free at {run.ledger.dst};"
            " make room, choose another DST, or use a smaller --size or --limit"
        )


def bytes_to_write(run: Run, images: int, *, most: bool = False) -> float:
    """Size of the outputs of that many images, as expected of photographs, or at most, as of noise."""
    settings = run.settings
    if settings.pixels:  # values of sensors hardly shrink
        depth, _, channels = settings.pixels.partition(" x ")
        pixel = float(np.dtype(depth).itemsize * int(channels))
    else:
        pixel = MOST_BYTES_PER_PIXEL if most else BYTES_PER_PIXEL[settings.suffix]
    own = pixel * settings.size**2 + BYTES_PER_TEXTURE + (BLOCK if most else 0)
    if settings.format == "webdataset":
        own += BYTES_PER_MEMBER
    if settings.layout == "paired":
        own += run.plan.input_bytes / run.plan.images + 2 * BYTES_PER_MEMBER
    return images * own


def requeue_quarantined(run: Run, source: Source, statuses: Sequence[str]) -> int:
    """Reopen every committed shard with such an image, to be made from the inputs as they are now.

    Good images of these shards are made again, too, to the same bytes.

    Args:
        run: with a plan.
        source: its inputs, walked once to find the present sizes of images.
        statuses: of the images to try again; empty for all.

    Returns:
        The number of images that will be tried again.
    """
    commits = zip(run.plan.shards, run.ledger.commits(run.plan.shards), strict=True)
    again = {
        shard: read_rows(run.ledger.done(shard, ".parquet"))
        for shard, commit in commits
        if commit and any(_matches(status, statuses) for status in commit.statuses)
    }
    if not again:
        return 0
    wanted = {item.src for shard in again for item in read_items(run.plan.folder, shard)}
    found: dict[str, list[Item]] = {}
    for item in source.items():
        if item.src in wanted:
            found.setdefault(item.src, []).append(item)
    for number in sorted({shard.file for shard in again}):
        shards = [shard for shard in run.plan.shards if shard.file == number]
        write_items(plan_file(run.plan.folder, number), _update_items(run, shards, again, found))
    for shard in again:
        run.ledger.reopen(shard, run.plan.parts(shard))
    return sum(_matches(row.status, statuses) for rows in again.values() for row in rows)


def _matches(status: Status, statuses: Sequence[str]) -> bool:
    return status != Status.OK and (not statuses or status in statuses)


def _update_items(
    run: Run, shards: list[Shard], again: dict[Shard, list[Row]], found: dict[str, list[Item]]
) -> Iterator[tuple[Shard, list[Item]]]:
    """The items of a plan file; those of the shards to make again are taken from the source."""
    for shard in shards:
        items = read_items(run.plan.folder, shard)
        if shard in again:
            pairs = zip(items, again[shard], strict=True)
            items = [_update_item(item, row, found.get(item.src, [])) for item, row in pairs]
        yield shard, items


def _update_item(item: Item, row: Row, found: list[Item]) -> Item:
    """An input as it is now; one of the quarantine that is gone keeps its row."""
    if found:
        return replace(found.pop(0), split=item.split, key=item.key)
    if row.ok:
        return item
    return replace(item, status=str(row.status), error=row.error or "")
