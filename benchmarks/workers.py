"""What a second worker is worth, with the real kernel: two worker processes against one.

    python benchmarks/workers.py imagenet-photos-000000.tar

The photographs, several times each under other names, are made into textures through an embedded Dask cluster
of one and of two processes, and for comparison without any scheduler by one and by two tasks of a job array,
which shows what the machine itself gives. All have the same tasks, a whole shard each as in large data sets.
The start of processes is not counted.

The kinds of run take turns. Each waits until nothing else works; one during which something else took more
than 2 % of the cores does not count and is made again. Prints the medians and writes `results/workers.json`.
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from texneg.bench.photographs import unpacked
from texneg.cli.environment import environment
from texneg.synth.config import SynthConfig
from texneg.synth.run import synth

OUT = Path(__file__).parent / "results" / "workers.json"
CLASSES = 10
SHARDS = 20
KINDS = ("array", "dask")
MOST_FOREIGN = 0.02
QUIET_S = 5.0
TRIES = 12  # for each run that counts


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow what runs print."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def through_dask(config: SynthConfig, processes: int) -> float:
    """Seconds of a run, from the first submitted task to the last commit."""
    with quiet():
        assert synth(config.with_flags(workers=processes, threads_per_worker=1)) == 0
    stats = json.loads(Path(f"{config.dst}.texneg/stats.json").read_bytes())
    return float(stats["calls"][0]["seconds"])


def array_task(config: SynthConfig, task: int, barrier: Any) -> None:
    """One task of a job array, begun when all are ready."""
    from texneg.synth.task.images import prepare_process

    prepare_process()
    barrier.wait()
    with quiet():
        assert synth(config.with_flags(task=f"{task}/{barrier.parties - 1}", workers=1)) == 0


def through_array(config: SynthConfig, processes: int) -> float:
    """Seconds that so many processes take without a scheduler."""
    with quiet():
        assert synth(config.with_flags(plan_only=True)) == 0
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(processes + 1)
    tasks = [spawn.Process(target=array_task, args=(config, task, barrier)) for task in range(processes)]
    for process in tasks:
        process.start()
    barrier.wait()
    begin = time.perf_counter()
    for process in tasks:
        process.join()
    if any(process.exitcode for process in tasks):
        sys.exit("a task of the array failed")
    return time.perf_counter() - begin


def busy_s() -> tuple[float, float]:
    """CPU seconds of the whole machine, stolen ones too, and of this process with its children that ended."""
    user, nice, system, _, _, irq, soft, stolen = map(int, Path("/proc/stat").read_text().split()[1:9])
    own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    ticks = user + nice + system + irq + soft + stolen
    return ticks / os.sysconf("SC_CLK_TCK"), sum(usage.ru_utime + usage.ru_stime for usage in own)


def wait_for_quiet() -> None:
    """Until the machine did next to nothing for some seconds."""
    idle = False
    while not idle:
        before = busy_s()[0]
        time.sleep(QUIET_S)
        idle = busy_s()[0] - before < MOST_FOREIGN * QUIET_S * len(os.sched_getaffinity(0))


def undisturbed(run: Callable[[], float]) -> tuple[float, bool]:
    """Seconds of a run, and whether it had the machine for itself."""
    wait_for_quiet()
    begin, (all_before, own_before) = time.perf_counter(), busy_s()
    seconds = run()
    wall, (all_after, own_after) = time.perf_counter() - begin, busy_s()
    foreign = ((all_after - all_before) - (own_after - own_before)) / (wall * len(os.sched_getaffinity(0)))
    return seconds, foreign < MOST_FOREIGN


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("src", type=Path, help="tar of photographs")
    parser.add_argument("--times", type=int, default=16, help="copies of each photograph (default 16)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each kind (default 5)")
    parser.add_argument("--format", default="webdataset", choices=("folder", "webdataset"))
    arguments = parser.parse_args()
    runs = {"array": through_array, "dask": through_dask}
    seconds: dict[tuple[str, int], list[float]] = {(kind, n): [] for kind in KINDS for n in (1, 2)}
    disturbed = 0
    with tempfile.TemporaryDirectory(prefix="texneg-workers-") as scratch:
        photos = f"{scratch}/photos"
        images = unpacked(arguments.src, Path(photos), classes=CLASSES, times=arguments.times)
        for number in range(TRIES * arguments.rounds):
            for (kind, processes), counted in seconds.items():
                dst = f"{scratch}/{kind}-{processes}-{number}"
                size = images // SHARDS
                config = SynthConfig.flat(
                    photos, dst, format=arguments.format, shard_size=size, part_size=size
                )
                if len(counted) == arguments.rounds:
                    continue
                taken, alone = undisturbed(lambda: runs[kind](config, processes))  # noqa: B023
                print(kind, processes, f"{taken:.2f} s", "" if alone else "disturbed", flush=True)
                disturbed += not alone
                if alone:
                    counted.append(taken)
    middle = {key: median(values) for key, values in seconds.items()}
    results: dict[str, Any] = {
        "images": images,
        "format": arguments.format,
        "runs of each kind": arguments.rounds,
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
    options = f"--times {arguments.times} --rounds {arguments.rounds} --format {arguments.format}"
    command = f"python benchmarks/workers.py {arguments.src.name} {options}"
    about = {**environment(), "command": command}
    OUT.write_text(json.dumps({"environment": about, **results}, indent=2) + "\n")
    print(OUT)


if __name__ == "__main__":
    main()
