"""The driver's loop: a bounded number of tasks in flight until every shard is committed, or a good stop."""

import math
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Literal

from texneg.datasets.atomic import append_json_line
from texneg.synth.config import SynthConfig
from texneg.synth.executors import Executor
from texneg.synth.lease import Lease
from texneg.synth.ledger import Ledger
from texneg.synth.plan import Plan, Shard
from texneg.synth.progress import Progress, counted
from texneg.synth.task import Summary, Task

POLL_S = 1.0
TASKS_PER_THREAD = 2
FEWEST_TASKS = 4  # in flight even without workers, so that an adaptive cluster sees demand
JUDGED_FROM = 1000  # images; below it no share of bad images stops a run

Verdict = Literal["complete", "interrupted", "storage", "error_budget", "failed_shards"]


class Stop:
    """Set by SIGINT and SIGTERM: the first asks for a drain, the second to leave at once."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        self.count += 1


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Catch SIGINT and SIGTERM inside the block; in a thread that cannot, nothing is caught."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    old = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@dataclass
class Work:
    """What is left to do, and what came of what was done."""

    ledger: Ledger
    plan: Plan
    make: Callable[[Shard, int | None], Task]
    """Task of (shard, part); part None joins."""
    queue: deque[Task] = field(default_factory=deque)
    missing: dict[Shard, set[int]] = field(default_factory=dict)
    """Parts without which an unfinished shard cannot be joined."""
    attempts: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)
    """Reason by shard id."""
    images: int = 0
    storage: str = ""

    def resume(self) -> None:
        """Read every marker of the ledger and queue what is missing, in plan order."""
        for shard in self.plan.shards:
            if (marker := self.ledger.marker(shard)) is not None:
                self._count(marker)
                continue
            self.missing[shard] = set()
            for part in range(self.plan.parts(shard)):
                if (marker := self.ledger.part_marker(shard, part)) is not None:
                    self._count(marker)
                else:
                    self.missing[shard].add(part)
                    self.queue.append(self.make(shard, part))
            if not self.missing[shard]:
                self.queue.append(self.make(shard, None))

    def _count(self, summary: Summary) -> int:
        self.statuses.update(summary["statuses"])
        self.images += summary["n"]
        return summary["n"]

    def finish(self, task: Task, summary: Summary) -> int:
        """Book a finished task, queue the join of a shard whose last part it was; number of new images."""
        if "storage" in summary:
            self.storage = summary["storage"]
            return 0
        new = 0 if task.part is None else self._count(summary)
        if summary["committed"]:
            self.missing.pop(task.shard, None)
            append_json_line(self.ledger.metrics, {**summary, "time": time.time()})
        elif task.shard in self.missing:
            self.missing[task.shard].discard(task.part or 0)
            if not self.missing[task.shard]:
                self.queue.appendleft(self.make(task.shard, None))
        return new

    def give_up(self, task: Task, error: Exception, retries: int) -> None:
        """Queue a failed task again, or list its shard as failed."""
        self.attempts[task.name] += 1
        if self.attempts[task.name] <= retries:
            self.queue.append(task)
        else:
            self.failed.setdefault(task.shard.id, f"{type(error).__name__}: {error}")

    def over_budget(self, rate: float) -> bool:
        """Whether too many images turned out bad to believe in the rest."""
        bad = self.images - self.statuses["ok"]
        return bad == self.plan.images or (self.images >= JUDGED_FROM and bad > rate * self.images)


def drive(
    work: Work, executor: Executor, lease: Lease, stop: Stop, progress: Progress, *, config: SynthConfig
) -> Verdict:
    """Run the queue to its end and say how it ended; whatever the end, finished parts stay."""
    flying = 0
    deadline = math.inf
    while work.queue or flying:
        lease.refresh()
        ending = _ending(work, stop, config)
        if ending and (not flying or stop.count > 1 or time.monotonic() > deadline):
            return ending
        if ending and deadline == math.inf:
            deadline = time.monotonic() + config.drain_timeout
            progress.say(
                f"stopping: {counted(flying, 'task')} in flight may finish, Ctrl-C (again) leaves at once"
            )
        window = max(TASKS_PER_THREAD * executor.capacity(), FEWEST_TASKS)
        while work.queue and flying < window and not ending:
            executor.submit(work.queue.popleft())
            flying += 1
        for task, result in executor.completed(POLL_S):
            flying -= 1
            if isinstance(result, Exception):
                work.give_up(task, result, config.retries)
            else:
                progress.advance(work.finish(task, result))
    ending = _ending(work, Stop(), config)
    return ending or ("failed_shards" if work.failed else "complete")


def _ending(work: Work, stop: Stop, config: SynthConfig) -> Verdict | None:
    """Why no more tasks may be submitted."""
    if work.storage:
        return "storage"
    if work.over_budget(config.max_error_rate):
        return "error_budget"
    return "interrupted" if stop.count else None
