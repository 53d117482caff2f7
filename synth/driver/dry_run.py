"""`texneg synth --dry-run`: what a run would do and cost, from eight of its images. Writes nothing."""

import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from time import process_time

from texneg.cli.console import counted, duration, say, sized
from texneg.datasets.sources.items import Item
from texneg.datasets.sources.reader import reader
from texneg.datasets.sources.sources import Source
from texneg.synth.config import SynthConfig
from texneg.synth.driver.preflight import check_space, planned
from texneg.synth.ledger.record import Run
from texneg.synth.plan.plan import Plan, read_items
from texneg.synth.task.images import Part, process_part
from texneg.synth.task.setup import prepare_process

SAMPLE = 8
SHORTEST_S, GOOD_S, LONGEST_S = 2.0, 60.0, 600.0  # of a sensible task
MANY = 1000  # tasks whose scheduling shows


def rehearse(config: SynthConfig, source: Source) -> int:
    """Print size, cost and duration of a run.

    Raises:
        InputError: the inputs cannot be planned, or the run that is there has other settings.
        RunFailed: the outputs will not fit.
    """
    with tempfile.TemporaryDirectory(prefix="texneg-plan-") as folder:
        run = planned(config, source, Path(folder))
        prepare_process()
        items = list(_spread(run.plan, min(SAMPLE, run.plan.images)))
        _made(run, items[:1])  # what a process does once is no part of the cost
        begin = process_time()
        part = _made(run, items)
        ms = 1000 * (process_time() - begin) / len(part.rows)
        _print(config, run, part, ms)
    return 0


def _made(run: Run, items: list[Item]) -> Part:
    return process_part(items, [item.key for item in items], run.settings, lambda item: _read(run, item))


def _read(run: Run, item: Item) -> bytes:
    with reader(run.src, [item]) as read:
        return read(item)


def _spread(plan: Plan, count: int) -> list[Item]:
    wanted = [(2 * i + 1) * plan.images // (2 * count) for i in range(count)]
    items: list[Item] = []
    begin = 0
    for shard in plan.shards:
        for i in wanted:
            if begin <= i < begin + shard.n:
                items += read_items(plan.folder, shard, i - begin, i - begin + 1)
        begin += shard.n
    return items


def _print(config: SynthConfig, run: Run, part: Part, ms: float) -> None:
    plan = run.plan
    tasks = sum(plan.parts(shard) for shard in plan.shards)
    sizes = [len(made.texture) + len(made.image) for made in part.made]
    size = plan.images * sum(sizes) / max(len(sizes), 1)
    cpu_s = plan.images * ms / 1000
    task_s = min(plan.part_size, max(shard.n for shard in plan.shards)) * ms / 1000
    bad = Counter(row["status"] for row in part.rows if row["status"] != "ok")
    print(f"{counted(plan.images, 'image')}, {counted(len(plan.shards), 'shard')}, {counted(tasks, 'task')}")
    for reason, count in plan.source["skipped"].items():
        print(f"passed over: {count} x {reason}")
    for broken in plan.source["broken"]:
        print(f"breaks off: {broken}")
    found = ", ".join(f"{count} {status}" for status, count in bad.items()) or "all good"
    print(f"{counted(len(part.rows), 'image')} tried: {ms:.1f} ms of CPU each; {found}")
    print(f"to write: {sized(size)}")
    whole = duration(cpu_s / config.cores)
    print(f"cost: {cpu_s / 3600:.2g} core-hours, {whole} on {counted(config.cores, 'core')} like this one")
    check_space(run, plan.images)
    # Short tasks matter where there are many of them; long ones where another size would cut them.
    short = task_s < SHORTEST_S and tasks > MANY
    long = task_s > LONGEST_S and tasks > config.cores
    if short or long:
        fitting = max(1, round(GOOD_S * 1000 / ms))
        say(f"a task takes {task_s:.2g} s; 20 to 120 s are good: --part-size {fitting}")
    print(f"nothing was written; to run it: {replace(config, dry_run=False).command(once=True)}")
