"""The number of cores that this process may use."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_ROOT, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def available_cores() -> int:
    """The cores of this process's affinity, or fewer where a container has a smaller CPU quota; at least 1.

    A quota of one and a half cores counts as two.
    """
    allowed = len(os.sched_getaffinity(0))
    return max(1, min([allowed, *(-(-quota // period) for quota, period in _quotas(_ROOT, _OWN))]))


def _quotas(root: Path, own: Path) -> Iterator[tuple[int, int]]:
    """Microseconds of CPU time per period of the process's control groups (v1 or v2) and all above them.

    Args:
        root: where control groups are mounted.
        own: the file that names those of the process: lines of `number:controllers:path`.
    """
    try:
        lines = own.read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        mounts = (root / "cpu", root / controllers) if controllers else (root,)
        inside = PurePosixPath("/", path).relative_to("/")
        for group in (inside, *inside.parents):  # a container may not see its own path, only the mount
            for mount in mounts:
                yield from _quota(mount / group)


def _quota(group: Path) -> Iterator[tuple[int, int]]:
    """Quota and period of one control group, if it has a quota."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((group / name).read_text("ascii") for name in names).split()
            if int(quota) > 0 and int(period) > 0:
                yield int(quota), int(period)
        except (OSError, ValueError):  # not of this version, or "max"
            continue
