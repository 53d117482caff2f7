"""The driver's loop: few tasks in flight at a time until every shard is committed, or an orderly stop."""

import math
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from statistics import median

from texneg.cli.console import format_duration, info, plural
from texneg.cli.progress import Progress
from texneg.cli.signals import StopRequests
from texneg.synth.config import Policy
from texneg.synth.driver.queue import TaskQueue
from texneg.synth.executors.executor import Executor, WorkerLost
from texneg.synth.task.task import StorageFailure

POLL_S = 1.0
TASKS_PER_THREAD = 2
ALONE_S = 60.0  # without any worker, until the user is informed
GONE_S = 300.0  # without any of the workers that this process started, which come back in seconds or never
FEWEST_TASKS = 4  # in flight even without workers, so that an adaptive cluster sees demand

TIMES_MEDIAN = 10.0
LEAST_S = 600.0
SLOW_IMAGE_S = 3.0  # assumed until the first task has finished
REMEMBERED = 101  # tasks of which the median is taken


class Verdict(StrEnum):
    """The end of a run."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    STORAGE = "storage"
    ERROR_BUDGET = "error_budget"
    FAILED_SHARDS = "failed_shards"


class StallWatch:
    """Notices workers that hang: nothing has ended for max(10 x the median task, 10 min).

    Args:
        images: of the largest task; decides how long the first may take.
        clock: seconds from any origin.
    """

    def __init__(self, images: int = 0, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._first_s = SLOW_IMAGE_S * images
        self._clock = clock
        self._seconds: deque[float] = deque(maxlen=REMEMBERED)
        self._since = clock()

    def reset(self, seconds: float | None = None) -> None:
        """Begin the silence anew.

        Args:
            seconds: that a task took which has just finished.
        """
        self._since = self._clock()
        if seconds is not None:
            self._seconds.append(seconds)

    def silence(self) -> float:
        """Seconds since the last reset."""
        return self._clock() - self._since

    def stalled(self) -> bool:
        """True if the silence is longer than any task should take."""
        usual = TIMES_MEDIAN * median(self._seconds) if self._seconds else self._first_s
        return self.silence() > max(usual, LEAST_S)


def run_tasks(
    queue: TaskQueue,
    executor: Executor,
    policy: Policy,
    *,
    stop: StopRequests,
    progress: Progress,
    heartbeat: Callable[[], None] = lambda: None,
    own_workers: bool = False,
    watch: StallWatch | None = None,
) -> Verdict:
    """Run the queue to its end. Finished parts stay, however it ends.

    Args:
        queue: of the run.
        executor: runs the tasks.
        policy: decides what failures and a request to stop do.
        stop: counts the requests to stop.
        progress: counts finished images.
        heartbeat: called about once a second; raises if the run may not continue.
        own_workers: this process started the workers, so that they come back in seconds or never.
        watch: decides when workers hang.

    Raises:
        OSError: the scheduler is gone, or the workers that this process started.
    """
    watch = watch or StallWatch(queue.largest_task())
    flying = 0
    alone_since, informed = time.monotonic(), False
    deadline, asked = math.inf, 0
    while queue.tasks or flying:
        heartbeat()
        ending = _ending(queue, stop, policy)
        if ending and deadline == math.inf:
            deadline, asked = time.monotonic() + policy.drain_timeout, stop.count
            flying -= executor.withdraw()
            if flying:
                info(
                    f"stopping: {plural(flying, 'task')} under way may finish, Ctrl-C (again) leaves at once"
                )
        if ending and (not flying or stop.count > asked or time.monotonic() > deadline):
            return ending
        capacity = executor.capacity()
        window = max(TASKS_PER_THREAD * capacity, FEWEST_TASKS)
        while queue.tasks and flying < window and not ending:
            executor.submit(queue.tasks.popleft())
            flying += 1
        if capacity:
            alone_since, informed = time.monotonic(), False
        else:
            watch.reset()
            alone = time.monotonic() - alone_since
            if own_workers and alone > GONE_S:
                raise OSError("the workers ended and none came back, finished parts are safe")
            if alone > ALONE_S and not informed:
                info("there are no workers; waiting for some, Ctrl-C ends the run")
                informed = True
        for task, result in executor.completed(POLL_S):
            flying -= 1
            if isinstance(result, Exception):
                watch.reset()
                queue.fail(task, result, policy.retries)
            else:
                watch.reset(0.0 if isinstance(result, StorageFailure) else sum(result.seconds.values()))
                progress.advance(queue.record(task, result))
        if flying and watch.stalled():
            silence = format_duration(watch.silence())
            info(f"nothing finished for {silence}; replacing the workers that are busy")
            stuck = executor.replace_stuck()
            for task in stuck:
                queue.fail(task, WorkerLost("its worker hung"), policy.retries)
            watch.reset()
            flying -= len(stuck)
    failed = Verdict.FAILED_SHARDS if queue.failed else Verdict.COMPLETE
    return _ending(queue, StopRequests(), policy) or failed


def _ending(queue: TaskQueue, stop: StopRequests, policy: Policy) -> Verdict | None:
    """The reason why no more tasks may be submitted, if there is one."""
    if queue.storage:
        return Verdict.STORAGE
    if queue.is_over_budget(policy.max_error_rate):
        return Verdict.ERROR_BUDGET
    return Verdict.INTERRUPTED if stop.is_set() else None
