"""Gain of a second worker, with the real kernel: two worker processes against one.

The photographs, several times each under other names, are made into textures through an embedded Dask cluster
of one and of two processes, and for comparison without any scheduler by one and by two tasks of a job array,
which shows what the machine itself gives. All have the same tasks, a whole shard each as in large data sets.
The start of processes is not counted.

The kinds of run take turns. Each waits until nothing else works; one during which something else took more
than 2 % of the cores does not count and is made again. The medians are the figures to quote.
"""

import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Literal

from texneg.bench.common.photographs import unpack_photos
from texneg.bench.common.results import BenchConfig, write_results
from texneg.bench.synth import run_quietly
from texneg.cli.fields import Positional
from texneg.cores import available_cores
from texneg.datasets.storage.json_files import read_json
from texneg.errors import RunFailed
from texneg.synth.synth import SynthConfig

CLASSES = 10
SHARDS = 20
KINDS = ("array", "dask")
MOST_FOREIGN = 0.02
QUIET_S = 5.0
TRIES = 12  # for each run that counts


@dataclass(frozen=True)
class WorkersConfig(BenchConfig):
    """Measure two worker processes against one, with and without a scheduler."""

    src: Positional[Path]
    """tar of photographs"""
    times: int = 16
    """copies of each photograph"""
    rounds: int = 5
    """runs of each kind"""
    format: Literal["folder", "webdataset"] = "webdataset"
    """layout of the textures"""


def bench(config: WorkersConfig) -> int:
    """Run all kinds in turns, print and write the results."""
    runs = {"array": run_array, "dask": run_dask}
    seconds: dict[tuple[str, int], list[float]] = {(kind, n): [] for kind in KINDS for n in (1, 2)}
    disturbed = 0
    with tempfile.TemporaryDirectory(prefix="texneg-workers-") as scratch:
        photos = f"{scratch}/photos"
        images = unpack_photos(config.src, Path(photos), classes=CLASSES, times=config.times)
        for number in range(TRIES * config.rounds):
            for (kind, processes), counted in seconds.items():
                if len(counted) == config.rounds:
                    continue
                dst = f"{scratch}/{kind}-{processes}-{number}"
                size = images // SHARDS
                run = SynthConfig.flat(photos, dst, format=config.format, shard_size=size, part_size=size)
                taken, alone = run_undisturbed(partial(runs[kind], run, processes))
                print(kind, processes, f"{taken:.2f} s", "" if alone else "disturbed", flush=True)
                disturbed += not alone
                if alone:
                    counted.append(taken)
    if min(map(len, seconds.values())) < config.rounds:
        raise RunFailed(f"{disturbed} runs were disturbed by other processes: run this on a quiet machine")
    middle = {key: median(values) for key, values in seconds.items()}
    results: dict[str, Any] = {
        "images": images,
        "format": config.format,
        "runs of each kind": config.rounds,
        "runs that did not count": disturbed,
    }
    for kind in KINDS:
        results[kind] = {
            "one process, images/s": round(images / middle[kind, 1], 1),
            "two processes, images/s": round(images / middle[kind, 2], 1),
            "two against one": round(middle[kind, 1] / middle[kind, 2], 3),
            "seconds of one": [round(value, 2) for value in seconds[kind, 1]],
            "seconds of two": [round(value, 2) for value in seconds[kind, 2]],
        }
    print(json.dumps(results, indent=2))
    write_results(config, results)
    return 0


def run_dask(config: SynthConfig, processes: int) -> float:
    """Run on an embedded cluster; seconds from the first submitted task to the last commit."""
    run_quietly(config.with_flags(workers=processes, threads_per_worker=1))
    stats = read_json(f"{config.dst}.texneg/stats.json")
    return float(stats["calls"][0]["seconds"])


def run_array_task(config: SynthConfig, task: int, barrier: Any) -> None:
    """Run one task of a job array, from the moment at which all are ready."""
    from texneg.synth.task.images import prepare_process

    prepare_process()
    barrier.wait()
    run_quietly(config.with_flags(task=f"{task}/{barrier.parties - 1}", workers=1))


def run_array(config: SynthConfig, processes: int) -> float:
    """Run the tasks of a job array, a process each, without a scheduler; seconds."""
    run_quietly(config.with_flags(plan_only=True))
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(processes + 1)
    tasks = [spawn.Process(target=run_array_task, args=(config, task, barrier)) for task in range(processes)]
    for process in tasks:
        process.start()
    barrier.wait()
    begin = time.perf_counter()
    for process in tasks:
        process.join()
    if any(process.exitcode for process in tasks):
        raise RunFailed("a task of the array failed")
    return time.perf_counter() - begin


def busy_s() -> tuple[float, float]:
    """CPU seconds of the whole machine, stolen ones too, and of this process with its children that ended."""
    user, nice, system, _, _, irq, soft, stolen = map(int, Path("/proc/stat").read_text().split()[1:9])
    own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    ticks = user + nice + system + irq + soft + stolen
    return ticks / os.sysconf("SC_CLK_TCK"), sum(usage.ru_utime + usage.ru_stime for usage in own)


def wait_for_quiet() -> None:
    """Wait until the machine has done next to nothing for some seconds."""
    idle = False
    while not idle:
        before = busy_s()[0]
        time.sleep(QUIET_S)
        idle = busy_s()[0] - before < MOST_FOREIGN * QUIET_S * available_cores()


def run_undisturbed(run: Callable[[], float]) -> tuple[float, bool]:
    """Run when the machine is idle; seconds, and True where it had the machine for itself to the end."""
    wait_for_quiet()
    begin, (all_before, own_before) = time.perf_counter(), busy_s()
    seconds = run()
    wall, (all_after, own_after) = time.perf_counter() - begin, busy_s()
    foreign = ((all_after - all_before) - (own_after - own_before)) / (wall * available_cores())
    return seconds, foreign < MOST_FOREIGN
