"""`texneg synth-status`: how far a run is, read from its files alone."""

import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from texneg.datasets.atomic import read_json_lines, to_json
from texneg.datasets.store import Place, place
from texneg.options import Positional
from texneg.synth.config import ledger_path
from texneg.synth.driver.progress import duration
from texneg.synth.ledger.lease import holder
from texneg.synth.ledger.ledger import Ledger, read_json
from texneg.synth.ledger.plan import load_plan
from texneg.synth.ledger.record import load_record

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


def synth_status(config: StatusConfig) -> int:
    """Print the state of a finished, running or killed run.

    Raises:
        InputError: no run there.
    """
    status = run_status(Ledger(ledger_path(config.dst, config.ledger), place(config.dst)))
    if config.json:
        print(to_json(status).decode(), end="")
    else:
        print("\n".join(_lines(config.dst, status)))
    return 0


def run_status(ledger: Ledger) -> dict[str, Any]:
    """Counts of images and shards, statuses, failures, rate, and who is at work."""
    record = load_record(ledger)
    plan = load_plan(ledger.plan)
    ledger = replace(ledger, fingerprint=record["fingerprint"])
    statuses: Counter[str] = Counter()
    committed = begun = 0
    for shard, marker in zip(plan.shards, ledger.markers(plan.shards), strict=True):
        parts = [] if marker else [ledger.part_marker(shard, part) for part in range(plan.parts(shard))]
        committed += marker is not None
        begun += any(parts)
        for found in [marker, *parts]:
            statuses.update(found["statuses"] if found else {})
    stats = read_json(ledger.stats) or {}
    running = holder(ledger.lock)
    return {
        "images": plan.images,
        "images_done": sum(statuses.values()),
        "shards": len(plan.shards),
        "shards_done": committed,
        "shards_begun": begun,
        "statuses": dict(sorted(statuses.items())),
        "running": running,
        "images_per_second": _rate(ledger.metrics) if running else None,
        "outcome": None if running else stats.get("outcome", "killed"),
        "failed": stats.get("failed", {}),
        "command": record["command"],
    }


def _rate(metrics: Place) -> float | None:
    """Images per second over the last commits."""
    lines = read_json_lines(metrics, last=COMMITS_READ)
    recent = [line for line in lines if line["time"] > time.time() - RATE_OVER_S]
    if len(recent) < 2:
        return None
    return sum(line["n"] for line in recent[1:]) / max(recent[-1]["time"] - recent[0]["time"], 1e-9)


def _lines(dst: str, status: dict[str, Any]) -> list[str]:
    done, images = status["images_done"], status["images"]
    lines = [
        f"{dst}: {done} of {images} images ({100 * done / images:.0f} %), {status['shards_done']} of"
        f" {status['shards']} shards committed, {status['shards_begun']} begun"
    ]
    lines += [f"  {n} {name}" for name, n in status["statuses"].items() if name != "ok"]
    lines += [f"  failed: shard {shard}: {reason}" for shard, reason in status["failed"].items()]
    if status["running"]:
        rate = status["images_per_second"]
        pace = (
            f"{rate:.1f} images/s, {duration((images - done) / rate)} left" if rate else "rate not known yet"
        )
        lines.append(f"running as process {status['running']['pid']} on {status['running']['host']}; {pace}")
    elif done < images:
        lines.append(f"not running ({status['outcome']}); resume: {status['command']}")
    else:
        lines.append(f"outcome: {status['outcome']}")
    return lines
