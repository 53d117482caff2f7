"""Tasks on a Dask cluster: few futures at a time, and a remedy for workers that die or hang."""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from texneg.cli.console import info
from texneg.errors import RunFailed
from texneg.synth.executors.executor import Outcome, WorkerLost, WorkerWarning, run
from texneg.synth.task.task import Task, TaskResult

ANSWER_S = 10.0  # for a worker to return a result, or its call stack
REPLACE_S = 60.0  # for a nanny to start another worker


class DaskExecutor:
    """One future per task; each is released as soon as its result has arrived.

    Every method raises OSError when the scheduler is gone.

    Args:
        client: of the cluster.
        name: of the run, for the keys of tasks.
        warnings: the queue in which the workers' warnings arrive.
        prepare: called when the scheduler was restarted and knows nothing.
        run: runs a task on a worker.
    """

    def __init__(
        self,
        client: Any,
        name: str,
        warnings: "SimpleQueue[WorkerWarning] | None" = None,
        prepare: Callable[[], None] = lambda: None,
        run: Callable[[Task], TaskResult] = run,
    ) -> None:
        self._client = client
        self._address = client.scheduler.address
        self._name = f"{name}-{secrets.token_hex(4)}"  # the same run may have another driver with another DST
        self._warnings = warnings or SimpleQueue()
        self._prepare = prepare
        self._run = run
        self._tasks: dict[Any, Task] = {}
        self._ended: SimpleQueue[Any] = SimpleQueue()
        self._printed: set[str] = set()
        self._attempts = 0

    def capacity(self) -> int:
        """Threads of the workers that exist now."""
        return sum(self._ask(self._client.nthreads).values())

    def _ask(self, question: Callable[[], Any]) -> Any:
        """Ask the scheduler, and name it if it is gone."""
        try:
            return question()
        except Exception as error:
            if not isinstance(error, OSError) and self._client.status != "closed":
                raise
            raise OSError(
                f"the Dask scheduler at {self._address} is gone, finished parts are safe"
            ) from error

    def submit(self, task: Task) -> None:
        """Send a task; the key's prefix is `texneg-shard`."""
        self._attempts += 1
        key = f"texneg-shard-{self._name}-{task.name.replace('/', '-')}-{self._attempts}"
        future = self._ask(lambda: self._client.submit(self._run, task, key=key, pure=False))
        self._tasks[future] = task
        future.add_done_callback(self._ended.put)

    def completed(self, timeout: float) -> list[Outcome]:
        """Collect the tasks whose futures ended.

        Raises:
            RunFailed: a worker cannot take part in the run.
        """
        self._print_warnings()
        ended: list[Any] = []
        with suppress(Empty):
            ended.append(self._ended.get(timeout=timeout))
            while True:
                ended.append(self._ended.get_nowait())
        ended = [future for future in ended if future in self._tasks]
        if any(future.status == "cancelled" for future in ended):
            self._ask(self._prepare)
        outcomes = [(future, self._result(future)) for future in ended]
        return [(self._tasks.pop(future), result) for future, result in outcomes if result is not None]

    def _result(self, future: Any) -> TaskResult | Exception | None:
        """The result of a future; None where the task runs again, since its worker died with the result."""
        try:
            result = future.result(timeout=ANSWER_S)
        except TimeoutError as error:
            if future.status != "error":
                future.add_done_callback(self._ended.put)
                return None
            result = error
        except Exception as error:
            result = WorkerLost(str(error)) if type(error).__name__ == "KilledWorker" else error
        future.release()
        return result

    def _print_warnings(self) -> None:
        """Print the workers' warnings, each text once."""
        with suppress(Empty):
            while True:
                warning = self._warnings.get_nowait()
                if warning.fatal:
                    raise RunFailed(warning.text)
                if warning.text not in self._printed:
                    self._printed.add(warning.text)
                    info(f"warning: {warning.text}")

    def withdraw(self) -> int:
        """Cancel the tasks that no worker has begun; their number.

        It reaches the workers a moment later: a task that begins until then runs on, and its commit stays.
        """
        with suppress(OSError):
            assigned = self._assigned()
            begun: set[str] = set()
            for worker, stacks in self._stacks(assigned).items():
                if not isinstance(stacks, TimeoutError):  # one that does not answer would only be waited for
                    begun.update(assigned[worker] if isinstance(stacks, Exception) else stacks)
            waiting = [future for future in self._tasks if future.key not in begun and not future.done()]
            self._client.cancel(waiting, force=True)
            for future in waiting:
                del self._tasks[future]
            return len(waiting)
        return 0

    def replace_stuck(self) -> list[Task]:
        """Report the tasks on every busy worker and their call stacks, and replace these workers."""
        futures = {future.key: future for future in self._tasks}
        busy = self._assigned()
        stuck = [futures[key] for keys in busy.values() for key in keys]
        for worker, keys in busy.items():
            info(f"  {worker} has {', '.join(self._tasks[futures[key]].name for key in keys)}")
        for worker, stacks in self._stacks(busy).items():
            if isinstance(stacks, Exception):
                info(f"  {worker}: no call stack: {stacks or 'it does not answer'}")
            else:
                for key, stack in stacks.items():
                    info(f"  {key}: {' | '.join(' '.join(frame.split()) for frame in stack)}")
        tasks = [self._tasks.pop(future) for future in stuck]
        self._client.cancel(stuck, force=True)
        self._replace(list(busy))
        return tasks

    def _assigned(self) -> dict[str, list[str]]:
        """Keys of this executor's tasks that each worker has, begun or not."""
        mine = {future.key for future in self._tasks}
        processing = self._ask(self._client.processing)
        assigned = {worker: mine.intersection(keys) for worker, keys in processing.items()}
        return {worker: sorted(keys) for worker, keys in assigned.items() if keys}

    def _stacks(self, assigned: dict[str, list[str]]) -> dict[str, dict[str, Any] | Exception]:
        """Call stacks of those tasks that each worker has begun, or the error of a worker that gives none."""
        call_stack = self._client.scheduler.call_stack

        async def ask(keys: list[str]) -> dict[str, Any] | Exception:
            try:
                found = await asyncio.wait_for(call_stack(keys=keys), ANSWER_S)
            except Exception as error:  # such as a KeyError, of a scheduler that was started again
                return error
            return {key: stack for stacks in found.values() for key, stack in stacks.items()}

        async def ask_all() -> list[dict[str, Any] | Exception]:
            return await asyncio.gather(*map(ask, assigned.values()))

        return dict(zip(assigned, self._client.sync(ask_all), strict=True))

    def _replace(self, workers: list[str]) -> None:
        """Have nannies start other processes; workers without a nanny are retired."""
        try:
            self._client.restart_workers(workers, timeout=REPLACE_S, raise_for_error=False)
        except ValueError:
            self._client.retire_workers(workers, close_workers=True)

    def close(self) -> None:
        """Cancel all tasks, if the scheduler still exists."""
        with suppress(OSError):
            self._ask(lambda: self._client.cancel(list(self._tasks), force=True))
        self._tasks.clear()
