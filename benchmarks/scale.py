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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from texneg.cli.environment import environment
from texneg.datasets.sources.items import Item
from texneg.datasets.sources.sources import Source
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


def commit_only(task: Task) -> Summary:
    """The end of a task whose images cost nothing: the shard's marker, and the summary that it sends."""
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
    """The most it ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def processes_cpu(client: Any) -> tuple[float, float]:
    """CPU seconds so far of this process (driver, client, scheduler), and of all workers."""
    return time.process_time(), sum(client.run(time.process_time).values())


def planned(folder: Path, images: int) -> tuple[Ledger, Plan, Settings, float]:
    """A ledger with the plan of that many images, read back from its files; seconds it took to make."""
    settings = settings_of(SynthConfig("invented", "out"), "folder")
    ledger = Ledger(folder / "out.texneg", folder / "out", settings.fingerprint("invented"))
    ledger.dst.mkdir()
    source = Invented(Path("invented"), "folder", ("",), images=images)
    begin = time.perf_counter()
    make_plan(source, settings, ledger.plan, cores=1, part_size=1000, shard_size=1000)
    return ledger, load_plan(ledger.plan), settings, time.perf_counter() - begin


def work_of(ledger: Ledger, plan: Plan, settings: Settings) -> Work:
    """The queue of a driver, from the ledger's files."""

    def task(shard: Shard, part: int | None) -> Task:
        return Task(ledger, "invented", "folder", settings, shard, part, plan.parts(shard), plan.part_size)

    work = Work(ledger, plan, task, ledger.metrics)
    work.resume()
    return work


def run(ledger: Ledger, plan: Plan, settings: Settings, workers: int) -> dict[str, Any]:
    """All shards through the scheduler; memory and CPU."""
    config = SynthConfig("invented", "out", workers=workers, threads_per_worker=1)
    work = work_of(ledger, plan, settings)
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
    assert work.images == plan.images
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
        ledger, plan, settings, seconds = planned(Path(scratch), arguments.images)
        results |= {
            "images": plan.images,
            "shards": len(plan.shards),
            "plan, s": round(seconds, 2),
            "plan, MB on disk": round(sum(f.stat().st_size for f in ledger.plan.iterdir()) / 1e6, 1),
            "driver MB with the plan": round(resident_mb(), 1),
        }
        results |= run(ledger, plan, settings, arguments.workers)
        begin = time.perf_counter()
        done = work_of(ledger, load_plan(ledger.plan), settings)
        results["resume check, s"] = round(time.perf_counter() - begin, 3)
        assert not done.queue
    results["driver MB, peak of it all"] = round(peak_mb(), 1)
    for name, value in results.items():
        print(f"{name:<54}{value}")
    about = {**environment(), "command": command}  # loads PyTorch, hence last
    OUT.write_text(json.dumps({"environment": about, **results}, indent=2) + "\n")
    print(OUT)


if __name__ == "__main__":
    main()
