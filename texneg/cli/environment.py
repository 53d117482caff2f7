"""The circumstances of a measurement: machine, versions, commit, load."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from texneg.cores import available_cores

PACKAGES = ("texneg", "torch", "torchvision", "numba", "numpy", "pillow", "opencv-python-headless")


def environment() -> dict[str, str]:
    """Names and values as text, in the order of a report."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["texneg", *sys.argv[1:]]),
        "commit": _commit(),
        "cpu": _field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores allowed": str(available_cores()),
        "load average": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "memory": _field("/proc/meminfo", "MemTotal"),
        "gpu": _gpu(),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set"),
    }


def _commit() -> str:
    """Return the short hash of the checkout that this file lies in, marked when files differ from it."""
    folder = Path(__file__).parent
    try:
        hash_ = _git(folder, "rev-parse", "--short", "HEAD")
        return f"{hash_} with changes" if _git(folder, "status", "--porcelain") else hash_
    except (OSError, subprocess.CalledProcessError):
        return "not a checkout"


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _field(path: str, name: str) -> str:
    """Return the value of the first `name : value` line of a /proc file; empty where there is none."""
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "none"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
