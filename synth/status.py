"""`texneg synth-status`: the progress of a run, read from its files alone."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow.parquet as pq

from texneg.cli.console import format_duration
from texneg.cli.fields import Positional
from texneg.datasets.storage.json_files import read_json_lines, to_json
from texneg.datasets.storage.places import Place, open_read, parse_place
from texneg.errors import InputError
from texneg.synth.config import ledger_path
from texneg.synth.ledger.lease import Holder, holder
from texneg.synth.ledger.ledger import Ledger, read_json
from texneg.synth.ledger.manifest import Status
from texneg.synth.ledger.record import open_record
from texneg.synth.plan.plan import Redrawing, load_plan

RATE_OVER_S = 600.0
COMMITS_READ = 100


@dataclass(frozen=True)
class StatusConfig:
    """Progress of a texture run, what failed and why."""

    dst: Positional[str]
    """Folder that texneg synth writes."""
    ledger: str | None = None
    """The run's ledger, if it is not DST.texneg."""
    json: bool = False
    """Print one JSON object instead of lines."""
    watch: float | None = None
    """Print again every so many seconds, as long as a driver or a task is at work."""


@dataclass(frozen=True)
class RunStatus:
    """The state of a run; its fields are those of the JSON object."""

    images: int
    images_done: int
    shards: int
    shards_done: int
    shards_begun: int
    statuses: dict[Status, int]
    running: Holder | None
    images_per_second: float | None
    outcome: str | None
    """None while a driver is at work."""
    joined: bool
    failed: dict[str, str]
    command: str
    max_leak: float | None = None
    """The limit of the leak, where there is one."""
    redrawn: int | None = None
    """Textures whose squares were drawn again; known when the run is joined, like the next."""
    above_max_leak: int | None = None
    """Textures whose every try was above the limit."""

    @property
    def tasks_at_work(self) -> bool:
        """True if tasks of an array committed shards in the last minutes and there are more to make."""
        return bool(self.images_per_second) and self.shards_done < self.shards

    def to_json(self) -> bytes:
        """Encode as one JSON object."""
        return to_json({**asdict(self), "running": asdict(self.running) if self.running else {}})


def synth_status(config: StatusConfig) -> int:
    """Print the state of a finished, running or killed run.

    Raises:
        InputError: no run there.
    """
    if config.watch is not None and not config.watch > 0:
        raise InputError(f"--watch {config.watch}: allowed is more than 0 s")
    while True:
        status = read_status(config.dst, config.ledger)
        text = status.to_json().decode() if config.json else "\n".join([*_lines(config.dst, status), ""])
        print(text, end="", flush=True)
        if config.watch is None or not (status.running or status.tasks_at_work):
            return 0
        time.sleep(config.watch)


def read_status(dst: str, ledger: str | None = None) -> RunStatus:
    """Read the state of the run that makes DST.

    Raises:
        InputError: no run there.
    """
    return run_status(Ledger(ledger_path(dst, ledger), parse_place(dst)))


def run_status(ledger: Ledger) -> RunStatus:
    """Read the state of a run from its ledger."""
    ledger, record = open_record(ledger)
    plan = load_plan(ledger.plan)
    commits = ledger.commits(plan.shards)
    committed = [commit for commit in commits if commit]
    missing = [shard for shard, commit in zip(plan.shards, commits, strict=True) if not commit]
    parts = [(shard, marker) for shard, _, marker in ledger.parts_of(plan, missing) if marker]
    statuses: Counter[Status] = Counter()
    for marker in [*committed, *(marker for _, marker in parts)]:
        statuses.update(marker.statuses)
    stats = read_json(ledger.stats) or {}
    running = holder(ledger.lock)
    done = sum(statuses.values())
    return RunStatus(
        images=plan.images,
        images_done=done,
        shards=len(plan.shards),
        shards_done=len(committed),
        shards_begun=len({shard for shard, _ in parts}),
        statuses=dict(sorted(statuses.items())),
        running=running,
        images_per_second=_rate([ledger.metrics] if running else ledger.all_task_metrics()),
        outcome=None if running else _outcome(ledger, stats, done),
        joined=ledger.manifest.exists(),
        failed=stats.get("failed", {}),
        command=record.command,
        **_leaks(ledger, record.settings.redrawing),
    )


def _leaks(ledger: Ledger, redrawing: Redrawing | None) -> dict[str, Any]:
    """The fields about a limit of the leak."""
    if redrawing is None:
        return {}
    if not ledger.manifest.exists():
        return {"max_leak": redrawing.max_leak}
    with open_read(ledger.manifest) as stream:
        table = pq.read_table(stream, columns=["leak", "leak_try"])
    again = sum(number > 0 for number in table["leak_try"].drop_null().to_pylist())
    above = sum(leak > redrawing.max_leak for leak in table["leak"].drop_null().to_pylist())
    return {"max_leak": redrawing.max_leak, "redrawn": again, "above_max_leak": above}


def _outcome(ledger: Ledger, stats: dict[str, Any], done: int) -> str:
    """The end of the last call: one that was killed left its lock, and any other as a rule its statistics."""
    if ledger.lock.exists():
        return "killed"
    return str(stats.get("outcome", "unfinished" if done else "planned"))


def _rate(metrics: Sequence[Place]) -> float | None:
    """Images per second over the last commits, of one driver or of all tasks of an array."""
    lines = [line for path in metrics for line in read_json_lines(path, last=COMMITS_READ)]
    recent = [line for line in lines if line["time"] > time.time() - RATE_OVER_S]
    if len(recent) < 2:
        return None
    recent.sort(key=lambda line: line["time"])
    return sum(line["n"] for line in recent[1:]) / max(recent[-1]["time"] - recent[0]["time"], 1e-9)


def _lines(dst: str, status: RunStatus) -> list[str]:
    done, images = status.images_done, status.images
    begun = f", {status.shards_begun} more begun" if status.shards_begun else ""
    lines = [
        f"{dst}: {done} of {images} images ({100 * done // images} %), {status.shards_done} of"
        f" {status.shards} shards{begun}"
    ]
    lines += [f"  {n} {name}" for name, n in status.statuses.items() if name != Status.OK]
    if status.redrawn is not None:
        lines.append(
            f"  {status.redrawn} drawn again for a leak above {status.max_leak:g},"
            f" {status.above_max_leak} still above it"
        )
    lines += [f"  failed: shard {shard}: {reason}" for shard, reason in status.failed.items()]
    return [*lines, _next_step(status)]


def _next_step(status: RunStatus) -> str:
    """The driver at work, or the next step."""
    left, rate, command = status.images - status.images_done, status.images_per_second, status.command
    unfinished = status.shards_done < status.shards  # all images may be made and a shard not joined
    pace = f"{rate:.1f} images/s, {format_duration(left / rate)} left" if rate else "rate not known yet"
    if status.running:
        return f"running as {status.running}; {pace}"
    if not unfinished and not status.joined:
        return f"every image is done; join the results: {command} --finalize"
    if status.tasks_at_work:
        return f"tasks of an array at work in the last minutes; {pace}"
    if status.outcome == "planned":
        return f"planned, nothing made yet; begin: {command}"
    if unfinished:
        return f"not running ({status.outcome}); resume: {command}"
    return f"outcome: {status.outcome}"
