"""The driver's task queue and its running totals."""

import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, field, replace

from texneg.datasets.storage.json_files import append_json_line
from texneg.datasets.storage.places import Place
from texneg.datasets.storage.retries import with_retries
from texneg.synth.executors.executor import WorkerLost
from texneg.synth.ledger.ledger import Commit, Marker
from texneg.synth.ledger.manifest import Status
from texneg.synth.ledger.record import Run
from texneg.synth.plan.plan import Shard
from texneg.synth.task.task import StorageFailure, Task, TaskResult

JUDGED_FROM = 1000  # images; below it no share of bad images stops a run


@dataclass
class TaskQueue:
    """The tasks that a run still needs, and the totals of those that ended."""

    run: Run
    metrics: Place
    """Gets a JSON line for each commit."""
    tasks: deque[Task] = field(default_factory=deque)
    missing: dict[Shard, set[int]] = field(default_factory=dict)
    """Parts without which an unfinished shard cannot be joined."""
    attempts: Counter[str] = field(default_factory=Counter)
    statuses: Counter[Status] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)
    """Reason by shard id."""
    images: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    """By name of a task: images of a reopened shard whose textures stay."""
    storage: str = ""
    """The reason why nothing more can be written."""

    @property
    def bad(self) -> int:
        """Images that could not be used."""
        return self.images - self.statuses[Status.OK]

    @property
    def done(self) -> int:
        """Images that are done, with those in unfinished parts of reopened shards."""
        return self.images + self.kept.total()

    def resume(self) -> None:
        """Read every marker of the ledger and queue what is missing, in plan order."""
        ledger, plan = self.run.ledger, self.run.plan
        for shard, commit in zip(plan.shards, ledger.commits(plan.shards), strict=True):
            if commit is not None:
                self._count(commit)
            else:
                self.missing[shard] = set()
        for shard, part, marker in ledger.parts_of(plan, list(self.missing)):
            if marker is not None:
                self._count(marker)
            else:
                self.missing[shard].add(part)
                self.tasks.append(Task.of(self.run, shard, part))
            if part == plan.parts(shard) - 1 and not self.missing[shard]:
                self.tasks.append(Task.of(self.run, shard, None))
        for shard, rows in zip(self.missing, ledger.kept_rows(list(self.missing)), strict=True):
            for index in rows:
                part = 0 if plan.parts(shard) == 1 else index // plan.part_size
                if part in self.missing[shard]:
                    self.kept[Task.of(self.run, shard, part).name] += 1

    def _count(self, marker: Marker) -> int:
        self.statuses.update(marker.statuses)
        self.images += marker.n
        return marker.n

    def record(self, task: Task, result: TaskResult) -> int:
        """Record a finished task, and queue the join of a shard that became complete; new images."""
        if isinstance(result, StorageFailure):
            self.storage = result.message
            return 0
        new = 0 if task.part is None else self._count(result) - self.kept.pop(task.name, 0)
        if isinstance(result, Commit):
            self.missing.pop(task.shard, None)
            line = {**asdict(result), "committed": True, "time": time.time()}
            with_retries(lambda: append_json_line(self.metrics, line))
        elif task.shard in self.missing:
            self.missing[task.shard].discard(task.part or 0)
            if not self.missing[task.shard]:
                self.tasks.appendleft(Task.of(self.run, task.shard, None))
        return new

    def fail(self, task: Task, error: Exception, retries: int) -> None:
        """Queue a failed task again, or list its shard as failed.

        A part that killed its worker, or took all its memory, comes back with every image in a process of its
        own, which is not a retry but the way to find the image.
        """
        if isinstance(error, (WorkerLost, MemoryError)) and task.part is not None and not task.isolated:
            self.tasks.append(replace(task, isolated=True))
            return
        self.attempts[task.name] += 1
        if self.attempts[task.name] > retries:
            self.failed.setdefault(task.shard.id, f"{type(error).__name__}: {error}")
        else:
            self.tasks.append(task)

    def largest_task(self) -> int:
        """Images of the largest possible task."""
        part_size = self.run.plan.part_size
        sizes = (shard.n if shard.whole else min(shard.n, part_size) for shard in self.run.plan.shards)
        return max(sizes, default=0)

    def is_over_budget(self, rate: float) -> bool:
        """True if too many images are bad for the rest to be worth making."""
        return self.bad == self.run.plan.images > 0 or (
            self.images >= JUDGED_FROM and self.bad > rate * self.images
        )
