"""Open a run before its first texture: check the places, find the earlier run or make the plan."""

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from texneg.cli.console import format_bytes
from texneg.datasets.sources.sources import Source
from texneg.datasets.storage.atomic import write_json
from texneg.datasets.storage.places import (
    Place,
    absolute,
    free_bytes,
    is_inside,
    make_folder,
    remove_tree,
    resolved,
)
from texneg.datasets.storage.url import Url
from texneg.errors import InputError, RunFailed
from texneg.synth.ledger.ledger import Ledger
from texneg.synth.ledger.record import Run, clear, new_record, open_record, versions
from texneg.synth.plan.extend import same_inputs
from texneg.synth.plan.plan import Plan, load_plan
from texneg.synth.plan.planning import make_plan
from texneg.synth.plan.settings import Settings

READ_ONLY = ("http", "https")
BYTES_PER_PIXEL = 1.5  # of a lossless texture; 1.44 on photographs: 71 KiB at 224 px


@dataclass(frozen=True)
class Specification:
    """The run that a command asks for: inputs, places and settings."""

    src: Place
    """As given: one tar, or a folder."""
    source: Source
    settings: Settings
    ledger: Ledger
    command: str
    """Recorded as the command of a run that begins."""
    cores: int
    """For which a plan is cut."""
    part_size: int | None
    shard_size: int


def check_places(src: Place, dst: Place, ledger: Place) -> None:
    """Refuse places that cannot be written, or that lie inside each other.

    Raises:
        InputError: naming what is wrong and what to do.
    """
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
    if differences := spec.settings.differences(record.settings):
        raise InputError(
            f"{ledger.dst} was made with other settings ({'; '.join(differences)});"
            " repeat those, choose another DST, or remake it with --overwrite"
        )
    plan = load_plan(ledger.plan)
    if str(resolved(spec.src)) != record.src and not _has_same_inputs(spec, plan):
        raise InputError(
            f"{ledger.dst} was made from {record.src}, and {spec.src} holds other images;"
            " choose another DST, or remake it with --overwrite"
        )
    return Run(ledger, plan, spec.settings, str(absolute(spec.source.root)), record.versions)


def begin_run(spec: Specification) -> Run:
    """Remove an earlier run's files, freeze the plan, and write the record. The caller holds the lease.

    Raises:
        InputError: naming what is wrong and what to do.
    """
    clear(spec.ledger)
    try:
        run = plan_run(spec, spec.ledger.plan)
    except InputError:
        remove_tree(spec.ledger.plan)
        raise
    ledger = replace(spec.ledger, fingerprint=spec.settings.fingerprint(run.plan.digest))
    record = new_record(ledger, spec.settings, src=resolved(spec.src), command=spec.command)
    write_json(ledger.config, asdict(record))
    make_folder(ledger.dst)
    return replace(run, ledger=ledger)


def plan_run(spec: Specification, folder: Place) -> Run:
    """Plan a run, with the plan in that folder.

    Raises:
        InputError: naming what is wrong and what to do.
    """
    plan = make_plan(
        spec.source,
        spec.settings,
        folder,
        cores=spec.cores,
        part_size=spec.part_size,
        shard_size=spec.shard_size,
    )
    return Run(spec.ledger, plan, spec.settings, str(absolute(spec.source.root)), versions())


def _has_same_inputs(spec: Specification, plan: Plan) -> bool:
    """Whether a moved source still gives the frozen plan, which may have been extended or mended since."""
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


def bytes_to_write(run: Run, images: int) -> float:
    """Expected size of the outputs of that many images."""
    textures = images * BYTES_PER_PIXEL * run.settings.size**2
    if run.settings.layout != "paired":
        return textures
    return textures + run.plan.input_bytes * images / run.plan.images
