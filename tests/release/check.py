"""`make release-check`: wheel and sdist in clean environments, from the lowest dependencies to the newest.

The tree is copied, built as sdist and wheel, and the wheel once more from the sdist. The wheel is installed
for each Python that uv finds or fetches, with the newest dependencies, and for the oldest Python with the
lowest that pyproject.toml allows; there `smoke.py` uses it as a newcomer would. An environment that cannot be
made is a failure, unless no such Python is to be had: then the dependencies are resolved for it from wheels
alone, which is less.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMOKE = Path(__file__).with_name("smoke.py")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
LOWEST = "lowest-direct"  # uv's word: the lowest of our own dependencies, and of theirs what suits


def main() -> int:
    """Check everything, print a line for each environment; 1 if any of them failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pythons", nargs="*", default=PYTHONS, help="versions to install for")
    parser.add_argument("--no-lowest", dest="lowest", action="store_false", help="leave the lowest ones out")
    parser.add_argument("--keep", action="store_true", help="keep the folder of environments and logs")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="texneg-release-"))
    try:
        wheel = build(folder)
        plan = [(PYTHONS[0], LOWEST)] * options.lowest + [(python, "highest") for python in options.pythons]
        results = [check(folder, wheel, python, resolution) for python, resolution in plan]
        return int(not all(results))
    finally:
        if options.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder)


def build(folder: Path) -> Path:
    """Build sdist and wheel from a copy of the tracked files, and compare the wheel with one of the sdist."""
    tree, dist = folder / "tree", folder / "dist"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, tracked.decode().split("\0")):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    make = [sys.executable, "-m", "build", "--no-isolation"]
    run([*make, "--sdist", "--wheel", "--outdir", str(dist)], tree)
    (sdist,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    run([*make, "--wheel", "--outdir", str(folder / "again")], unpacked)
    (again,) = (folder / "again").glob("*.whl")
    names, others = (set(zipfile.ZipFile(path).namelist()) for path in (wheel, again))
    if names != others:
        sys.exit(f"the wheel of the sdist differs from that of the tree: {sorted(names ^ others)}")
    print(f"{wheel.name}: {len(names)} files, the same from the tree and from {sdist.name}", flush=True)
    return wheel


def check(folder: Path, wheel: Path, python: str, resolution: str) -> bool:
    """Install the wheel into a new environment and use it there; print and return the outcome."""
    begin, name = time.monotonic(), f"{python}-{resolution}"
    home, log = folder / name, folder / f"{name}.log"
    uv = [str(Path(sys.executable).with_name("uv"))]
    versions = ""
    try:
        try:
            run([*uv, "venv", "--quiet", "--python", python, str(home / "env")], folder, log)
        except Failure:
            resolved = [
                *uv,
                "pip",
                "compile",
                "--quiet",
                "--python-version",
                python,
                "--only-binary",
                ":all:",
            ]
            run(
                [*resolved, "--no-annotate", "-o", str(folder / f"{name}.txt"), "-"],
                folder,
                log,
                input=f"texneg @ {wheel.as_uri()}",
            )
            print(
                f"{name}: no such Python here; every dependency has a wheel for it, nothing was run",
                flush=True,
            )
            return True
        # uv takes the lowest of what is named to it, which the dependencies of a wheel are not.
        resolve = [*uv, "pip", "compile", "--quiet", "--python-version", python, "--resolution", resolution]
        run(
            [*resolve, "--no-header", "-o", str(home / "pins.txt"), str(folder / "tree" / "pyproject.toml")],
            folder,
            log,
        )
        install = [*uv, "pip", "install", "--quiet", "--python", str(home / "env" / "bin" / "python")]
        run([*install, "-r", str(home / "pins.txt")], folder, log)
        run([*install, "--no-deps", str(wheel)], folder, log)
        (home / "work").mkdir()
        # -P: a folder of the checkout must not be found in place of what is installed
        used = run([str(home / "env" / "bin" / "python"), "-P", str(SMOKE)], home / "work", log)
        versions = used.strip().splitlines()[-1]
    except Failure as failure:
        print(f"{name}: FAILED: {failure}", flush=True)
        return False
    finally:
        shutil.rmtree(home / "env", ignore_errors=True)
    print(f"{name}: good after {time.monotonic() - begin:.0f} s; {versions}", flush=True)
    return True


class Failure(Exception):
    """A command that did not end with 0, with the last line that it printed."""


def run(words: list[str], cwd: Path, log: Path | None = None, *, input: str | None = None) -> str:
    """Run a command; return what it printed, which is also appended to the log."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(words, cwd=cwd, env=clean, capture_output=True, text=True, check=False, input=input)
    if log:
        with log.open("a") as file:
            file.write(f"$ {' '.join(words)}\n{done.stdout}{done.stderr}")
    if done.returncode:
        lines = re.sub(r"\x1b\[[\d;]*m", "", done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise Failure(f"{Path(words[0]).name} ended with {done.returncode}: " + " | ".join(lines[-3:]))
    return done.stdout


if __name__ == "__main__":
    raise SystemExit(main())
