"""What a texture run tells its user: settings at the start, the result or the remedy at the end."""

import itertools
import shlex

from texneg.cli.console import counted, duration, say, sized, tell
from texneg.synth.config import SynthConfig
from texneg.synth.driver.preflight import bytes_to_write
from texneg.synth.driver.queue import Work
from texneg.synth.ledger.manifest import iterate_rows
from texneg.synth.ledger.record import Run

REASONS_SHOWN = 5


def say_begin(config: SynthConfig, run: Run, work: Work) -> None:
    """What is going to be made, from what and where."""
    settings, plan, done = run.settings, run.plan, work.images
    form = "images and textures in tars" if settings.layout == "paired" else settings.format
    say(
        f"{counted(plan.images, 'image')} of {config.src} -> {config.dst} ({form}, {settings.size} px"
        f" {settings.encoding}, method {settings.method} v{settings.method_version}, seed {settings.seed})"
    )
    for reason, count in plan.source["skipped"].items():
        say(f"passed over: {count} x {reason}")
    if done:
        say(f"resuming: {done} of {plan.images} images are done")
    if not work.queue:
        return
    here = "this process" if config.in_process else f"{counted(config.cores, 'core')} of this machine"
    say(
        f"{counted(len(work.queue), 'task')} of {counted(len(work.missing), 'shard')} on"
        f" {_elsewhere(config) or here}; about {sized(bytes_to_write(run, plan.images - done))} to write"
    )


def _elsewhere(config: SynthConfig) -> str | None:
    return f"{counted(config.jobs, 'job')} of {config.cluster}" if config.cluster else config.address


def say_planned(config: SynthConfig, run: Run) -> None:
    """What to do with a plan that was made ahead."""
    command, plan = config.command(), run.plan
    tell(f"{counted(plan.images, 'image')} in {counted(len(plan.shards), 'shard')}: {run.ledger.plan}")
    tell(f"make them, with I from 0 to N - 1:   {command} --task I/N")
    tell(f"then join the results:               {command} --finalize")


def say_quarantine(work: Work) -> None:
    """How many images could not be used, and the first reasons."""
    if not work.bad:
        return
    counts = ", ".join(f"{n} {status}" for status, n in sorted(work.statuses.items()) if status != "ok")
    say(f"{work.bad} of {work.images} images could not be used: {counts}")
    if work.missing:
        return
    quarantine = work.ledger.quarantine
    for row in itertools.islice(iterate_rows(quarantine), REASONS_SHOWN):
        say(f"  {row['src']}: {row['status']}, {row['error']}")
    say(f"  each with its reason: {quarantine}")


def say_inputs(inputs: dict[str, int]) -> None:
    """What is odd about the inputs as a whole."""
    every = inputs.get("identical_counted_1_in", 1)
    if same := inputs.get("identical", 0):
        found = counted(same, "image") + ("" if every == 1 else f", estimated from 1 in {every} contents,")
        say(f"{found} with the bytes of another: equal src_sha256 in the manifest")
    if cut := inputs.get("used_though_truncated", 0):
        say(f"{counted(cut, 'image')} used as far as a truncated file goes: status ok with an error")


def say_end(config: SynthConfig, run: Run, work: Work, made: int, seconds: float) -> None:
    """What was made, and what to do with it."""
    pace = f"{counted(made, 'image')} in {duration(seconds)}, {made / max(seconds, 1e-9):.1f}/s"
    there = counted(work.statuses["ok"], "texture")
    tell(f"{there} in {config.dst}: {pace if made else 'nothing was left to do'}")
    if config.share is not None:
        return
    tell(f"manifest, checksums and timings: {work.ledger.root}")
    tell(f"check them:   {shlex.join(['texneg', 'verify', config.dst])}")
    if shown := _shown(config, run):
        tell(f"look at them: {shlex.join(['texneg', 'sheet', *shown, '--out', 'sheet.png'])}")


def _shown(config: SynthConfig, run: Run) -> list[str]:
    """What to give to `texneg sheet`; nothing where the images are in packed tars, which it cannot open."""
    first = run.plan.shards[0]
    split = ["--split", first.split] if first.split else []
    if run.settings.layout == "paired":
        return [config.dst, *split]
    return [] if first.whole else [config.src, *split, "--textures", config.dst]


def failure(config: SynthConfig, work: Work, verdict: str) -> str:
    """Why a run stopped before its end, what is safe, and the remedy."""
    resume = f"resume: {config.command()}"
    if verdict == "storage":
        return f"{work.storage}; {work.images} of {work.plan.images} images are safe; {resume}"
    if verdict == "error_budget":
        found = f"{work.bad} of {work.images} images could not be used"
        remedy = f"reasons: {work.ledger.root}/log; mend them and repeat with --overwrite"
        if work.bad == work.plan.images:
            return f"{found}; {remedy}"
        rate = config.max_error_rate
        return f"{found}, more than --max-error-rate {rate} allows; {remedy}, or raise the rate"
    if work.failed:
        shard, reason = next(iter(work.failed.items()))
        count = f"{len(work.failed)} of {len(work.plan.shards)} shards failed"
        return f"{count} (first: {shard}: {reason}); mend the cause and {resume}"
    broken = work.plan.source["broken"]
    return (
        f"input tars that break off: {len(broken)} (first: {broken[0]});"
        " the images before the break were made; mend the tars and repeat with --overwrite"
    )
