"""Act one, second scene: a texture run that loses all its processes, and the same bytes as without.

undisturbed   one process, no Dask, from beginning to end
killed        a Dask cluster; driver, scheduler and workers get SIGKILL at once; the same command again
"""

import hashlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from texneg.errors import InputError, RunFailed
from texneg.synth.status import RunStatus, read_status
from texneg.synth.synth import SynthConfig, synth
from texneg.train.demo.data import texture_run
from texneg.train.study import quiet

POLL_S = 0.02
MOST_PHOTOS = 256  # textures of photographs
SHARE = 0.25  # of the textures, after which the run is killed


def kill_and_resume(out: Path, *, workers: int, log: Callable[[str], None]) -> None:
    """Make the textures of the embedded images twice, once with a kill on the way, and compare them.

    Raises:
        RunFailed: a run ended with an error, or the bytes differ.
        KeyboardInterrupt: stopped by a signal; the same call goes on.
    """
    killed, undisturbed = out / "textures", out / "textures-undisturbed"
    config = texture_run(out, killed, workers=workers)
    log(f"    $ {config.command()}")
    if (before := find_status(killed)) and before.outcome == "complete":
        log(f"    finished before: {before.images} textures; remove {killed}* to see it killed again")
    else:
        with started(config, out / "synth.log") as run:
            wait_for_share(killed, run)
            log(f"    {kill(run, killed)}")
        log("    the same command again")
        with started(config, out / "synth.log") as run:
            printed = run.communicate()[0]
            if run.returncode:
                raise RunFailed(f"the run did not go on; why is in {out / 'synth.log'}")
        log(f"    {printed.splitlines()[0]}")
    log("    the same textures by one process without Dask, which nobody disturbs")
    with quiet(out / "synth.log"):
        status = synth(texture_run(out, undisturbed, executor="sync"))
    if status:
        raise KeyboardInterrupt
    hashes = {folder: hash_files(folder) for folder in (killed, undisturbed)}
    for folder, found in hashes.items():
        log(f"    sha256 {found[:16]}  {folder}")
    if len(set(hashes.values())) > 1:
        raise RunFailed(f"{killed} and {undisturbed} differ, which is a fault of texneg; please report it")
    log("    the same bytes")


@contextmanager
def started(config: SynthConfig, log: Path) -> Iterator["subprocess.Popen[str]"]:
    """Start a texture run in a process group of its own, none of which is left at the end."""
    words = [sys.executable, "-m", "texneg", *shlex.split(config.command())[1:]]
    with log.open("a") as errors:
        run = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        )
    try:
        yield run
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGTERM)  # the run saves what it has
        run.communicate()
        raise


def wait_for_share(dst: Path, run: "subprocess.Popen[str]") -> None:
    """Wait until a share of the textures is made, or the run is over."""
    while run.poll() is None:
        found = find_status(dst)
        if found and found.images_done >= SHARE * found.images:
            return
        time.sleep(POLL_S)


def find_status(dst: Path) -> RunStatus | None:
    """Read the state of a run; None where it has no plan yet."""
    try:
        return read_status(str(dst))
    except (InputError, FileNotFoundError):
        return None


def kill(run: "subprocess.Popen[str]", dst: Path) -> str:
    """Kill all processes of a run; returns what happened, in words."""
    processes = find_processes(run.pid)
    if run.poll() is None:
        os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    found = find_status(dst)
    if run.returncode != -signal.SIGKILL or found is None:
        return "it was over before it could be killed"
    return (
        f"kill -9 {' '.join(map(str, processes))}: driver, scheduler and workers are gone;"
        f" {found.images_done} of {found.images} textures are made"
    )


def make_textures(photos: str, dst: Path, *, workers: int, log: Callable[[str], None]) -> None:
    """Make textures of photographs, always anew, to see how fast this machine is."""
    config = SynthConfig.flat(photos, str(dst), workers=workers, limit=MOST_PHOTOS, overwrite=True)
    log(f"    $ {config.command()}")
    with started(config, dst.with_name("synth.log")) as run:
        printed = run.communicate()[0]
    if run.returncode:
        raise RunFailed(f"no textures of {photos}; why is in {dst.with_name('synth.log')}")
    log(f"    {printed.splitlines()[0]}")


def find_processes(group: int) -> list[int]:
    """Find the processes of a group."""
    found = []
    for path in Path("/proc").iterdir():
        with suppress(ValueError, ProcessLookupError):
            if os.getpgid(int(path.name)) == group:
                found.append(int(path.name))
    return sorted(found)


def hash_files(folder: Path) -> str:
    """Hash the names and bytes of all files of a folder."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
