"""`texneg synth`: one texture for every image, resumable at any moment."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from queue import SimpleQueue
from typing import Any

from texneg.cli.console import counted, say
from texneg.datasets.sources.sources import Source
from texneg.datasets.storage.places import place
from texneg.datasets.storage.retries import patiently
from texneg.errors import RunFailed
from texneg.synth.config import SynthConfig
from texneg.synth.driver.array import check_finished, join_metrics, metrics_of, share_of
from texneg.synth.driver.drive import Verdict, drive
from texneg.synth.driver.finalize import finalize, write_stats
from texneg.synth.driver.messages import failure, say_begin, say_end, say_inputs, say_planned, say_quarantine
from texneg.synth.driver.preflight import check_space, inspect, open_run
from texneg.synth.driver.progress import Progress
from texneg.synth.driver.queue import Work
from texneg.synth.driver.requeue import take_back
from texneg.synth.driver.signals import stop_signals
from texneg.synth.executors.executor import Executor, SyncExecutor
from texneg.synth.executors.tuning import as_yaml
from texneg.synth.ledger.lease import Lease
from texneg.synth.ledger.ledger import read_json
from texneg.synth.ledger.record import Run
from texneg.synth.ledger.versions import check_versions
from texneg.synth.plan.extend import extended
from texneg.synth.plan.plan import Shard
from texneg.synth.task.storage import is_storage, storage_message
from texneg.synth.task.task import Task

INTERRUPTED = 130


def synth(config: SynthConfig) -> int:
    """Make the textures, or what is missing of them.

    Returns:
        0 when every image has its texture or its row in the quarantine, 130 when interrupted.

    Raises:
        InputError: wrong usage or input; nothing was written.
        RunFailed: the disk is full, too many bad images, or shards that failed; the same command resumes.
    """
    if config.print_dask_config:
        print(as_yaml(), end="")
        return 0
    source = inspect(config)
    if config.dry_run:
        from texneg.synth.driver.dry_run import rehearse

        return rehearse(config, source)
    if config.cluster != "slurm-runner":
        return _synth(config, source)
    from texneg.synth.executors.slurm import allocation

    with allocation():
        return _synth(config, source)


def _synth(config: SynthConfig, source: Source) -> int:
    try:
        if config.share is not None:
            run = open_run(config, source)
            return _run(config, replace(run, plan=share_of(run.plan, *config.share)), lambda: None)
        with Lease(config.ledger_path / "lock", steal=config.steal_lock) as lease:
            run = _renewed(config, open_run(config, source), source)
            if config.plan_only:
                say_planned(config, run)
                return 0
            return _run(config, run, lease.check)
    except OSError as error:
        storage = is_storage(error)
        reason = storage_message(error, place(config.dst)) if storage else str(error)
        raise RunFailed(f"{reason}; resume: {config.command()}") from error


def _renewed(config: SynthConfig, run: Run, source: Source) -> Run:
    """The run with new inputs, and with images to try again, where that is asked for."""
    if config.extend:
        run, differences = extended(config, run, source)
        say(f"{counted(differences.new, 'new image')} added to the plan")
        for line in differences.lines():
            say(line)
    if config.retry_quarantined is not None:
        count = take_back(run, source, config.retry_quarantined)
        say(f"{counted(count, 'image')} of the quarantine tried again")
    return run


def _run(config: SynthConfig, run: Run, check: Callable[[], None]) -> int:
    if warning := check_versions(run.versions, "this process", strict=config.strict_versions):
        say(f"warning: {warning}")
    if config.recheck:
        say(f"{counted(_forget_damaged(run), 'damaged shard')} to make again")
    metrics = metrics_of(run.ledger, *config.share) if config.share else run.ledger.metrics
    work = Work(run.ledger, run.plan, lambda shard, part: _task(run, shard, part), metrics)
    work.resume()
    before = work.images
    if config.finalize:
        check_finished(config, work)
    check_space(run, run.plan.images - before)
    say_begin(config, run, work)
    verdict: Verdict = "error_budget" if work.over_budget(config.max_error_rate) else "complete"
    seconds = 0.0
    if work.queue:
        run.ledger.manifest.unlink(missing_ok=True)  # where it is, the run is finished
        verdict = "interrupted"
        with (
            suppress(KeyboardInterrupt),
            stop_signals(patience=1 if config.in_process else 2) as stop,
            _executor(config, run) as executor,
            Progress(run.plan.images, before) as progress,
        ):
            try:
                verdict = drive(work, executor, check, stop, progress, config=config)
            finally:
                seconds = progress.seconds
    if config.share is None:
        verdict = _close(config, run, work, verdict, made=work.images - before, seconds=seconds)
        say_quarantine(work)
    if verdict == "interrupted":
        say(f"interrupted: {work.images} of {work.plan.images} images are done; resume: {config.command()}")
        return INTERRUPTED
    if verdict != "complete":
        raise RunFailed(failure(config, work, verdict))
    say_end(config, run, work, work.images - before, seconds)
    return 0


def _close(
    config: SynthConfig, run: Run, work: Work, verdict: Verdict, *, made: int, seconds: float
) -> Verdict:
    """Join what is finished and write the statistics; the verdict with the inputs taken into account."""
    inputs: dict[str, int] = {}
    if not work.missing:
        join_metrics(run.ledger)
        inputs = (read_json(run.ledger.stats) or {}).get("inputs", {})
        if not inputs or not run.ledger.manifest.exists():
            inputs = patiently(lambda: finalize(run.ledger, run.plan))
    if verdict == "complete" and run.plan.source["broken"]:
        verdict = "failed_shards"
    call = {
        "command": config.command(),
        "cores": 1 if config.in_process else config.cores,
        "images": made,
        "seconds": round(seconds, 3),
    }
    say_inputs(inputs)
    outcome = {"outcome": verdict, "failed": work.failed, "inputs": inputs}
    with suppress(OSError) if verdict == "storage" else nullcontext():
        write_stats(run.ledger, run.plan, outcome, call)
    return verdict


def _task(run: Run, shard: Shard, part: int | None) -> Task:
    return Task(
        ledger=run.ledger,
        src=run.src,
        kind=run.plan.source["kind"],
        settings=run.settings,
        shard=shard,
        part=part,
        parts=run.plan.parts(shard),
        part_size=run.plan.part_size,
    )


@contextmanager
def _executor(config: SynthConfig, run: Run) -> Iterator[Executor]:
    if config.in_process:
        from texneg.synth.task.setup import prepare_process

        prepare_process()
        yield SyncExecutor()
        return
    from texneg.synth.executors.connect import connected, prepare
    from texneg.synth.executors.dask import DaskExecutor
    from texneg.synth.executors.plugin import WorkerSetup

    complaints: SimpleQueue[Any] = SimpleQueue()
    setup = WorkerSetup(run.ledger, run.versions, strict=config.strict_versions)
    with connected(config, setup, complaints.put) as client:
        executor = DaskExecutor(client, run.ledger.tag, complaints, lambda: prepare(client, setup))
        try:
            yield executor
        finally:
            executor.close()


def _forget_damaged(run: Run) -> int:
    """Take back the marker of every shard with a missing or damaged output; returns their number."""
    from texneg.synth.ledger.audit import is_damaged

    damaged = 0
    for shard, marker in zip(run.plan.shards, run.ledger.markers(run.plan.shards), strict=True):
        if marker is not None and is_damaged(run.ledger, shard, marker):
            run.ledger.reopen(shard, run.plan.parts(shard))
            damaged += 1
    run.ledger.manifest.unlink(missing_ok=True)  # it is joined again from what is good
    return damaged
