"""Job arrays, a run without any scheduler: freeze the plan, make disjoint shares anywhere, join the results.

    texneg synth SRC DST --plan-only
    texneg synth SRC DST --task 0/100        and so on to 99/100, at any time, in any order
    texneg synth SRC DST --finalize

The tasks share nothing but files. Their shards are disjoint, so that none needs a lease.
"""

from dataclasses import replace
from pathlib import Path

from texneg.datasets.storage.atomic import write_bytes
from texneg.datasets.storage.places import Place
from texneg.datasets.storage.url import Url
from texneg.errors import RunFailed
from texneg.synth.driver.queue import TaskQueue
from texneg.synth.ledger.ledger import Ledger
from texneg.synth.plan.plan import Plan

SHOWN = 10


def share_of(plan: Plan, task: int, tasks: int) -> Plan:
    """Every `tasks`-th shard from number `task` on."""
    shards = plan.shards[task::tasks]
    return replace(plan, shards=shards, images=sum(shard.n for shard in shards))


def metrics_of(ledger: Ledger, task: int, tasks: int) -> Place:
    """The metrics file of an array task; no two write to one file. In a store every line is an object."""
    if isinstance(ledger.root, Url):
        return ledger.metrics
    return ledger.root / "log" / f"metrics-{task}-of-{tasks}.jsonl"


def task_metrics(ledger: Ledger) -> list[Path]:
    """The metrics files that array tasks have written since results were joined; none in a store."""
    return [] if isinstance(ledger.root, Url) else sorted((ledger.root / "log").glob("metrics-*.jsonl"))


def join_metrics(ledger: Ledger) -> None:
    """Move the lines of all tasks to the one metrics file of the run."""
    logs = task_metrics(ledger)
    if not logs:
        return
    lines = dict.fromkeys(
        line for path in (ledger.metrics, *logs) if path.exists() for line in path.read_bytes().splitlines()
    )
    write_bytes(ledger.metrics, b"\n".join([*lines, b""]), tag=ledger.tag)
    for path in logs:
        path.unlink()


def check_finished(queue: TaskQueue, rest: str) -> None:
    """Refuse to finalize a run with shards left to make.

    Args:
        queue: of the run.
        rest: the command that makes them.

    Raises:
        RunFailed: naming their positions in the plan.
    """
    shards = queue.run.plan.shards
    positions = [i for i, shard in enumerate(shards) if shard in queue.missing]
    if not positions:
        return
    shown = ", ".join(map(str, positions[:SHOWN])) + (", ..." if len(positions) > SHOWN else "")
    raise RunFailed(
        f"{len(positions)} of {len(shards)} shards are not made: {shown}."
        f" Shard k belongs to --task I/N with I = k modulo N; repeat these, or make the rest here: {rest}"
    )
