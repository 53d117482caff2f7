"""Tasks on a Dask cluster: few futures at a time, and a way out where workers die or hang."""

import secrets
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from texneg.cli.console import say
from texneg.errors import RunFailed
from texneg.synth.driver.queue import WorkerLost
from texneg.synth.executors.executor import Outcome
from texneg.synth.task.task import Summary, Task, run_task

ANSWER_S = 10.0  # that a worker gets to hand over a result, or to show its call stack
REPLACE_S = 60.0  # that its nanny gets to start another


class DaskExecutor:
    """One future per task; each is released as soon as its result is here.

    Args:
        client: of the cluster.
        run: for the keys of tasks.
        complaints: gets those of workers.
        prepare: called for a scheduler that forgot what it knew, as one does that was started again.
        do: does a task.
    """

    def __init__(
        self,
        client: Any,
        run: str,
        complaints: "SimpleQueue[Any] | None" = None,
        prepare: Callable[[], None] = lambda: None,
        do: Callable[[Task], Summary] = run_task,
    ) -> None:
        self._client = client
        self._address = client.scheduler.address
        self._run = f"{run}-{secrets.token_hex(4)}"  # the same run may have another driver with another DST
        self._complaints = complaints or SimpleQueue()
        self._prepare = prepare
        self._do = do
        self._tasks: dict[Any, Task] = {}
        self._ended: SimpleQueue[Any] = SimpleQueue()
        self._heard: set[str] = set()
        self._attempts = 0

    def capacity(self) -> int:
        """Threads of the workers that are there now.

        Raises:
            OSError: the scheduler is gone.
        """
        return sum(self._asked(self._client.nthreads).values())

    def _asked(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except Exception as error:
            if not isinstance(error, OSError) and self._client.status != "closed":
                raise
            raise OSError(
                f"the Dask scheduler at {self._address} is gone, finished parts are safe"
            ) from error

    def submit(self, task: Task) -> None:
        """Send a task; the key's prefix is `texneg-shard`.

        Raises:
            OSError: the scheduler is gone.
        """
        self._attempts += 1
        key = f"texneg-shard-{self._run}-{task.name.replace('/', '-')}-{self._attempts}"
        future = self._asked(lambda: self._client.submit(self._do, task, key=key, pure=False))
        self._tasks[future] = task
        future.add_done_callback(self._ended.put)

    def completed(self, timeout: float) -> list[Outcome]:
        """Futures that ended, with their results.

        Raises:
            OSError: the scheduler is gone.
            RunFailed: a worker cannot take part in the run.
        """
        self._hear()
        ended: list[Any] = []
        with suppress(Empty):
            ended.append(self._ended.get(timeout=timeout))
            while True:
                ended.append(self._ended.get_nowait())
        ended = [future for future in ended if future in self._tasks]
        if any(future.status == "cancelled" for future in ended):
            self._asked(self._prepare)
        outcomes = [(future, self._result(future)) for future in ended]
        return [(self._tasks.pop(future), result) for future, result in outcomes if result is not None]

    def _result(self, future: Any) -> Summary | Exception | None:
        """What came of a task; None where it has to be done again, as its worker died with the result."""
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

    def _hear(self) -> None:
        """Pass on what workers complain of, each text once."""
        with suppress(Empty):
            while True:
                _, complaint = self._complaints.get_nowait()
                if complaint["fatal"]:
                    raise RunFailed(complaint["text"])
                if complaint["text"] not in self._heard:
                    self._heard.add(complaint["text"])
                    say(f"warning: {complaint['text']}")

    def withdraw(self) -> int:
        """Cancel the tasks that no worker has begun; the number of them.

        Workers hear of it a moment later: a task that begins until then runs on, and what it commits stays.
        """
        with suppress(OSError):
            begun = self._stacks([key for keys in self._given().values() for key in keys])
            waiting = [future for future in self._tasks if future.key not in begun and not future.done()]
            self._client.cancel(waiting, force=True)
            for future in waiting:
                del self._tasks[future]
            return len(waiting)
        return 0

    def unstick(self) -> list[Task]:
        """Name the tasks on every busy worker and their call stacks, and replace these workers."""
        futures = {future.key: future for future in self._tasks}
        busy = self._given()
        stuck = [futures[key] for keys in busy.values() for key in keys]
        for worker, keys in busy.items():
            say(f"  {worker} has {', '.join(self._tasks[futures[key]].name for key in keys)}")
        for line in self._call_stacks([future.key for future in stuck]):
            say(f"  {line}")
        tasks = [self._tasks.pop(future) for future in stuck]
        self._client.cancel(stuck, force=True)
        self._replace(list(busy))
        return tasks

    def _given(self) -> dict[str, list[str]]:
        """Keys of this executor's tasks that each worker has, begun or not."""
        mine = {future.key for future in self._tasks}
        given = {
            worker: mine.intersection(keys) for worker, keys in self._asked(self._client.processing).items()
        }
        return {worker: sorted(keys) for worker, keys in given.items() if keys}

    def _call_stacks(self, keys: list[str]) -> list[str]:
        """A line for each task: where it is, innermost frame last; workers that do not answer have none."""
        try:
            stacks = self._stacks(keys)
        except OSError as error:
            return [f"no call stack: {error or 'the workers do not answer'}"]
        return [f"{key}: {' | '.join(' '.join(f.split()) for f in stack)}" for key, stack in stacks.items()]

    def _stacks(self, keys: list[str]) -> dict[str, Any]:
        """Call stacks of those tasks that a worker has begun.

        Raises:
            OSError: no answer.
        """
        scheduler = self._client.scheduler
        try:
            found = self._client.sync(scheduler.call_stack, keys=keys, callback_timeout=ANSWER_S)
        except KeyError as error:
            raise OSError(f"the scheduler does not know {error}") from error
        return {key: stack for stacks in found.values() for key, stack in stacks.items()}

    def _replace(self, workers: list[str]) -> None:
        """Have nannies start other processes; workers without one are sent away."""
        try:
            self._client.restart_workers(workers, timeout=REPLACE_S, raise_for_error=False)
        except ValueError:
            self._client.retire_workers(workers, close_workers=True)

    def close(self) -> None:
        """Cancel what is queued, where there is still a scheduler."""
        with suppress(OSError):
            self._asked(lambda: self._client.cancel(list(self._tasks), force=True))
        self._tasks.clear()
