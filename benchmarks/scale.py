"""What running costs when nothing is computed: ImageNet-1k's 1 281 167 names, and tasks that only commit.

    python benchmarks/scale.py

The plan is made of invented images, frozen and read as every run does; its shards then go through the real
scheduler, workers, commit markers and driver loop, with the part itself left out. Measured are the driver's
memory (with scheduler and client in it), CPU seconds a shard of all processes, and the seconds in which a
resumed run sees that everything is done. Prints a table and writes `results/scale.json`.
"""

import argparse
import contextlib
import io
import json
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from texneg.cli.environment import environment
from texneg.cli.progress import Progress
from texneg.cli.signals import StopRequests
from texneg.datasets.sources.items import Item
from texneg.datasets.sources.sources import Source
from texneg.datasets.storage.places import sizes_in
from texneg.synth.config import Compute, Output, Policy
from texneg.synth.driver.loop import run_tasks
from texneg.synth.driver.queue import TaskQueue
from texneg.synth.executors.connect import connect
from texneg.synth.executors.dask import DaskExecutor
from texneg.synth.ledger.ledger import STAGES, Commit, Ledger
from texneg.synth.ledger.manifest import Status
from texneg.synth.ledger.record import Run
from texneg.synth.plan.plan import load_plan
from texneg.synth.plan.planning import make_plan
from texneg.synth.task.task import Task

IMAGES, CLASSES = 1_281_167, 1000
IDLE_S = 10.0
OUT = Path(__file__).parent / "results" / "scale.json"


@dataclass(frozen=True)
class Invented(Source):
    """A tree of class folders that nobody has made."""

    images: int = IMAGES

    def items(self, *, unique: bool = False) -> Iterator[Item]:
        """Names and sizes like ImageNet's, in order."""
        for i in range(self.images):
            name = f"n{i * CLASSES // self.images:08d}"
            key = f"{name}/{name}_{i:07d}"
            yield Item("", key, name, f"{key}.JPEG", size=110_000 + i % 1000)


def commit_only(task: Task) -> Commit:
    """Commit the shard of a task whose images cost nothing."""
    commit = Commit(
        n=task.shard.n,
        statuses={Status.OK: task.shard.n},
        seconds=dict.fromkeys(STAGES, 0.001),
        shard=task.shard.id,
        files={},
        rows_sha256="0" * 64,
        host=os.uname().nodename,
        texneg="0",
    )
    task.ledger.write_marker(task.ledger.done(task.shard, ".json"), commit)
    return commit


def resident_mb() -> float:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def peak_mb() -> float:
    """The most it ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def processes_cpu(client: Any) -> tuple[float, float]:
    """CPU seconds so far of this process (driver, client, scheduler), and of all workers."""
    return time.process_time(), sum(client.run(time.process_time).values())


def plan(folder: Path, images: int) -> tuple[Run, float]:
    """A run with the plan of that many images, read back from its files; seconds it took to make."""
    settings = Output().settings("folder")
    dst = folder / "out"
    dst.mkdir()
    ledger = Ledger(folder / "out.texneg", dst, settings.fingerprint("invented"))
    source = Invented(Path("invented"), "folder", ("",), images=images)
    begin = time.perf_counter()
    make_plan(source, settings, ledger.plan, cores=1, part_size=1000, shard_size=1000)
    return Run(ledger, load_plan(ledger.plan), settings, "invented", {}), time.perf_counter() - begin


def resume(made: Run) -> TaskQueue:
    """The queue of a driver, from the ledger's files."""
    queue = TaskQueue(made, made.ledger.metrics)
    queue.resume()
    return queue


def run(made: Run, workers: int) -> dict[str, Any]:
    """All shards through the scheduler; memory and CPU."""
    queue = resume(made)
    memory: list[float] = []
    compute = Compute(workers=workers, threads_per_worker=1)
    with connect(compute) as client, contextlib.redirect_stderr(io.StringIO()):
        before = processes_cpu(client)
        time.sleep(IDLE_S)
        idle = processes_cpu(client)
        begin = time.perf_counter()
        run_tasks(
            queue,
            DaskExecutor(client, made.ledger.tag, run=commit_only),
            Policy(),
            stop=StopRequests(),
            progress=Progress(made.plan.images),
            heartbeat=lambda: memory.append(resident_mb()),
            own_workers=True,
        )
        wall = time.perf_counter() - begin
        after = processes_cpu(client)
    shards = len(made.plan.shards)
    assert queue.images == made.plan.images
    driver, all_workers = ((a - b) / shards for a, b in zip(after, idle, strict=True))
    return {
        "driver MB at the first task": round(memory[0], 1),
        "driver MB at the last": round(memory[-1], 1),
        "driver MB at most": round(max(memory), 1),
        "ms of CPU a shard, driver with client and scheduler": round(1000 * driver, 2),
        "ms of CPU a shard, workers": round(1000 * all_workers, 2),
        "ms of CPU a shard, all": round(1000 * (driver + all_workers), 2),
        "ms of wall a shard": round(1000 * wall / shards, 2),
        "idle CPU, driver": round((idle[0] - before[0]) / IDLE_S, 4),
        "idle CPU, each worker": round((idle[1] - before[1]) / IDLE_S / workers, 4),
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=IMAGES, help=f"invented images (default {IMAGES})")
    parser.add_argument("--workers", type=int, default=2, help="worker processes (default 2)")
    arguments = parser.parse_args()
    command = f"python benchmarks/scale.py --images {arguments.images} --workers {arguments.workers}"
    results: dict[str, Any] = {"driver MB before": round(resident_mb(), 1)}
    with tempfile.TemporaryDirectory(prefix="texneg-scale-") as scratch:
        made, seconds = plan(Path(scratch), arguments.images)
        results |= {
            "images": made.plan.images,
            "shards": len(made.plan.shards),
            "plan, s": round(seconds, 2),
            "plan, MB on disk": round(sum(size for _, size in sizes_in(made.ledger.plan)) / 1e6, 1),
            "driver MB with the plan": round(resident_mb(), 1),
        }
        results |= run(made, arguments.workers)
        begin = time.perf_counter()
        done = resume(replace(made, plan=load_plan(made.ledger.plan)))
        results["resume check, s"] = round(time.perf_counter() - begin, 3)
        assert not done.tasks
    results["driver MB, peak of it all"] = round(peak_mb(), 1)
    for name, value in results.items():
        print(f"{name:<54}{value}")
    about = {**environment(), "command": command}  # loads PyTorch, hence last
    OUT.write_text(json.dumps({"environment": about, **results}, indent=2) + "\n")
    print(OUT)


if __name__ == "__main__":
    main()
