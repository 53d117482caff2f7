"""Where tasks run: this process, or a Dask cluster, behind three verbs."""

from collections import deque
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from texneg.synth.task import Summary, Task, run_task

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

    def close(self) -> None:
        """Drop what is queued and stop."""
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

    def close(self) -> None:
        """Drop what is queued."""
        self._queue.clear()


class DaskExecutor:
    """One future per task; each is released as soon as its result is here."""

    def __init__(self, client: Any, run: str) -> None:
        self._client = client
        self._run = run
        self._tasks: dict[Any, Task] = {}
        self._ended: SimpleQueue[Any] = SimpleQueue()
        self._attempts = 0

    def capacity(self) -> int:
        """Threads of the workers that are there now.

        Raises:
            OSError: the scheduler is gone.
        """
        try:
            return sum(self._client.nthreads().values())
        except OSError as error:
            address = self._client.scheduler.address
            raise OSError(f"the Dask scheduler at {address} is gone, finished parts are safe") from error

    def submit(self, task: Task) -> None:
        """Send a task; the key's prefix is `texneg-shard`."""
        self._attempts += 1
        key = f"texneg-shard-{self._run}-{task.name.replace('/', '-')}-{self._attempts}"
        future = self._client.submit(run_task, task, key=key, pure=False)
        self._tasks[future] = task
        future.add_done_callback(self._ended.put)

    def completed(self, timeout: float) -> list[Outcome]:
        """Futures that ended, with their results."""
        ended: list[Any] = []
        with suppress(Empty):
            ended.append(self._ended.get(timeout=timeout))
            while True:
                ended.append(self._ended.get_nowait())
        return [(self._tasks.pop(future), _result(future)) for future in ended]

    def close(self) -> None:
        """Cancel what is queued."""
        if self._tasks:
            self._client.cancel(list(self._tasks), force=True)
        self._tasks.clear()


def _result(future: Any) -> Summary | Exception:
    try:
        return future.result(timeout=60)
    except Exception as error:
        return error
    finally:
        future.release()
