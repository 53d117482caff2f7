"""A part whose images are made in another process, so that one which kills it can be named.

The child makes one image after the other and sends each. Where it dies, or is silent for a minute, a second
child begins with that very image; if that ends the same way, the image gets a row that says so, and a third
child goes on behind it.
"""

import ctypes
import os
import pickle
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Event, Timer
from typing import Any, BinaryIO

from texneg.synth.task.clock import Clock
from texneg.synth.task.images import Part
from texneg.synth.task.perform import make_images
from texneg.synth.task.setup import prepare_process
from texneg.synth.task.task import Task

IMAGE_S = 60.0
START_S = 300.0  # compiling the kernel, on a slow file system
MEMORY = 4 << 30  # of one image, over what the libraries take
PR_SET_PDEATHSIG = 1  # name of Linux' prctl


def make_isolated(task: Task, start: int, stop: int) -> Part:
    """Images `start` to `stop` of the task's shard; what kills its process twice becomes a row.

    Raises:
        OSError: an input cannot be read, or no process can be started.
        RuntimeError: whatever else would have ended the part.
    """
    whole = Part([], [], Clock())
    suspect = -1
    while (i := start + len(whole.rows)) < stop:
        reason = _child(task, i, stop, whole)
        i = start + len(whole.rows)
        if reason and i == suspect:
            _add(whole, make_images(task, i, i + 1, blame=reason))
        suspect = i
    return whole


def _child(task: Task, start: int, stop: int, whole: Part) -> tuple[str, str] | None:
    """Run one child and collect what it made; status and reason where it did not come to its end."""
    command = [sys.executable, "-m", "texneg.synth.task.sandbox"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        pickle.dump((task, start, stop), child.stdin)
        child.stdin.close()
        if _next(child, child.stdout, START_S)[0] != "ready":
            raise OSError(f"{' '.join(command)} does not start (exit status {child.wait()})")
        for _ in range(start, stop):
            made, late = _next(child, child.stdout, IMAGE_S)
            if isinstance(made, Exception):
                raise made
            if late:
                return "timeout", f"nothing came of it within {IMAGE_S:.0f} s"
            if made is None:
                return "worker_killed", f"its process ended with {_ending(child.wait())}"
            _add(whole, made)
    return None


def _next(child: "subprocess.Popen[bytes]", pipe: Any, limit: float) -> tuple[Any, bool]:
    """What the child says next (None when it dies), and whether it was killed for being late."""
    late = Event()

    def stop() -> None:
        late.set()
        child.kill()

    timer = Timer(limit, stop)
    timer.start()
    try:
        return pickle.load(pipe), False
    except (EOFError, pickle.UnpicklingError):
        return None, late.is_set()
    finally:
        timer.cancel()


def _ending(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"


def _add(whole: Part, made: Part) -> None:
    whole.rows += made.rows
    whole.made += made.made
    for stage, seconds in made.clock.seconds.items():
        whole.clock.seconds[stage] += seconds


def _limit_memory() -> None:
    """No more than MEMORY from here on; and first in line where the machine itself runs out."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = taken + MEMORY if hard == resource.RLIM_INFINITY else min(taken + MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    with suppress(OSError):  # where /proc is read-only
        Path("/proc/self/oom_score_adj").write_text("1000")


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """The child: `ready`, then a Part of one image each, or the error that ends the part."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # nobody is left to stop it when it hangs
    task, start, stop = pickle.load(requests)
    prepare_process()
    _limit_memory()
    _send(answers, "ready")
    for i in range(start, stop):
        try:
            _send(answers, make_images(task, i, i + 1))
        except MemoryError:
            raise
        except Exception as error:  # of the run, not of the image
            _send(answers, error if isinstance(error, OSError) else RuntimeError(repr(error)))
            return


def _send(pipe: BinaryIO, message: object) -> None:
    pickle.dump(message, pipe)
    pipe.flush()


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    _serve(sys.stdin.buffer, answers)
