"""A run without any scheduler: freeze the plan, make disjoint shares of it anywhere, join the results.

    texneg synth SRC DST --plan-only
    texneg synth SRC DST --task 0/100        and so on to 99/100, at any time, in any order
    texneg synth SRC DST --finalize

The tasks share files and nothing else. Their shards are disjoint, so that none needs a lease.
"""

from dataclasses import replace
from pathlib import Path

from texneg.datasets.storage.atomic import write_bytes
from texneg.datasets.storage.places import Place
from texneg.datasets.storage.url import Url
from texneg.errors import RunFailed
from texneg.synth.config import SynthConfig
from texneg.synth.driver.queue import Work
from texneg.synth.ledger.ledger import Ledger
from texneg.synth.plan.plan import Plan

SHOWN = 10


def share_of(plan: Plan, task: int, tasks: int) -> Plan:
    """Every `tasks`-th shard from the one of number `task` on."""
    shards = plan.shards[task::tasks]
    return replace(plan, shards=shards, images=sum(shard.n for shard in shards))


def metrics_of(ledger: Ledger, task: int, tasks: int) -> Place:
    """Where an array task notes its commits; no two write to one file. In a store every line is an object."""
    if isinstance(ledger.root, Url):
        return ledger.metrics
    return ledger.root / "log" / f"metrics-{task}-of-{tasks}.jsonl"


def task_metrics(ledger: Ledger) -> list[Path]:
    """What the tasks of an array have noted since results were joined; nothing in a store."""
    return [] if isinstance(ledger.root, Url) else sorted((ledger.root / "log").glob("metrics-*.jsonl"))


def join_metrics(ledger: Ledger) -> None:
    """Move the lines of all tasks to the one file of the run."""
    logs = task_metrics(ledger)
    if not logs:
        return
    lines = dict.fromkeys(
        line for path in (ledger.metrics, *logs) if path.exists() for line in path.read_bytes().splitlines()
    )
    write_bytes(ledger.metrics, b"\n".join([*lines, b""]), tag=ledger.tag)
    for path in logs:
        path.unlink()


def check_finished(config: SynthConfig, work: Work) -> None:
    """Refuse to finalize a run with shards left to make.

    Raises:
        RunFailed: naming their places in the plan.
    """
    places = [i for i, shard in enumerate(work.plan.shards) if shard in work.missing]
    if not places:
        return
    more = ", ..." if len(places) > SHOWN else ""
    shown = ", ".join(map(str, places[:SHOWN])) + more
    rest = replace(config, finalize=False).command()
    raise RunFailed(
        f"{len(places)} of {len(work.plan.shards)} shards are not made: {shown}."
        f" Shard k belongs to --task I/N with I = k modulo N; repeat these, or make the rest here: {rest}"
    )
