"""The driver's loop: a bounded number of tasks in flight until every shard is committed, or a good stop."""

import math
import time
from collections.abc import Callable
from typing import Literal

from texneg.cli.console import counted, duration, say
from texneg.synth.config import SynthConfig
from texneg.synth.driver.progress import Progress
from texneg.synth.driver.queue import Work, WorkerLost
from texneg.synth.driver.signals import Stop
from texneg.synth.driver.stall import StallWatch
from texneg.synth.executors.executor import Executor

POLL_S = 1.0
TASKS_PER_THREAD = 2
ALONE_S = 60.0  # without any worker, after which the user is told
GONE_S = 300.0  # without any of the workers that this process started, which come back in seconds or never
FEWEST_TASKS = 4  # in flight even without workers, so that an adaptive cluster sees demand

Verdict = Literal["complete", "interrupted", "storage", "error_budget", "failed_shards"]


def drive(
    work: Work,
    executor: Executor,
    beat: Callable[[], None],
    stop: Stop,
    progress: Progress,
    *,
    config: SynthConfig,
    watch: StallWatch | None = None,
) -> Verdict:
    """Run the queue to its end and say how it ended; whatever the end, finished parts stay.

    Args:
        work: the queue.
        executor: where tasks run.
        beat: called about once a second; raises where the run may not go on.
        stop: counts the requests to stop.
        progress: told of finished images.
        config: of the run.
        watch: decides when workers hang.

    Raises:
        OSError: the scheduler is gone, or the workers of an embedded cluster.
    """
    watch = watch or StallWatch(work.largest_task())
    flying = 0
    alone_since, told = time.monotonic(), False
    deadline, asked = math.inf, 0
    while work.queue or flying:
        beat()
        ending = _ending(work, stop, config)
        if ending and deadline == math.inf:
            deadline, asked = time.monotonic() + config.drain_timeout, stop.count
            flying -= executor.withdraw()
            if flying:
                say(
                    f"stopping: {counted(flying, 'task')} under way may finish, Ctrl-C (again) leaves at once"
                )
        if ending and (not flying or stop.count > asked or time.monotonic() > deadline):
            return ending
        capacity = executor.capacity()
        window = max(TASKS_PER_THREAD * capacity, FEWEST_TASKS)
        while work.queue and flying < window and not ending:
            executor.submit(work.queue.popleft())
            flying += 1
        if capacity:
            alone_since, told = time.monotonic(), False
        else:
            watch.heard()
            alone = time.monotonic() - alone_since
            if config.embedded and alone > GONE_S:
                raise OSError("the workers ended and none came back, finished parts are safe")
            if alone > ALONE_S and not told:
                say("there are no workers; waiting for some, Ctrl-C ends the run")
                told = True
        for task, result in executor.completed(POLL_S):
            flying -= 1
            if isinstance(result, Exception):
                watch.heard()
                work.give_up(task, result, config.retries)
            else:
                watch.heard(sum(result.get("seconds", {}).values()))
                progress.advance(work.finish(task, result))
        if flying and watch.stalled():
            flying -= _unstick(work, executor, watch, config)
    ending = _ending(work, Stop(), config)
    return ending or ("failed_shards" if work.failed else "complete")


def _unstick(work: Work, executor: Executor, watch: StallWatch, config: SynthConfig) -> int:
    """Take the tasks back from workers that hang; the number of them."""
    say(f"nothing finished for {duration(watch.silence())}; replacing the workers that are busy")
    stuck = executor.unstick()
    for task in stuck:
        work.give_up(task, WorkerLost("its worker hung"), config.retries)
    watch.heard()
    return len(stuck)


def _ending(work: Work, stop: Stop, config: SynthConfig) -> Verdict | None:
    """Why no more tasks may be submitted."""
    if work.storage:
        return "storage"
    if work.over_budget(config.max_error_rate):
        return "error_budget"
    return "interrupted" if stop.count else None
