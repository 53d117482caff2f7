"""`texneg synth --dry-run`: estimate the cost of a run from eight of its images. Writes nothing."""

import tempfile
from collections import Counter
from pathlib import Path
from time import process_time

from texneg.cli.console import format_bytes, format_duration, info, out, plural
from texneg.datasets.sources.items import Item
from texneg.datasets.sources.reader import open_reader
from texneg.synth.driver.opening import Specification, check_space, plan_run, resume_run
from texneg.synth.ledger.record import Run
from texneg.synth.plan.plan import Plan, read_items
from texneg.synth.task.corrupted import choose_work
from texneg.synth.task.images import PartResult, make_outputs, prepare_process

SAMPLE = 8
SHORTEST_S, GOOD_S, LONGEST_S = 2.0, 60.0, 600.0  # of a sensible task
MANY = 1000  # tasks, from which their scheduling is noticeable


def dry_run(spec: Specification, *, overwrite: bool, cores: int, command: str) -> None:
    """Print size, cost and duration of a run on so many cores, and the command that runs it.

    Raises:
        InputError: the inputs cannot be planned, or an earlier run that stays has other settings.
        RunFailed: the outputs will not fit.
    """
    with tempfile.TemporaryDirectory(prefix="texneg-plan-") as folder:
        run = (None if overwrite else resume_run(spec)) or plan_run(spec, Path(folder))
        prepare_process()
        items = _sample(run.plan, min(SAMPLE, run.plan.images))
        # The costs of a process's first image, or first of each corruption, are no part of the estimate.
        _make(run, items if run.settings.corrupting else items[:1])
        begin = process_time()
        result = _make(run, items)
        ms = 1000 * (process_time() - begin) / len(result.rows)
        _print(run, result, ms, cores)
    out(f"nothing was written; to run it: {command}")


def _make(run: Run, items: list[Item]) -> PartResult:
    outs, work = [item.key for item in items], choose_work(run.settings)
    return make_outputs(items, outs, run.settings, lambda item: _read(run, item), work=work)


def _read(run: Run, item: Item) -> bytes:
    with open_reader(run.src, [item]) as read:
        return read(item)


def _sample(plan: Plan, count: int) -> list[Item]:
    """Images spread evenly over the plan."""
    wanted = [(2 * i + 1) * plan.images // (2 * count) for i in range(count)]
    items: list[Item] = []
    begin = 0
    for shard in plan.shards:
        for i in wanted:
            if begin <= i < begin + shard.n:
                items += read_items(plan.folder, shard, i - begin, i - begin + 1)
        begin += shard.n
    return items


def _print(run: Run, result: PartResult, ms: float, cores: int) -> None:
    plan = run.plan
    tasks = sum(plan.parts(shard) for shard in plan.shards)
    out(f"{plural(plan.images, 'image')}, {plural(len(plan.shards), 'shard')}, {plural(tasks, 'task')}")
    for line in plan.source.passed_over.lines():
        out(f"passed over: {line}")
    for broken in plan.source.broken:
        out(f"breaks off: {broken}")
    bad = Counter(row.status for row in result.rows if not row.ok)
    found = ", ".join(f"{count} {status}" for status, count in bad.items()) or "all good"
    out(f"{plural(len(result.rows), 'image')} tried: {ms:.1f} ms of CPU each; {found}")
    sizes = [len(texture.data) + len(texture.image) for texture in result.textures]
    out(f"to write: {format_bytes(plan.images * sum(sizes) / max(len(sizes), 1))}")
    cpu_s = plan.images * ms / 1000
    whole = format_duration(cpu_s / cores)
    out(f"cost: {cpu_s / 3600:.2g} core-hours, {whole} on {plural(cores, 'core')} like this one")
    check_space(run, plan.images)
    # Short tasks matter when there are many of them; long ones when another size would split them.
    task_s = min(plan.part_size, max(shard.n for shard in plan.shards)) * ms / 1000
    short = task_s < SHORTEST_S and tasks > MANY
    long = task_s > LONGEST_S and tasks > cores
    if short or long:
        fitting = max(1, round(GOOD_S * 1000 / ms))
        info(f"a task takes {task_s:.2g} s; 20 to 120 s are good: --part-size {fitting}")
