"""What a texture run tells its user: settings at the start, the result or the remedy at the end."""

import itertools
import shlex

from texneg.synth.config import SynthConfig
from texneg.synth.driver.preflight import estimated_bytes
from texneg.synth.driver.progress import counted, duration, say, tell
from texneg.synth.driver.work import Work
from texneg.synth.ledger.manifest import iterate_rows
from texneg.synth.ledger.record import Run

REASONS_SHOWN = 5


def say_begin(config: SynthConfig, run: Run, done: int) -> None:
    """What is going to be made, from what and where."""
    settings, plan = run.settings, run.plan
    say(
        f"{plan.images} images of {config.src} -> {config.dst} ({settings.format}, {settings.size} px"
        f" {settings.encoding}, method {settings.method} v{settings.method_version}, seed {settings.seed})"
    )
    for reason, count in plan.source["skipped"].items():
        say(f"passed over: {count} x {reason}")
    if run.resumed:
        say(f"resuming: {done} of {plan.images} images are done")
    if done == plan.images:
        return
    here = "this process" if config.in_process else f"{counted(config.cores, 'core')} of this machine"
    tasks = sum(plan.parts(shard) for shard in plan.shards)
    megabytes = estimated_bytes(plan.images - done, settings) / 1e6
    say(
        f"{counted(len(plan.shards), 'shard')} in {counted(tasks, 'task')} on {_elsewhere(config) or here};"
        f" about {megabytes:.3g} MB to write"
    )


def _elsewhere(config: SynthConfig) -> str | None:
    return f"{counted(config.jobs, 'job')} of {config.cluster}" if config.cluster else config.address


def say_planned(config: SynthConfig, run: Run) -> None:
    """What to do with a plan that was made ahead."""
    command = config.command()
    tell(f"{run.plan.images} images in {counted(len(run.plan.shards), 'shard')}: {run.ledger.plan}")
    tell(f"make them, with I from 0 to N - 1:   {command} --task I/N")
    tell(f"then join the results:               {command} --finalize")


def say_quarantine(work: Work) -> None:
    """How many images could not be used, and the first reasons."""
    bad = work.images - work.statuses["ok"]
    if not bad:
        return
    counts = ", ".join(f"{n} {status}" for status, n in sorted(work.statuses.items()) if status != "ok")
    say(f"{bad} of {work.images} images could not be used: {counts}")
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


def say_end(config: SynthConfig, work: Work, made: int, seconds: float) -> None:
    """What was made, and what to do with it."""
    src, dst = shlex.quote(config.src), shlex.quote(config.dst)
    now = (
        f"{made} images in {duration(seconds)}, {made / seconds:.1f}/s" if made else "nothing was left to do"
    )
    tell(f"{work.statuses['ok']} textures in {config.dst}: {now}")
    if config.share is not None:
        return
    tell(f"manifest, checksums and timings: {work.ledger.root}")
    tell(f"check them:   texneg verify {dst}")
    tell(f"look at them: texneg sheet {src} --textures {dst} --out sheet.png")


def failure(config: SynthConfig, work: Work, verdict: str) -> str:
    """Why a run stopped before its end, what is safe, and the remedy."""
    resume = f"resume: {config.command()}"
    if verdict == "storage":
        return f"{work.storage}; {work.images} of {work.plan.images} images are safe; {resume}"
    if verdict == "error_budget":
        bad = work.images - work.statuses["ok"]
        found = f"{bad} of {work.images} images could not be used"
        remedy = f"reasons: {work.ledger.root}/log; mend them and repeat with --overwrite"
        if bad == work.plan.images:
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
