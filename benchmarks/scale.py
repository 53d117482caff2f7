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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from texneg.bench.common.results import BenchConfig, write_results
from texneg.datasets.sources.items import Item
from texneg.datasets.sources.sources import Source
from texneg.errors import RunFailed
from texneg.synth.config import SynthConfig, settings_of
from texneg.synth.driver.drive import drive
from texneg.synth.driver.progress import Progress
from texneg.synth.driver.queue import Work
from texneg.synth.driver.signals import Stop
from texneg.synth.executors.connect import connected
from texneg.synth.executors.dask import DaskExecutor
from texneg.synth.ledger.ledger import Ledger
from texneg.synth.plan.plan import Plan, Shard, load_plan
from texneg.synth.plan.planning import make_plan
from texneg.synth.plan.settings import Settings
from texneg.synth.task.task import Summary, Task

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
        ledger, plan, settings, seconds = make_ledger(Path(scratch), config.images)
        files = Path(scratch, "out.texneg", "plan").iterdir()
        results |= {
            "images": plan.images,
            "shards": len(plan.shards),
            "plan, s": round(seconds, 2),
            "plan, MB on disk": round(sum(f.stat().st_size for f in files) / 1e6, 1),
            "driver MB with the plan": round(resident_mb(), 1),
        }
        results |= run(ledger, plan, settings, config.workers)
        begin = time.perf_counter()
        done = read_queue(ledger, load_plan(ledger.plan), settings)
        results["resume check, s"] = round(time.perf_counter() - begin, 3)
        if done.queue:
            raise RunFailed(f"a resumed run would make {len(done.queue)} shards again")
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


def commit_only(task: Task) -> Summary:
    """End a task whose images cost nothing: write the shard's marker, return the summary that it sends."""
    seconds = dict.fromkeys(("read", "decode", "synthesis", "encode", "write"), 0.001)
    marker = {
        "shard": task.shard.id,
        "n": task.shard.n,
        "statuses": {"ok": task.shard.n},
        "files": {},
        "rows_sha256": "0" * 64,
        "seconds": seconds,
        "host": os.uname().nodename,
        "texneg": "0",
    }
    task.ledger.write_marker(task.ledger.done(task.shard, ".json"), marker)
    return {**marker, "committed": True}


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


def make_ledger(folder: Path, images: int) -> tuple[Ledger, Plan, Settings, float]:
    """Plan a run; its ledger, its plan read back from files, its settings, the seconds of planning."""
    settings = settings_of(SynthConfig("invented", "out"), "folder")
    ledger = Ledger(folder / "out.texneg", folder / "out", settings.fingerprint("invented"))
    (folder / "out").mkdir()
    source = Invented(Path("invented"), "folder", ("",), images=images)
    begin = time.perf_counter()
    make_plan(source, settings, ledger.plan, cores=1, part_size=1000, shard_size=1000)
    return ledger, load_plan(ledger.plan), settings, time.perf_counter() - begin


def read_queue(ledger: Ledger, plan: Plan, settings: Settings) -> Work:
    """Read the queue of a driver from the ledger's files."""

    def task(shard: Shard, part: int | None) -> Task:
        return Task(ledger, "invented", "folder", settings, shard, part, plan.parts(shard), plan.part_size)

    work = Work(ledger, plan, task, ledger.metrics)
    work.resume()
    return work


def run(ledger: Ledger, plan: Plan, settings: Settings, workers: int) -> dict[str, Any]:
    """Send all shards through the scheduler; memory and CPU."""
    config = SynthConfig("invented", "out", workers=workers, threads_per_worker=1)
    work = read_queue(ledger, plan, settings)
    memory: list[float] = []
    with connected(config) as client, contextlib.redirect_stderr(io.StringIO()):
        before = processes_cpu(client)
        time.sleep(IDLE_S)
        idle = processes_cpu(client)
        begin = time.perf_counter()
        executor = DaskExecutor(client, ledger.tag, do=commit_only)
        progress = Progress(plan.images, 0)
        drive(work, executor, lambda: memory.append(resident_mb()), Stop(), progress, config=config)
        wall = time.perf_counter() - begin
        after = processes_cpu(client)
    shards = len(plan.shards)
    if work.images != plan.images:
        raise RunFailed(f"{work.images} of {plan.images} images were committed")
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
