"""Executors run tasks behind five verbs; the simplest one runs them in this process."""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from texneg.synth.task.task import Task, TaskResult

Outcome = tuple[Task, TaskResult | Exception]
"""A task that ended, with its result or with the error that it raised."""


class WorkerLost(Exception):
    """The process that had a task died again and again, or stopped answering."""


@dataclass(frozen=True)
class WorkerWarning:
    """A worker's message to the driver."""

    text: str
    fatal: bool
    """The worker cannot take part in the run."""


class Executor(Protocol):
    """Takes tasks and returns their outcomes."""

    def capacity(self) -> int:
        """Tasks that can run at the same time now."""

    def submit(self, task: Task) -> None:
        """Queue a task."""

    def completed(self, timeout: float) -> list[Outcome]:
        """Collect the tasks that ended, waiting up to `timeout` seconds for the first."""

    def withdraw(self) -> int:
        """Withdraw the tasks that no worker has begun; their number."""

    def replace_stuck(self) -> list[Task]:
        """Report what the busy workers are doing, replace these workers, and return their tasks."""


def run(task: Task) -> TaskResult:
    """Run a task in this process."""
    from texneg.synth.task.run_task import run_task  # loads decoders and numba, which a driver does not need

    return run_task(task)


class SyncExecutor:
    """One task after the other in this process."""

    def __init__(self) -> None:
        self._queue: deque[Task] = deque()

    def capacity(self) -> int:
        """One."""
        return 1

    def submit(self, task: Task) -> None:
        """Queue a task."""
        self._queue.append(task)

    def completed(self, timeout: float) -> list[Outcome]:
        """Run the next task."""
        task = self._queue.popleft()
        try:
            return [(task, run(task))]
        except Exception as error:
            return [(task, error)]

    def withdraw(self) -> int:
        """Withdraw everything that is queued."""
        count = len(self._queue)
        self._queue.clear()
        return count

    def replace_stuck(self) -> list[Task]:
        """Nothing, since a task in this process is always waited for."""
        return []
