"""`texneg synth`: one texture for every image of a data set, resumable at any moment."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from texneg.errors import RunFailed
from texneg.synth.config import SynthConfig
from texneg.synth.drive import Verdict, Work, drive, stop_signals
from texneg.synth.executors import DaskExecutor, Executor, SyncExecutor
from texneg.synth.finalize import finalize, write_stats
from texneg.synth.lease import Lease
from texneg.synth.messages import failure, say, say_begin, say_end, say_quarantine
from texneg.synth.plan import Shard
from texneg.synth.preflight import Run, check_space, inspect, open_run
from texneg.synth.progress import Progress
from texneg.synth.setup import prepare_process
from texneg.synth.task import STORAGE_ERRNOS, Task, storage_message
from texneg.synth.verify import shard_problems

INTERRUPTED = 130


def synth(config: SynthConfig) -> int:
    """Make the textures, or what is missing of them.

    Returns:
        0 when every image has its texture or its row in the quarantine, 130 when interrupted.

    Raises:
        InputError: wrong usage or input; nothing was written.
        RunFailed: the disk is full, too many bad images, or shards that failed; the same command resumes.
    """
    source = inspect(config)
    try:
        with Lease(config.ledger_path / "lock", steal=config.steal_lock) as lease:
            return _run(config, open_run(config, source), lease)
    except BrokenPipeError:  # whoever read our output has seen enough
        raise
    except OSError as error:
        storage = error.errno in STORAGE_ERRNOS
        reason = storage_message(error, Path(config.dst)) if storage else str(error)
        raise RunFailed(f"{reason}; resume: {config.command()}") from error


def _run(config: SynthConfig, run: Run, lease: Lease) -> int:
    if config.recheck:
        _forget_damaged(run)
    work = Work(run.ledger, run.plan, lambda shard, part: _task(run, shard, part))
    work.resume()
    before = work.images
    check_space(run, run.plan.images - before)
    say_begin(config, run, before)
    verdict: Verdict = "error_budget" if work.over_budget(config.max_error_rate) else "complete"
    seconds = 0.0
    if work.queue:
        with (
            stop_signals() as stop,
            _executor(config, run) as executor,
            Progress(run.plan.images, before) as progress,
        ):
            verdict = drive(work, executor, lease, stop, progress, config=config)
            seconds = progress.seconds
    if not work.missing:
        finalize(run.ledger, run.plan)
    if verdict == "complete" and run.plan.source["broken"]:
        verdict = "failed_shards"
    made = work.images - before
    call = {
        "command": config.command(),
        "cores": 1 if config.executor == "sync" else config.cores,
        "images": made,
        "seconds": round(seconds, 3),
    }
    with suppress(OSError) if verdict == "storage" else nullcontext():
        write_stats(run.ledger, run.plan, {"outcome": verdict, "failed": work.failed}, call)
    say_quarantine(work)
    if verdict == "interrupted":
        say(f"interrupted: {work.images} of {work.plan.images} images are done; resume: {config.command()}")
        return INTERRUPTED
    if verdict != "complete":
        raise RunFailed(failure(config, work, verdict))
    say_end(config, work, made, seconds)
    return 0


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
    if config.executor == "sync":
        prepare_process()
        yield SyncExecutor()
        return
    from texneg.synth.cluster import connected

    with connected(config) as client:
        executor = DaskExecutor(client, run.ledger.tag)
        try:
            yield executor
        finally:
            executor.close()


def _forget_damaged(run: Run) -> None:
    """Take back the marker of every shard with a missing or damaged output."""
    for shard in run.plan.shards:
        marker = run.ledger.marker(shard)
        if marker is not None and shard_problems(run.ledger, shard, marker, quick=False):
            run.ledger.done(shard, ".json").unlink()
            run.ledger.remove_parts(shard, run.plan.parts(shard))
