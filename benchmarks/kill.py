"""Kill a texture run in every way there is, resume it, and compare all it leaves with an undisturbed run.

Each round is a fresh run that loses, at a random moment, a worker, the scheduler, or its whole process group
to `kill -9`; a run that ended because of it is started again. Then the ways to cut the same work: 1, 2 and 4
worker processes, threads, and a job array whose tasks are killed as well. Then Ctrl-C, and a disk that fills
up (a small tmpfs, as root). Output files, manifest, quarantine and checksums must be the same to the byte,
with no temporary file left.
"""

import hashlib
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from texneg.bench.common.photographs import unpack_photos
from texneg.bench.common.results import BenchConfig, write_results
from texneg.cli.fields import Positional
from texneg.errors import RunFailed

PART = 16
SHARD = 60
CLASSES = 5
FORMATS = ("folder", "webdataset")
TIMEOUT_S = 300
SILENT: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@dataclass(frozen=True)
class KillConfig(BenchConfig):
    """Kill texture runs, resume them, and compare their bytes with those of an undisturbed run."""

    src: Positional[Path]
    """tar of photographs"""
    rounds: int = 20
    """runs to kill"""
    seed: int = 0
    """seed of the moments"""


def bench(config: KillConfig) -> int:
    """Kill, compare, print and write the results."""
    dice = random.Random(config.seed)
    lines: list[dict[str, str]] = []
    with tempfile.TemporaryDirectory(prefix="texneg-kill-") as scratch:
        folder = Path(scratch)
        src = folder / "photos"
        unpack_photos(config.src, src, classes=CLASSES)
        expected = {}
        for form in FORMATS:
            finish(command(src, folder / f"whole-{form}", form, "--executor", "sync"))
            expected[form] = hash_outputs(folder / f"whole-{form}")

        def compare(what: str, form: str, dst: Path, how: str) -> None:
            if hash_outputs(dst) != expected[form]:
                raise RunFailed(f"{what}, {form}: other bytes than the undisturbed run")
            lines.append({"what": what, "format": form, "how": how})
            print(f"{len(lines):3} {what:<20}{form:<12}{how}; same bytes", flush=True)

        for number in range(config.rounds):
            what, form = list(KILLS)[number % 3], FORMATS[number // 3 % 2]
            dst = folder / f"kill-{number}"
            compare(f"kill {what}", form, dst, KILLS[what](src, dst, form, dice))
        for form in FORMATS:
            for workers, threads in ((1, 1), (2, 1), (4, 1), (2, 2)):
                dst = folder / f"way-{form}-{workers}-{threads}"
                options = ("--workers", str(workers), "--threads-per-worker", str(threads))
                finish(command(src, dst, form, *options))
                compare("cut", form, dst, f"{workers} cores, {threads} threads a process")
            ways = {"job array": kill_job_array, "Ctrl-C": interrupt}
            if os.geteuid() == 0:
                ways["full disk"] = fill_disk
            for what, way in ways.items():
                dst = folder / f"{what.replace(' ', '-')}-{form}"
                compare(what, form, dst, way(src, dst, form, dice))
    write_results(config, {"runs": lines})
    return 0


def command(src: Path, dst: Path, form: str, *options: str) -> list[str]:
    """The command line of a `texneg synth`."""
    cut = f"--format {form} --shard-size {SHARD} --part-size {PART}"
    return [sys.executable, "-m", "texneg", "synth", str(src), str(dst), *cut.split(), *options]


def start(words: list[str]) -> "subprocess.Popen[str]":
    """Start a command in a process group of its own."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(words, start_new_session=True, text=True, **pipes)


def finish(words: list[str]) -> None:
    """Run a command to its end, which must be status 0."""
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode:
        raise RunFailed(f"{shlex.join(words)} ended with {done.returncode}:\n{done.stderr}")


def hash_outputs(dst: Path) -> str:
    """Hash all that a run promises to reproduce; no temporary file may be left."""
    ledger = dst.with_name(f"{dst.name}.texneg")
    left = [p for root in (dst, ledger) for p in root.rglob(".*") if p.is_file()]
    if left or (ledger / "parts").exists() or (ledger / "lock").exists():
        raise RunFailed(f"left behind in {dst}: {left}")
    tables = [ledger / "manifest/part-00000.parquet", ledger / "quarantine.parquet", ledger / "SHA256SUMS"]
    digest = hashlib.sha256()
    for path in [*sorted(p for p in dst.rglob("*") if p.is_file()), *tables]:
        name = path.relative_to(dst.parent) if path in tables else path.relative_to(dst)
        digest.update(f"{str(name).removeprefix(dst.name)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def count_images(dst: Path) -> int:
    """Count the images in the markers of parts and shards."""
    ledger = dst.with_name(f"{dst.name}.texneg")
    shards, parts = list(ledger.glob("done/**/*.json")), list(ledger.glob("parts/**/*.json"))
    return SHARD * len(shards) + PART * len(parts)


def wait_for(condition: Callable[[], bool]) -> None:
    """Poll a condition a few hundred times a second."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise RunFailed(f"the run made no progress in {TIMEOUT_S} s")
        time.sleep(0.003)


def wait_for_random_moment(dst: Path, run: "subprocess.Popen[str]", dice: random.Random) -> None:
    """Wait until a random number of images is committed, and a little longer."""
    goal = dice.randrange(0, 200)
    wait_for(lambda: count_images(dst) > goal or run.poll() is not None)
    time.sleep(dice.uniform(0, 0.3))


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, list["subprocess.Popen[bytes]"]]]:
    """Start a scheduler and two workers; yield the scheduler's file and the processes in that order."""
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    own: dict[str, Any] = {**SILENT, "start_new_session": True}
    scheduler = "-m distributed.cli.dask_scheduler --host 127.0.0.1 --port 0 --dashboard-address 127.0.0.1:0"
    worker = "-m distributed.cli.dask_worker --nthreads 1 --no-dashboard --memory-limit 0"
    processes = [subprocess.Popen([sys.executable, *scheduler.split(), "--scheduler-file", str(file)], **own)]
    wait_for(file.exists)
    processes += [
        subprocess.Popen([sys.executable, *worker.split(), "--scheduler-file", str(file)], cwd=folder, **own)
        for _ in range(2)
    ]
    try:
        yield str(file), processes
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def find_worker(nanny: int) -> int:
    """Find the worker process that a Dask nanny started, perhaps beside Python's resource tracker."""
    files = Path(f"/proc/{nanny}/task").glob("*/children")
    children = [pid for file in files for pid in file.read_text().split()]
    for pid in children:
        if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return int(pid)
    raise RunFailed(f"the nanny {nanny} has no worker")


def lose_worker(src: Path, dst: Path, form: str, dice: random.Random) -> str:
    """Kill a worker process; its nanny starts another, and the run goes on."""
    with cluster(dst.parent) as (file, processes):
        run = start(command(src, dst, form, "--scheduler", file))
        wait_for_random_moment(dst, run, dice)
        victim = find_worker(dice.choice(processes[1:]).pid)
        when = count_images(dst)
        os.kill(victim, signal.SIGKILL)
        errors = run.communicate(timeout=TIMEOUT_S)[1]
        if run.returncode:
            raise RunFailed(f"the run did not survive the loss of a worker: {errors}")
    return f"after {when} images, went on"


def lose_scheduler(src: Path, dst: Path, form: str, dice: random.Random) -> str:
    """Kill the scheduler: the driver names the command to resume with, which works on another scheduler."""
    with cluster(dst.parent) as (file, processes):
        run = start(command(src, dst, form, "--scheduler", file))
        wait_for_random_moment(dst, run, dice)
        when = count_images(dst)
        os.kill(processes[0].pid, signal.SIGKILL)
        errors = run.communicate(timeout=TIMEOUT_S)[1]
    if run.returncode == 0:
        return f"after {when} images, when it was over"
    if run.returncode != 1 or "is gone" not in errors or "resume: texneg synth" not in errors:
        raise RunFailed(f"the run did not say that its scheduler is gone: {run.returncode} {errors}")
    with cluster(dst.parent) as (file, _):
        finish(command(src, dst, form, "--scheduler", file))
    return f"after {when} images, exit 1, resumed"


def lose_everything(src: Path, dst: Path, form: str, dice: random.Random) -> str:
    """Kill driver, scheduler and workers at once, twice; resume."""
    when = []
    for _ in range(2):
        run = start(command(src, dst, form, "--workers", "2", "--threads-per-worker", "1"))
        wait_for_random_moment(dst, run, dice)
        when.append(str(count_images(dst)))
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
    finish(command(src, dst, form, "--workers", "2"))
    return f"after {' and '.join(when)} images, resumed"


def kill_job_array(src: Path, dst: Path, form: str, dice: random.Random) -> str:
    """Kill each of three tasks without a scheduler once and repeat it; then join their shards."""
    finish(command(src, dst, form, "--plan-only"))
    for task in range(3):
        words = command(src, dst, form, "--task", f"{task}/3", "--workers", "1")
        run, before = start(words), count_images(dst)
        wait_for(lambda: count_images(dst) > before or run.poll() is not None)  # noqa: B023
        time.sleep(dice.uniform(0, 0.1))
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        finish(words)
    finish(command(src, dst, form, "--finalize"))
    return "each of 3 tasks killed once"


def interrupt(src: Path, dst: Path, form: str, dice: random.Random) -> str:
    """Send Ctrl-C to the process group: a drain, exit 130, and the same command goes on."""
    run = start(command(src, dst, form, "--workers", "2"))
    wait_for_random_moment(dst, run, dice)
    begin = time.monotonic()
    os.killpg(run.pid, signal.SIGINT)
    errors = run.communicate(timeout=TIMEOUT_S)[1]
    seconds = time.monotonic() - begin
    if run.returncode == 0:
        return "when it was over"
    if run.returncode != 130 or "resume: texneg synth" not in errors or "Traceback" in errors:
        raise RunFailed(f"Ctrl-C: {run.returncode} {errors}")
    finish(command(src, dst, form, "--workers", "2"))
    return f"exit 130 after {seconds:.1f} s, resumed"


def fill_disk(src: Path, dst: Path, form: str, dice: random.Random) -> str:
    """Fill the disk (a tmpfs): exit 1 with the remedy; with room again the run goes on."""
    mount = dst.parent / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "none", str(mount)], check=True)
    try:
        words = command(src, mount / "out", form, "--workers", "2")
        run = start(words)
        wait_for_random_moment(mount / "out", run, dice)
        when, taken = count_images(mount / "out"), mount / "taken"
        with suppress(OSError), taken.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        errors = run.communicate(timeout=TIMEOUT_S)[1]
        if run.returncode != 1 or "make room" not in errors or "resume: texneg synth" not in errors:
            raise RunFailed(f"full disk: {run.returncode} {errors}")
        taken.unlink()
        finish(words)
        shutil.copytree(mount / "out", dst)
        shutil.copytree(mount / "out.texneg", dst.with_name(f"{dst.name}.texneg"))
    finally:
        subprocess.run(["umount", str(mount)], check=True)
        mount.rmdir()
    return f"after {when} images, exit 1, resumed with room"


KILLS = {"worker": lose_worker, "scheduler": lose_scheduler, "process group": lose_everything}
