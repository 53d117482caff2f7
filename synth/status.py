"""`texneg synth-status`: how far a run is, read from its files alone."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from texneg.cli.console import duration
from texneg.cli.fields import Positional
from texneg.datasets.storage.json_files import read_json_lines, to_json
from texneg.datasets.storage.places import Place, place
from texneg.errors import InputError
from texneg.synth.config import ledger_path
from texneg.synth.driver.array import task_metrics
from texneg.synth.ledger.lease import holder
from texneg.synth.ledger.ledger import Ledger, read_json
from texneg.synth.ledger.record import opened
from texneg.synth.plan.plan import load_plan

RATE_OVER_S = 600.0
COMMITS_READ = 100


@dataclass(frozen=True)
class StatusConfig:
    """How far a texture run is, what failed and why."""

    dst: Positional[str]
    """Folder that texneg synth writes."""
    ledger: str | None = None
    """The run's ledger, if it is not DST.texneg."""
    json: bool = False
    """Print one JSON object instead of lines."""
    watch: float | None = None
    """Print again every so many seconds, for as long as somebody is at work."""


def synth_status(config: StatusConfig) -> int:
    """Print the state of a finished, running or killed run.

    Raises:
        InputError: no run there.
    """
    if config.watch is not None and not config.watch > 0:
        raise InputError(f"--watch {config.watch}: allowed is more than 0 s")
    ledger = Ledger(ledger_path(config.dst, config.ledger), place(config.dst))
    while True:
        status = run_status(ledger)
        text = to_json(status).decode() if config.json else "\n".join([*_lines(config.dst, status), ""])
        print(text, end="", flush=True)
        if config.watch is None or not (status["running"] or _tasks_at_work(status)):
            return 0
        time.sleep(config.watch)


def run_status(ledger: Ledger) -> dict[str, Any]:
    """Counts of images and shards, statuses, failures, rate, and who is at work."""
    ledger, record = opened(ledger)
    plan = load_plan(ledger.plan)
    markers = ledger.markers(plan.shards)
    committed = [marker for marker in markers if marker]
    missing = [shard for shard, marker in zip(plan.shards, markers, strict=True) if not marker]
    parts = [(shard, marker) for shard, _, marker in ledger.parts_of(plan, missing) if marker]
    statuses: Counter[str] = Counter()
    for marker in [*committed, *(marker for _, marker in parts)]:
        statuses.update(marker["statuses"])
    stats = read_json(ledger.stats) or {}
    running = holder(ledger.lock)
    done = sum(statuses.values())
    return {
        "images": plan.images,
        "images_done": done,
        "shards": len(plan.shards),
        "shards_done": len(committed),
        "shards_begun": len({shard for shard, _ in parts}),
        "statuses": dict(sorted(statuses.items())),
        "running": running,
        "images_per_second": _rate([ledger.metrics] if running else task_metrics(ledger)),
        "outcome": None if running else stats.get("outcome", "killed" if done else "planned"),
        "joined": ledger.manifest.exists(),
        "failed": stats.get("failed", {}),
        "command": record["command"],
    }


def _rate(metrics: Sequence[Place]) -> float | None:
    """Images per second over the last commits, of one driver or of all tasks of an array."""
    lines = [line for path in metrics for line in read_json_lines(path, last=COMMITS_READ)]
    recent = [line for line in lines if line["time"] > time.time() - RATE_OVER_S]
    if len(recent) < 2:
        return None
    recent.sort(key=lambda line: line["time"])
    return sum(line["n"] for line in recent[1:]) / max(recent[-1]["time"] - recent[0]["time"], 1e-9)


def _lines(dst: str, status: dict[str, Any]) -> list[str]:
    done, images = status["images_done"], status["images"]
    begun = f", {status['shards_begun']} more begun" if status["shards_begun"] else ""
    lines = [
        f"{dst}: {done} of {images} images ({100 * done // images} %), {status['shards_done']} of"
        f" {status['shards']} shards{begun}"
    ]
    lines += [f"  {n} {name}" for name, n in status["statuses"].items() if name != "ok"]
    lines += [f"  failed: shard {shard}: {reason}" for shard, reason in status["failed"].items()]
    return [*lines, _state(status)]


def _tasks_at_work(status: dict[str, Any]) -> bool:
    """Whether tasks of an array have committed shards in the last minutes, and there are more."""
    return bool(status["images_per_second"]) and status["shards_done"] < status["shards"]


def _state(status: dict[str, Any]) -> str:
    """Who is at work, or what to do next."""
    left, rate = status["images"] - status["images_done"], status["images_per_second"]
    unfinished = status["shards_done"] < status["shards"]  # all images may be made and a shard not joined
    command = status["command"]
    pace = f"{rate:.1f} images/s, {duration(left / rate)} left" if rate else "rate not known yet"
    if status["running"]:
        return f"running as process {status['running']['pid']} on {status['running']['host']}; {pace}"
    if not unfinished and not status["joined"]:
        return f"every image is done; join the results: {command} --finalize"
    if _tasks_at_work(status):
        return f"tasks of an array at work in the last minutes; {pace}"
    if status["outcome"] == "planned":
        return f"planned, nothing made yet; begin: {command}"
    if unfinished:
        return f"not running ({status['outcome']}); resume: {command}"
    return f"outcome: {status['outcome']}"
