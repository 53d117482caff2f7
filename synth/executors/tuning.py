"""Dask's settings for few tasks of many seconds: cheap idle processes, no threads within threads."""

from typing import Any

# numba and BLAS read these when they are imported.
ENVIRONMENT = {
    "NUMBA_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}

# No profiler, no spilling, slow ticks: idle load falls to about a quarter.
TUNING = {
    "distributed.scheduler.allowed-failures": 3,
    "distributed.scheduler.default-task-durations": {"texneg-shard": "60s"},
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.monitor-interval": "1s",
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.nanny.pre-spawn-environ": ENVIRONMENT,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.system-monitor.gil.enabled": False,
}

# The run ends the clusters that it starts, however long the last task, or SLURM's queue, keeps workers away.
UNENDING = {
    "distributed.scheduler.idle-timeout": None,
    "distributed.scheduler.no-workers-timeout": None,
}

_HEADER = """\
# For schedulers and workers that texneg does not start itself: ~/.config/dask/texneg.yaml on every node.
# On preemptible nodes raise allowed-failures to 30. Where home folders are on a network, also set
# NUMBA_CACHE_DIR to a node-local folder in the workers' environment.
"""


def nested_tuning() -> dict[str, Any]:
    """The settings as nested dictionaries."""
    root: dict[str, Any] = {}
    for name, value in TUNING.items():
        *folders, last = name.split(".")
        branch = root
        for folder in folders:
            branch = branch.setdefault(folder, {})
        branch[last] = value
    return root


def tuning_yaml() -> str:
    """The settings as a file for Dask's configuration folder."""
    import yaml

    return _HEADER + yaml.safe_dump(nested_tuning(), sort_keys=False)
