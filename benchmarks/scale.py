"""Cost of a run in which nothing is computed: ImageNet-1k's 1 281 167 names, and tasks that only commit.

The plan is made of invented images, frozen and read as every run does; its shards then go through the real
scheduler, workers, commit markers and driver loop, with the part itself left out. Measured are the driver's
memory (with scheduler and client in it), CPU seconds a shard of all processes, and the seconds in which a
resumed run sees that everything is done.
"""

import contextlib
import io
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from texneg.bench.common.results import BenchConfig, write_results
from texneg.cli.progress import Progress
from texneg.cli.signals import StopRequests
from texneg.datasets.sources.items import Item
from texneg.datasets.sources.sources import Source
from texneg.errors import RunFailed
from texneg.synth.config import Compute, Policy
from texneg.synth.driver.loop import run_tasks
from texneg.synth.driver.queue import TaskQueue
from texneg.synth.executors.connect import connect
from texneg.synth.executors.dask import DaskExecutor
from texneg.synth.ledger.ledger import STAGES, Commit, Ledger
from texneg.synth.ledger.manifest import Status
from texneg.synth.ledger.record import Run
from texneg.synth.plan.plan import load_plan
from texneg.synth.plan.planning import make_plan
from texneg.synth.synth import Output
from texneg.synth.task.task import Task

IMAGES, CLASSES = 1_281_167, 1000
IDLE_S = 10.0


@dataclass(frozen=True)
class ScaleConfig(BenchConfig):
    """Measure the cost of a run beside the making of textures."""

    images: int = IMAGES
    """number of invented images"""
    workers: int = 2
    """worker processes"""


def bench(config: ScaleConfig) -> int:
    """Plan, run and resume; print and write the results."""
    results: dict[str, Any] = {"driver MB before": round(resident_mb(), 1)}
    with tempfile.TemporaryDirectory(prefix="texneg-scale-") as scratch:
        run, seconds = plan_images(Path(scratch), config.images)
        files = Path(scratch, "out.texneg", "plan").iterdir()
        results |= {
            "images": run.plan.images,
            "shards": len(run.plan.shards),
            "plan, s": round(seconds, 2),
            "plan, MB on disk": round(sum(f.stat().st_size for f in files) / 1e6, 1),
            "driver MB with the plan": round(resident_mb(), 1),
        }
        results |= run_through_dask(run, config.workers)
        begin = time.perf_counter()
        done = read_queue(replace(run, plan=load_plan(run.ledger.plan)))
        results["resume check, s"] = round(time.perf_counter() - begin, 3)
        if done.tasks:
            raise RunFailed(f"a resumed run would make {len(done.tasks)} shards again")
    results["driver MB, peak of it all"] = round(peak_mb(), 1)
    for name, value in results.items():
        print(f"{name:<54}{value}")
    write_results(config, results)  # loads PyTorch, hence last
    return 0


@dataclass(frozen=True)
class Invented(Source):
    """A tree of class folders that exists in name only."""

    images: int = IMAGES

    def items(self, *, unique: bool = False) -> Iterator[Item]:
        """Yield names and sizes like ImageNet's, in order."""
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
    """Largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def processes_cpu(client: Any) -> tuple[float, float]:
    """CPU seconds so far of this process (driver, client, scheduler), and of all workers."""
    return time.process_time(), sum(client.run(time.process_time).values())


def plan_images(folder: Path, images: int) -> tuple[Run, float]:
    """Plan a run of that many images; with the plan read back from its files, and the seconds of planning."""
    source = Invented(Path("invented"), "folder", ("",), images=images)
    settings = Output().settings(source)
    dst = folder / "out"
    dst.mkdir()
    ledger = Ledger(folder / "out.texneg", dst, settings.fingerprint("invented"))
    begin = time.perf_counter()
    make_plan(source, settings, ledger.plan, cores=1, part_size=1000, shard_size=1000)
    return Run(ledger, load_plan(ledger.plan), settings, "invented", {}), time.perf_counter() - begin


def read_queue(run: Run) -> TaskQueue:
    """Read the queue of a driver from the ledger's files."""
    queue = TaskQueue(run, run.ledger.metrics)
    queue.resume()
    return queue


def run_through_dask(run: Run, workers: int) -> dict[str, Any]:
    """Send all shards through the scheduler; memory and CPU."""
    queue = read_queue(run)
    memory: list[float] = []
    compute = Compute(workers=workers, threads_per_worker=1)
    with connect(compute) as client, contextlib.redirect_stderr(io.StringIO()):
        client.wait_for_workers(workers)
        before = processes_cpu(client)
        time.sleep(IDLE_S)
        idle = processes_cpu(client)
        begin = time.perf_counter()
        run_tasks(
            queue,
            DaskExecutor(client, run.ledger.tag, run=commit_only),
            Policy(),
            stop=StopRequests(),
            progress=Progress(run.plan.images),
            heartbeat=lambda: memory.append(resident_mb()),
            own_workers=True,
        )
        wall = time.perf_counter() - begin
        after = processes_cpu(client)
    shards = len(run.plan.shards)
    if queue.images != run.plan.images:
        raise RunFailed(f"{queue.images} of {run.plan.images} images were committed")
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
