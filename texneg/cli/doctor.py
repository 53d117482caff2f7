"""`texneg doctor`: what this machine has, as a bug report needs it, and remedies for what is in the way."""

import os
import platform
import re
import resource
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from texneg.cli import console
from texneg.cli.environment import environment

FEW_FILES, LITTLE_SPACE = 256, 2**30
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "CUDA_VISIBLE_DEVICES")


@dataclass(frozen=True)
class DoctorConfig:
    """Show machine, limits and versions; paste the output into a bug report."""


@dataclass(frozen=True)
class Finding:
    """One line of the output."""

    name: str
    value: str
    remedy: str = ""
    """what to do about it; empty where nothing is in the way"""


def doctor(config: DoctorConfig) -> int:
    """Print the sections; returns 1 if something is in the way, else 0."""
    sections = {
        "Machine": list(find_machine()),
        "GPU": list(find_gpu()),
        "Files": list(find_files()),
        "Packages": list(find_packages()),
    }
    for heading, findings in sections.items():
        console.out(f"{heading}\n{write(findings)}\n")
    remedies = [finding for findings in sections.values() for finding in findings if finding.remedy]
    if not remedies:
        console.out("Nothing is in the way.")
    for finding in remedies:
        console.out(f"{finding.name}: {finding.remedy}")
    return int(bool(remedies))


def write(findings: Sequence[Finding]) -> str:
    """Write a line for each finding; a mark stands before those with a remedy."""
    width = max(len(finding.name) for finding in findings)
    return "\n".join(
        f"{'!' if finding.remedy else ' '} {finding.name:<{width}}  {finding.value}" for finding in findings
    )


def find_machine() -> Iterator[Finding]:
    """Find versions, processor, cores, memory, and the variables that limit threads."""
    told = environment()
    yield Finding("texneg", f"{told['texneg']}, commit {told['commit']}")
    yield Finding("python", f"{told['python']}, {hide_home(sys.executable)}")
    yield Finding("system", platform.platform())
    yield Finding("processor", told["cpu"])
    yield Finding(
        "cores", f"{told['cores allowed']} allowed of {os.cpu_count()}, load {told['load average']}"
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = "".join(f", limited to {limit}" for limit in memory_limits())
    yield Finding("memory", console.format_bytes(memory) + limits)
    for name in THREADS:
        if name in os.environ:
            yield Finding(name, os.environ[name])


def memory_limits(root: Path = Path("/sys/fs/cgroup")) -> Iterator[str]:
    """Find the memory limit of the container, where there is one."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            limit = int((root / name).read_text("ascii"))
        except (OSError, ValueError):  # not of this version, or "max"
            continue
        if limit < 2**62:
            yield console.format_bytes(limit)


def find_gpu() -> Iterator[Finding]:
    """Find CUDA devices, and what runs on them."""
    import torch

    from texneg.devices import runs_triton

    driver = Path("/proc/driver/nvidia/version").is_file()
    built = torch.version.cuda
    if not torch.cuda.is_available():
        remedy = "torch does not see the GPU of this machine; " + (
            f"its CUDA {built} needs a newer driver, or the container was started without GPUs"
            if built
            else "it was built without CUDA: see pytorch.org for one with it"
        )
        yield Finding("CUDA", f"no device, torch built with {built or 'none'}", remedy if driver else "")
    for i in range(torch.cuda.device_count()):
        device = torch.device("cuda", i)
        about = torch.cuda.get_device_properties(i)
        yield Finding(
            str(device),
            f"{about.name}, {console.format_bytes(about.total_memory)}, compute capability"
            f" {about.major}.{about.minor}, CUDA {built}",
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            runs = runs_triton(device)
        remedy = "; ".join(str(warning.message) for warning in caught)
        yield Finding(f"triton on {device}", "runs" if runs else "does not run", remedy)
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc")
    yield Finding("C compiler", hide_home(compiler) if compiler else "none (Triton needs one)")


def find_files() -> Iterator[Finding]:
    """Find folders for compiled code and temporary files, shared memory, and the limit of open files."""
    from texneg.jit import cache_folder

    compiled = cache_folder(Path(__file__).absolute().parent.parent / "patches")
    yield Finding(
        "compiled code",
        "kept nowhere" if compiled is None else hide_home(compiled),
        "each process compiles again; set NUMBA_CACHE_DIR to a writable folder" if compiled is None else "",
    )
    temporary = tempfile.gettempdir()
    free = shutil.disk_usage(temporary).free
    yield Finding(
        "temporary files",
        f"{temporary}, {console.format_bytes(free)} free",
        "little space; set TMPDIR to a folder with more" if free < LITTLE_SPACE else "",
    )
    if Path("/dev/shm").is_dir():
        yield Finding("/dev/shm", f"{console.format_bytes(shutil.disk_usage('/dev/shm').free)} free")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield Finding(
        "open files",
        f"{soft} at most, {hard} after ulimit -n",
        "few; raise it with ulimit -n 4096" if 0 <= soft < FEW_FILES else "",
    )


def find_packages() -> Iterator[Finding]:
    """Find the version of each package that texneg needs, and of those of its extras that are there."""
    for requirement in map(Requirement, requires("texneg") or ()):
        extra = re.fullmatch(r"extra == .(\w+).", str(requirement.marker or ""))
        if extra and extra[1] == "dev":
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            if not extra:
                yield Finding(requirement.name, "not installed", f'pip install "{requirement}"')
            continue
        fits = requirement.specifier.contains(found, prereleases=True)
        yield Finding(
            f"{requirement.name} [{extra[1]}]" if extra else requirement.name,
            found if fits else f"{found}, texneg needs {requirement.specifier}",
            "" if fits else f'pip install "{requirement.name}{requirement.specifier}"',
        )


def hide_home(path: str | os.PathLike[str]) -> str:
    """Write a path with `~` for the home folder, since a bug report is public."""
    home, text = str(Path.home()), str(path)
    return f"~{text[len(home) :]}" if len(home) > 1 and text.startswith(f"{home}/") else text
