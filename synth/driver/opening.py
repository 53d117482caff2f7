"""Before the first texture: the input is there, the output may be written, and this run began here."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from texneg.cli.console import sized
from texneg.datasets.sources.sources import Source, open_source
from texneg.datasets.storage.atomic import write_json
from texneg.datasets.storage.places import (
    Place,
    absolute,
    free_bytes,
    is_inside,
    make_folder,
    place,
    remove_tree,
    resolved,
)
from texneg.datasets.storage.url import Url
from texneg.errors import InputError, RunFailed
from texneg.synth.config import SynthConfig, settings_of
from texneg.synth.driver.checks import check
from texneg.synth.ledger.ledger import Ledger
from texneg.synth.ledger.overwrite import clear
from texneg.synth.ledger.record import Run, new_record, opened
from texneg.synth.ledger.versions import versions
from texneg.synth.plan.extend import same_inputs
from texneg.synth.plan.plan import Plan, load_plan
from texneg.synth.plan.planning import make_plan
from texneg.synth.plan.settings import Settings

READ_ONLY = ("http", "https")
BYTES_PER_PIXEL = 1.5  # of a lossless texture; 1.44 on photographs: 71 KiB at 224 px
REMOTE_CORES = 64  # assumed behind a scheduler's address when the plan is made


def inspect(config: SynthConfig) -> Source:
    """Check the command and open its source; writes nothing.

    Raises:
        InputError: naming what is wrong and what to do.
    """
    check(config)
    if config.cluster is not None:
        from texneg.synth.executors.slurm import check_slurm

        check_slurm(config)
    elif config.address is not None:
        from texneg.synth.executors.connect import check_address

        check_address(config.address)
    source = open_source(config.src, splits=config.splits, naming=config.naming)
    _check_places(config, place(config.dst), config.ledger_path)
    return source


def open_run(config: SynthConfig, source: Source) -> Run:
    """Make the plan, or find the run that this command resumes. The caller holds the lease.

    Raises:
        InputError: naming what is wrong and what to do.
    """
    settings, ledger = settings_of(config, source.kind), _ledger(config)
    if earlier := _earlier(config, source, settings, ledger):
        return earlier
    if config.task or config.finalize:
        first = replace(config, task=None, finalize=False).command()
        raise InputError(f"{ledger.dst} has no plan yet; make it first: {first} --plan-only")
    clear(ledger)
    return _begin(config, source, settings, ledger)


def planned(config: SynthConfig, source: Source, folder: Place) -> Run:
    """The run that this command would resume, or else the plan that it would make, in another folder.

    Raises:
        InputError: naming what is wrong and what to do.
    """
    settings, ledger = settings_of(config, source.kind), _ledger(config)
    if earlier := _earlier(config, source, settings, ledger):
        return earlier
    plan = _plan(config, source, settings, folder)
    return Run(ledger, plan, settings, str(absolute(source.root)), versions=versions())


def _ledger(config: SynthConfig) -> Ledger:
    return Ledger(config.ledger_path, absolute(place(config.dst)))


def _plan(config: SynthConfig, source: Source, settings: Settings, folder: Place) -> Plan:
    return make_plan(
        source,
        settings,
        folder,
        cores=REMOTE_CORES if config.address or config.cluster or config.plan_only else config.cores,
        part_size=config.part_size,
        shard_size=config.shard_size,
    )


def _check_places(config: SynthConfig, dst: Place, root: Place) -> None:
    src = place(config.src)
    for name, path in (("DST", dst), ("the ledger", root)):
        if isinstance(path, Url) and path.scheme in READ_ONLY:
            raise InputError(f"{path}: nothing can be written over {path.scheme}; {name} must be elsewhere")
        if blocked := next((part for part in (path, *_above(path)) if part.is_file()), None):
            raise InputError(f"{blocked} is a file; {name} must be a folder")
        if is_inside(path, src) and src.is_dir():
            raise InputError(f"{name} {path} lies inside SRC {config.src}; choose a folder outside of it")
    if is_inside(root, dst):
        raise InputError(
            f"the ledger {root} lies inside DST {dst}, where loaders would read it; choose another --ledger"
        )


def _above(path: Place) -> Iterator[Path]:
    """Folders that a place on disk lies in."""
    if isinstance(path, Path):
        yield from path.absolute().parents


def _begin(config: SynthConfig, source: Source, settings: Settings, ledger: Ledger) -> Run:
    try:
        plan = _plan(config, source, settings, ledger.plan)
    except InputError:
        remove_tree(ledger.plan)
        raise
    ledger = replace(ledger, fingerprint=settings.fingerprint(plan.digest))
    write_json(ledger.config, new_record(config, settings, ledger))
    make_folder(ledger.dst)
    return Run(ledger, plan, settings, str(absolute(source.root)), versions=versions())


def _earlier(config: SynthConfig, source: Source, settings: Settings, ledger: Ledger) -> Run | None:
    """The run that this command resumes, if there is one."""
    if config.overwrite or not ledger.config.exists():
        return None
    ledger, stored = opened(ledger)
    differences = settings.differences(stored["settings"])
    if differences:
        raise InputError(
            f"{ledger.dst} was made with other settings ({'; '.join(differences)});"
            " repeat those, choose another DST, or remake it with --overwrite"
        )
    plan = load_plan(ledger.plan)
    if str(resolved(place(config.src))) != stored["src"] and not _same_inputs(config, source, settings, plan):
        raise InputError(
            f"{ledger.dst} was made from {stored['src']}, and {config.src} holds other images;"
            " choose another DST, or remake it with --overwrite"
        )
    began = stored.get("versions", {})
    return Run(ledger, plan, settings, str(absolute(source.root)), versions=began)


def _same_inputs(config: SynthConfig, source: Source, settings: Settings, plan: Plan) -> bool:
    """Whether a moved source still gives the frozen plan, to which inputs may have been added or mended."""
    if plan.files == 1:
        with tempfile.TemporaryDirectory(prefix="texneg-plan-") as folder:
            if _plan(config, source, settings, Path(folder)).digest == plan.digest:
                return True
    return settings.limit is None and same_inputs(plan, source)


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
            f"about {sized(needed)} to write and {sized(free)} free at {run.ledger.dst};"
            " make room, choose another DST, or use a smaller --size or --limit"
        )


def bytes_to_write(run: Run, images: int) -> float:
    """Expected size of the outputs of that many images."""
    textures = images * BYTES_PER_PIXEL * run.settings.size**2
    if run.settings.layout != "paired":
        return textures
    return textures + run.plan.input_bytes * images / run.plan.images
