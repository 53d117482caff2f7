"""Where tasks run, behind five verbs; and the simplest place, this process."""

from collections import deque
from typing import Protocol

from texneg.synth.task.task import Summary, Task, run_task

Outcome = tuple[Task, Summary | Exception]


class Executor(Protocol):
    """Takes tasks, and gives back each with its summary or with what it raised."""

    def capacity(self) -> int:
        """Tasks that can run at the same time now."""
        ...

    def submit(self, task: Task) -> None:
        """Queue a task."""
        ...

    def completed(self, timeout: float) -> list[Outcome]:
        """Tasks that ended; waits for the first up to `timeout` seconds."""
        ...

    def withdraw(self) -> int:
        """Take back tasks that nobody has begun; the number of them."""
        ...

    def unstick(self) -> list[Task]:
        """Say what workers are doing, replace those that are busy, and give their tasks back."""
        ...


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
            return [(task, run_task(task))]
        except Exception as error:
            return [(task, error)]

    def withdraw(self) -> int:
        """All that is queued."""
        count = len(self._queue)
        self._queue.clear()
        return count

    def unstick(self) -> list[Task]:
        """Nothing: a task that runs here is the one that is waited for."""
        return []
