"""A run that makes an output of every image, resumable at any moment."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from queue import SimpleQueue

from texneg.cli.console import info, out, plural
from texneg.cli.guard import refuse_rerun
from texneg.cli.progress import Progress
from texneg.cli.signals import catch_stop_signals
from texneg.datasets.storage.places import make_absolute, parse_place
from texneg.datasets.storage.retries import with_retries
from texneg.errors import InputError, RunFailed
from texneg.synth.config import Compute, RunConfig, ledger_path
from texneg.synth.driver import messages
from texneg.synth.driver.finalize import (
    Call,
    InputCounts,
    finalize,
    join_metrics,
    load_input_counts,
    write_stats,
)
from texneg.synth.driver.loop import Verdict, run_tasks
from texneg.synth.driver.opening import (
    Specification,
    begin_run,
    check_places,
    check_space,
    requeue_quarantined,
    resume_run,
)
from texneg.synth.driver.queue import TaskQueue
from texneg.synth.executors.executor import Executor, SyncExecutor, WorkerWarning
from texneg.synth.executors.tuning import tuning_yaml
from texneg.synth.ledger.lease import Lease
from texneg.synth.ledger.ledger import Ledger
from texneg.synth.ledger.record import Run, compare_versions
from texneg.synth.plan.extend import extend_plan
from texneg.synth.task.task import storage_failure

INTERRUPTED = 130
REMOTE_CORES = 64  # assumed behind a scheduler's address when the plan is made


def make(config: RunConfig) -> int:
    """Make the outputs that are missing.

    Returns:
        0 when every image has its output or its row in the quarantine, 130 when interrupted.

    Raises:
        InputError: wrong usage or input; nothing was written.
        RunFailed: the disk is full, too many bad images, or shards that failed; the same command resumes.
    """
    refuse_rerun()
    if config.action.print_dask_config:
        out(tuning_yaml().rstrip("\n"))
        return 0
    compute = config.compute.resolve(array_task=config.action.task is not None)
    spec = specify(config, compute)
    if config.action.dry_run:
        from texneg.synth.driver.dry_run import dry_run  # loads decoders and numba

        command = config.command(once=True, without=("dry_run",))
        dry_run(spec, overwrite=config.action.overwrite, cores=compute.cores, command=command)
        return 0
    if not (compute.in_process or config.action.plan_only):
        load_dask()
    if compute.cluster != "slurm-runner":
        return _synth(config, compute, spec)
    from texneg.synth.executors.slurm import srun_cluster  # loads Dask

    with srun_cluster() as address:
        return _synth(config, replace(compute, scheduler=address), spec)


def load_dask() -> None:
    """Import Dask, which reads the site's settings.

    Raises:
        InputError: it cannot read them.
    """
    try:
        import distributed  # noqa: F401
    except (ValueError, OSError) as error:
        reason = str(error).partition("\n")[0].removesuffix(", original error message:")
        raise InputError(f"{reason}; mend Dask's settings, or set DASK_CONFIG to an empty folder") from error


def specify(config: RunConfig, compute: Compute) -> Specification:
    """Check a command and open its source; writes nothing."""
    config.check()
    if compute.cluster is not None or compute.scheduler is not None:
        load_dask()
    if compute.cluster is not None:
        from texneg.synth.executors.slurm import check_slurm  # loads Dask

        check_slurm(compute)
    elif compute.scheduler is not None:
        from texneg.synth.executors.connect import check_address  # loads Dask

        check_address(compute.scheduler)
    output = config.output
    src, dst, ledger = (
        parse_place(config.src),
        parse_place(config.dst),
        ledger_path(config.dst, config.ledger),
    )
    source = output.open(src)
    check_places(src, dst, ledger)
    elsewhere = compute.scheduler or compute.cluster or config.action.plan_only
    return Specification(
        src=src,
        source=source,
        settings=output.settings(source),
        resume=output.resume,
        ledger=Ledger(ledger, make_absolute(dst)),
        command=config.command(),
        cores=REMOTE_CORES if elsewhere else compute.cores,
        part_size=compute.part_size,
        shard_size=output.shard_size,
    )


def _synth(config: RunConfig, compute: Compute, spec: Specification) -> int:
    action = config.action
    try:
        if action.array_task is not None:
            run = open_run(config, spec)
            share = replace(run, plan=run.plan.share(*action.array_task))
            _recheck(config, share)
            return _run(config, compute, share, lambda: None)
        with Lease(spec.ledger.lock, steal=action.steal_lock) as lease:
            resumed = not action.overwrite and spec.ledger.config.exists()
            run = _change_run(config, spec, open_run(config, spec))
            if resumed and not (action.plan_only or action.finalize):
                run = _mend_run(config, spec, run)
            if action.plan_only:
                messages.print_plan(run, config.command())
                return 0
            return _run(config, compute, run, lease.check)
    except OSError as error:
        failure = storage_failure(error, parse_place(config.dst))
        reason = failure.message if failure else str(error)
        raise RunFailed(f"{reason}; resume: {config.command()}") from error


def open_run(config: RunConfig, spec: Specification) -> Run:
    """Resume the run, or begin it. The caller holds the lease."""
    action = config.action
    if not action.overwrite and (run := resume_run(spec)):
        return run
    if action.task or action.finalize:
        first = config.command(without=("task", "finalize"))
        raise InputError(f"{spec.ledger.dst} has no plan yet; make it first: {first} --plan-only")
    return begin_run(spec)


def _change_run(config: RunConfig, spec: Specification, run: Run) -> Run:
    """Add new inputs and requeue images of the quarantine, where that is asked for."""
    if config.action.extend:
        plan = extend_plan(run.plan, run.settings, spec.source, spec.shard_size)
        info(f"{plural(plan.images - run.plan.images, 'new image')} added to the plan")
        run = replace(run, plan=plan)
    if config.action.retry_quarantined is not None:
        count = requeue_quarantined(run, spec.source, config.action.retry_quarantined)
        info(f"{plural(count, 'image')} of the quarantine tried again")
    return run


def _mend_run(config: RunConfig, spec: Specification, run: Run) -> Run:
    """Reopen shards of an earlier call whose outputs are damaged or gone, or whose inputs changed."""
    from texneg.synth.driver.changes import make_changes_again  # loads decoders

    _recheck(config, run)
    return make_changes_again(run, spec.source, content=config.action.recheck_sources)


def _recheck(config: RunConfig, run: Run) -> None:
    """Reopen shards whose outputs are damaged, where that is asked for."""
    if config.action.recheck:
        from texneg.synth.ledger.audit import reopen_damaged  # loads decoders

        info(f"{plural(reopen_damaged(run.ledger, run.plan), 'damaged shard')} to make again")


def _run(config: RunConfig, compute: Compute, run: Run, heartbeat: Callable[[], None]) -> int:
    action, policy, array_task = config.action, config.policy, config.action.array_task
    if warning := compare_versions(run.versions, "this process", strict=policy.strict_versions):
        info(f"warning: {warning}")
    queue = TaskQueue(run, run.ledger.task_metrics(*array_task) if array_task else run.ledger.metrics)
    queue.resume()
    before = queue.done
    if action.finalize and queue.missing:
        raise RunFailed(messages.describe_missing(queue, config.command(without=("finalize",))))
    check_space(run, run.plan.images - before)
    messages.print_start(queue, config.src, config.dst, str(compute))
    verdict = Verdict.ERROR_BUDGET if queue.is_over_budget(policy.max_error_rate) else Verdict.COMPLETE
    seconds = 0.0
    if queue.tasks:
        run.ledger.manifest.unlink(missing_ok=True)  # a run with a manifest is finished
        verdict = Verdict.INTERRUPTED
        with (
            suppress(KeyboardInterrupt),
            catch_stop_signals(patience=1 if compute.in_process else 2) as stop,
            run.ledger.spare_space(),
            ExitStack() as stack,
        ):
            with catch_stop_signals(patience=0):  # nothing is under way yet that could be lost
                executor = stack.enter_context(
                    _executor(compute, run, strict_versions=policy.strict_versions)
                )
            progress = stack.enter_context(Progress(run.plan.images, before))
            try:
                verdict = run_tasks(
                    queue,
                    executor,
                    policy,
                    stop=stop,
                    progress=progress,
                    heartbeat=heartbeat,
                    own_workers=compute.on_this_machine,
                )
            finally:
                seconds = progress.pace.seconds
    made = queue.done - before
    if array_task is None:
        cores = 1 if compute.in_process else compute.cores
        verdict = _close(queue, verdict, Call(config.command(), cores, made, round(seconds, 3)))
        messages.print_quarantine(queue)
    if verdict == Verdict.INTERRUPTED:
        info(f"interrupted: {queue.images} of {run.plan.images} images are done; resume: {config.command()}")
        return INTERRUPTED
    if verdict != Verdict.COMPLETE:
        rate, command = policy.max_error_rate, config.command(without=("finalize",))
        raise RunFailed(messages.describe_failure(queue, verdict, rate=rate, command=command))
    messages.print_end(queue, config.src, config.dst, made=made, seconds=seconds, whole=array_task is None)
    return 0


def _close(queue: TaskQueue, verdict: Verdict, call: Call) -> Verdict:
    """Join what is finished and write the statistics; the verdict, for which broken inputs count too."""
    run, ledger = queue.run, queue.run.ledger
    inputs: InputCounts | None = None
    if not queue.missing:
        join_metrics(ledger)
        inputs = load_input_counts(ledger)
        if inputs is None or not ledger.manifest.exists():
            inputs = with_retries(lambda: finalize(ledger, run.plan))
    if verdict == Verdict.COMPLETE and run.plan.source.broken:
        verdict = Verdict.FAILED_SHARDS
    if inputs:
        messages.print_inputs(inputs, run.settings)
    with suppress(OSError) if verdict == Verdict.STORAGE else nullcontext():
        write_stats(ledger, run.plan, verdict, failed=queue.failed, inputs=inputs, call=call)
    return verdict


@contextmanager
def _executor(compute: Compute, run: Run, *, strict_versions: bool) -> Iterator[Executor]:
    if compute.in_process:
        from texneg.synth.task.images import prepare_process  # loads decoders and numba

        prepare_process()
        yield SyncExecutor()
        return
    from texneg.synth.executors.connect import WorkerSetup, connect, prepare  # loads Dask
    from texneg.synth.executors.dask import DaskExecutor

    warnings: SimpleQueue[WorkerWarning] = SimpleQueue()
    setup = WorkerSetup(run.ledger, run.versions, strict=strict_versions)
    with connect(compute, setup, warnings.put) as client:
        executor = DaskExecutor(
            client, run.ledger.tag, warnings, lambda: prepare(client, setup, warnings.put)
        )
        try:
            yield executor
        finally:
            executor.close()
