"""What a driver has left to do, and what came of what was done."""

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from texneg.datasets.storage.json_files import append_json_line
from texneg.datasets.storage.places import Place
from texneg.datasets.storage.retries import patiently
from texneg.synth.ledger.ledger import Ledger
from texneg.synth.plan.plan import Plan, Shard
from texneg.synth.task.task import Summary, Task

JUDGED_FROM = 1000  # images; below it no share of bad images stops a run


class WorkerLost(Exception):
    """The process that had a task died again and again, or stopped answering."""


@dataclass
class Work:
    """The queue of a driver, and its books."""

    ledger: Ledger
    plan: Plan
    make: Callable[[Shard, int | None], Task]
    """Task of (shard, part); part None joins."""
    metrics: Place
    """Gets a JSON line for each commit."""
    queue: deque[Task] = field(default_factory=deque)
    missing: dict[Shard, set[int]] = field(default_factory=dict)
    """Parts without which an unfinished shard cannot be joined."""
    attempts: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)
    """Reason by shard id."""
    images: int = 0
    storage: str = ""

    @property
    def bad(self) -> int:
        """Images that could not be used."""
        return self.images - self.statuses["ok"]

    def resume(self) -> None:
        """Read every marker of the ledger and queue what is missing, in plan order."""
        for shard, marker in zip(self.plan.shards, self.ledger.markers(self.plan.shards), strict=True):
            if marker is not None:
                self._count(marker)
            else:
                self.missing[shard] = set()
        for shard, part, marker in self.ledger.parts_of(self.plan, list(self.missing)):
            if marker is not None:
                self._count(marker)
            else:
                self.missing[shard].add(part)
                self.queue.append(self.make(shard, part))
            if part == self.plan.parts(shard) - 1 and not self.missing[shard]:
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
            line = {**summary, "time": time.time()}
            patiently(lambda: append_json_line(self.metrics, line))
        elif task.shard in self.missing:
            self.missing[task.shard].discard(task.part or 0)
            if not self.missing[task.shard]:
                self.queue.appendleft(self.make(task.shard, None))
        return new

    def give_up(self, task: Task, error: Exception, retries: int) -> None:
        """Queue a failed task again, or list its shard as failed.

        A part that took its worker down, or all its memory, comes back with every image in a process of its
        own, which is no retry but the way to find the image.
        """
        if isinstance(error, (WorkerLost, MemoryError)) and task.part is not None and not task.isolated:
            self.queue.append(replace(task, isolated=True))
            return
        self.attempts[task.name] += 1
        if self.attempts[task.name] > retries:
            self.failed.setdefault(task.shard.id, f"{type(error).__name__}: {error}")
        else:
            self.queue.append(task)

    def largest_task(self) -> int:
        """Images of the largest task there can be."""
        sizes = (shard.n if shard.whole else min(shard.n, self.plan.part_size) for shard in self.plan.shards)
        return max(sizes, default=0)

    def over_budget(self, rate: float) -> bool:
        """Whether too many images turned out bad to believe in the rest."""
        return self.bad == self.plan.images > 0 or (
            self.images >= JUDGED_FROM and self.bad > rate * self.images
        )
