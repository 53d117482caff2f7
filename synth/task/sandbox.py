"""Make a part's images in another process, so that an image which kills it can be named.

The child makes one image after the other and sends each. When it dies, or is silent for a minute, a second
child begins with that very image; if that ends the same way, the image becomes a row with that status, and a
third child continues after it.
"""

import ctypes
import os
import pickle
import resource
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from threading import Event, Timer
from typing import IO, BinaryIO

from texneg.synth.ledger.manifest import Status
from texneg.synth.task.images import PartResult, prepare_process
from texneg.synth.task.part import make_part
from texneg.synth.task.redrawn import open_describer
from texneg.synth.task.task import Task

IMAGE_S = 60.0
START_S = 300.0  # compiling the kernel, on a slow file system
MEMORY = 4 << 30  # for one image, beyond what the libraries take
PR_SET_PDEATHSIG = 1  # name of Linux' prctl

Answer = PartResult | Exception | None
"""A child's message: images, or the error that ends the part; None if it died."""


def make_part_isolated(task: Task, start: int, stop: int) -> PartResult:
    """Make images `start` to `stop` of the task's shard; one that kills its process twice becomes a row.

    Raises:
        OSError: an input cannot be read, or no process can be started.
        RuntimeError: any other error that would have ended the part.
    """
    result = PartResult()
    suspect = -1
    while (i := start + len(result.rows)) < stop:
        reason = _run_child(task, i, stop, result)
        i = start + len(result.rows)
        if reason and i == suspect:
            result.add(make_part(task, i, i + 1, blame=reason))
        suspect = i
    return result


def _run_child(task: Task, start: int, stop: int, result: PartResult) -> tuple[Status, str] | None:
    """Run one child and collect its images; status and reason if it ended early."""
    command = [sys.executable, "-m", "texneg.synth.task.sandbox"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        pickle.dump((task, start, stop), child.stdin)
        child.stdin.close()
        if not isinstance(_receive(child, child.stdout, START_S)[0], PartResult):
            raise OSError(f"{' '.join(command)} does not start (exit status {child.wait()})")
        for _ in range(start, stop):
            made, late = _receive(child, child.stdout, IMAGE_S)
            if isinstance(made, Exception):
                raise made
            if late:
                return Status.TIMEOUT, f"nothing came of it within {IMAGE_S:.0f} s"
            if made is None:
                return Status.WORKER_KILLED, f"its process ended with {_describe_exit(child.wait())}"
            result.add(made)
    return None


def _receive(child: "subprocess.Popen[bytes]", pipe: IO[bytes], limit: float) -> tuple[Answer, bool]:
    """The child's next message, and whether it was killed for being late."""
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


def _describe_exit(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"


def _limit_memory() -> None:
    """Allow this process MEMORY more, and make it the first to be killed if the machine runs out."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = taken + MEMORY if hard == resource.RLIM_INFINITY else min(taken + MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    with suppress(OSError):  # where /proc is read-only
        Path("/proc/self/oom_score_adj").write_text("1000")


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer as the child: an empty result when ready, then one image at a time, or an error."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # without its parent nobody could stop it
    task, start, stop = pickle.load(requests)
    prepare_process()
    if task.settings.redrawing:
        open_describer(task.settings.redrawing)
    _limit_memory()
    _send(answers, PartResult())
    for i in range(start, stop):
        try:
            _send(answers, make_part(task, i, i + 1))
        except MemoryError:
            traceback.print_exc()
            os._exit(1)  # an ordinary exit could be aborted by threads of libraries
        except Exception as error:  # of the run, not of the image
            _send(answers, error if isinstance(error, OSError) else RuntimeError(repr(error)))
            return


def _send(pipe: BinaryIO, message: Answer) -> None:
    pickle.dump(message, pipe)
    pipe.flush()


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    _serve(sys.stdin.buffer, answers)
