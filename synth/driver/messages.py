"""Messages of a texture run: settings at the start, the result or the remedy at the end."""

import itertools
import shlex

from texneg.cli.console import format_bytes, format_duration, info, out, plural
from texneg.datasets.storage.names import show
from texneg.synth.driver.finalize import InputCounts
from texneg.synth.driver.loop import Verdict
from texneg.synth.driver.opening import bytes_to_write
from texneg.synth.driver.queue import TaskQueue
from texneg.synth.ledger.manifest import Status, iterate_rows
from texneg.synth.ledger.record import Run
from texneg.synth.plan.plan import Settings

REASONS_SHOWN, SHARDS_SHOWN = 5, 10


def print_start(queue: TaskQueue, src: str, dst: str, where: str) -> None:
    """Print what is going to be made, from what and where."""
    settings, plan, done = queue.run.settings, queue.run.plan, queue.done
    info(f"{plural(plan.images, 'image')} of {src} -> {dst} ({_describe(settings)}, seed {settings.seed})")
    for line in plan.source.passed_over.lines():
        info(f"passed over: {line}")
    if done:
        info(f"resuming: {done} of {plan.images} images are done")
    if queue.tasks:
        left = plan.images - done
        size, most = (format_bytes(bytes_to_write(queue.run, left, most=most)) for most in (False, True))
        tasks, shards = plural(len(queue.tasks), "task"), plural(len(queue.missing), "shard")
        info(f"{tasks} of {shards} on {where}; about {size} to write, {most} at most")


def _describe(settings: Settings) -> str:
    """Describe what is made."""
    own = settings.corrupting
    if own is None:
        form = "images and textures in tars" if settings.layout == "paired" else settings.format
        method = f"method {settings.method} v{settings.method_version}"
        pixels = f" of {settings.pixels}" if settings.pixels else ""
        return f"{form}, {settings.size} px {settings.encoding}{pixels}, {method}"
    severities = f"severities {' '.join(map(str, own.severities))}"
    file = f"JPEG of quality {own.jpeg_quality}" if own.jpeg_quality else "PNG"
    return (
        f"{plural(len(own.corruptions), 'corruption')}, {severities}, constants of {own.constants},"
        f" {settings.size} px {file}"
    )


def print_plan(run: Run, command: str) -> None:
    """Print how to make the outputs of a frozen plan."""
    plan = run.plan
    out(f"{plural(plan.images, 'image')} in {plural(len(plan.shards), 'shard')}: {run.ledger.plan}")
    out(f"make them, with I from 0 to N - 1:   {command} --task I/N")
    out(f"then join the results:               {command} --finalize")


def print_quarantine(queue: TaskQueue) -> None:
    """Print how many images could not be used, and the first reasons."""
    if not queue.bad:
        return
    counts = ", ".join(f"{n} {status}" for status, n in sorted(queue.statuses.items()) if status != Status.OK)
    info(f"{queue.bad} of {queue.images} images could not be used: {counts}")
    if queue.missing:
        return
    quarantine = queue.run.ledger.quarantine
    for row in itertools.islice(iterate_rows(quarantine), REASONS_SHOWN):
        info(f"  {show(row.src)}: {row.status}, {row.error}")
    info(f"  each with its reason: {quarantine}")


def print_inputs(inputs: InputCounts, settings: Settings) -> None:
    """Print how many inputs are duplicates, and how many truncated or damaged ones were used."""
    every = inputs.identical_counted_1_in
    if inputs.identical and not settings.corrupting:  # which takes every input many times
        estimated = "" if every == 1 else f", estimated from 1 in {every} contents,"
        found = plural(inputs.identical, "image") + estimated
        info(f"{found} with the bytes of another: equal src_sha256 in the manifest")
    if cut := inputs.used_though_truncated:
        info(
            f"{plural(cut, 'image')} used as far as a truncated or damaged file goes: status ok with an error"
        )


def print_end(queue: TaskQueue, src: str, dst: str, *, made: int, seconds: float, whole: bool) -> None:
    """Print what was made and, of a whole run rather than a share, what to do with it."""
    pace = f"{plural(made, 'image')} in {format_duration(seconds)}, {made / max(seconds, 1e-9):.1f}/s"
    made_all = plural(queue.statuses[Status.OK], queue.run.settings.noun)
    out(f"{made_all} in {dst}: {pace if made else 'nothing was left to do'}")
    if not whole:
        return
    out(f"manifest, checksums and timings: {queue.run.ledger.root}")
    out(f"check them:   {shlex.join(['texneg', 'verify', dst])}")
    if arguments := _sheet_arguments(queue.run, src, dst):
        out(f"look at them: {shlex.join(['texneg', 'sheet', *arguments, '--out', 'sheet.png'])}")


def _sheet_arguments(run: Run, src: str, dst: str) -> list[str]:
    """The arguments of `texneg sheet`; none for corrupted images and compressed tars: it opens neither."""
    if run.settings.corrupting:
        return []
    first = run.plan.shards[0]
    flags = ["--split", first.split] if first.split else []
    flags += ["--as-stored"] if run.settings.pixels else []
    if run.settings.layout == "paired":
        return [dst, *flags]
    return [] if first.whole else [src, *flags, "--textures", dst]


def describe_missing(queue: TaskQueue, command: str) -> str:
    """The shards that are missing when a job array is finalized, and the command that makes them."""
    shards = queue.run.plan.shards
    positions = [i for i, shard in enumerate(shards) if shard in queue.missing]
    shown = ", ".join(map(str, positions[:SHARDS_SHOWN])) + (", ..." if len(positions) > SHARDS_SHOWN else "")
    return (
        f"{len(positions)} of {len(shards)} shards are not made: {shown}."
        f" Shard k belongs to --task I/N with I = k modulo N; repeat these, or make the rest here: {command}"
    )


def describe_failure(queue: TaskQueue, verdict: Verdict, *, rate: float, command: str) -> str:
    """The reason why a run stopped before its end, the images that are safe, and the remedy."""
    plan, resume = queue.run.plan, f"resume: {command}"
    if verdict == Verdict.STORAGE:
        return f"{queue.storage}; {queue.images} of {plan.images} images are safe; {resume}"
    if verdict == Verdict.ERROR_BUDGET:
        found = f"{queue.bad} of {queue.images} images could not be used"
        remedy = f"reasons: {queue.run.ledger.root}/log; mend them and repeat with --overwrite"
        if queue.bad == plan.images:
            return f"{found}; {remedy}"
        return f"{found}, more than --max-error-rate {rate} allows; {remedy}, or raise the rate"
    if queue.failed:
        shard, reason = next(iter(queue.failed.items()))
        count = f"{len(queue.failed)} of {len(plan.shards)} shards failed"
        return f"{count} (first: {shard}: {reason}); mend the cause and {resume}"
    broken = plan.source.broken
    return (
        f"input tars that break off: {len(broken)} (first: {broken[0]});"
        f" the images before the break were made; mend the tars and repeat: {command}"
    )
