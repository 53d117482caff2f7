"""Workers through SLURM, by dask-jobqueue: jobs submitted from a login node, or the tasks of one srun."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask

from texneg.cli.signals import STOP_SIGNALS, block_stop_signals
from texneg.cores import available_cores
from texneg.errors import InputError
from texneg.synth.config import Compute
from texneg.synth.executors.tuning import ENVIRONMENT, TUNING, UNENDING, nested_tuning

SPARE_S = 300  # before the end of a job, in which its workers take no further task
STAGGER = "4m"
CACHE = "NUMBA_CACHE_DIR=${TMPDIR:-/tmp}/texneg-numba-$(id -u)"  # compiled code, not on a network file system
MISSING = "needs dask-jobqueue: pip install 'texneg[slurm]'"


def check_slurm(compute: Compute) -> None:
    """Refuse a cluster that SLURM could not start."""
    try:
        import dask_jobqueue  # noqa: F401
    except ImportError:
        raise InputError(f"--cluster {compute.cluster} {MISSING}") from None
    if compute.cluster == "slurm" and shutil.which("sbatch") is None:
        raise InputError("--cluster slurm: sbatch is not found here; run this on a login node of the cluster")
    given = {**dask.config.get("jobqueue.slurm", {}), **_parse_options(compute.cluster_option)}
    if compute.cluster == "slurm" and not (given.get("cores") and given.get("memory")):
        raise InputError(
            "--cluster slurm: the size of a job is not known; give --cluster-option cores=8 memory=16GB,"
            " or set them for the site in ~/.config/dask/jobqueue.yaml"
        )
    if compute.cluster == "slurm-runner" and "SLURM_PROCID" not in os.environ:
        raise InputError("--cluster slurm-runner runs inside a job: srun -n 66 texneg synth ...")


@contextmanager
def slurm_cluster(jobs: int, options: tuple[str, ...]) -> Iterator[Any]:
    """A cluster of jobs, kept at their number, with the site's `jobqueue.slurm` settings."""
    from dask_jobqueue import SLURMCluster

    with dask.config.set(UNENDING), SLURMCluster(**job_options(options)) as cluster:
        cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs)
        yield cluster


def job_options(words: tuple[str, ...]) -> dict[str, Any]:
    """Arguments of SLURMCluster: the given ones, the workers' environment, a lifetime within the walltime."""
    import dask_jobqueue  # noqa: F401 (loads the site's settings)

    options = _parse_options(words)
    site = dask.config.get("jobqueue.slurm", {})
    walltime = options.get("walltime") or site.get("walltime")
    lifetime = seconds_of(walltime) - SPARE_S if walltime else 0
    ending = ["--lifetime", f"{lifetime}s", "--lifetime-stagger", STAGGER] if lifetime > 0 else []
    inherited = dask.config.serialize(nested_tuning())
    exports = [f"export {name}={value}" for name, value in ENVIRONMENT.items()]
    exports += [f"export {CACHE}", f"export DASK_INTERNAL_INHERIT_CONFIG={inherited}"]
    return {
        **options,
        "worker_extra_args": [*(site.get("worker-extra-args") or []), *ending],
        "job_script_prologue": [*(site.get("job-script-prologue") or []), *exports],
    }


def _parse_options(words: tuple[str, ...]) -> dict[str, Any]:
    return {name: _parse_value(text) for name, _, text in (word.partition("=") for word in words)}


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def seconds_of(walltime: str) -> int:
    """Convert a SLURM time to seconds: minutes, `mm:ss`, `hh:mm:ss`, `d-hh`, `d-hh:mm` or `d-hh:mm:ss`."""
    days, dash, clock = str(walltime).rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    if dash:
        hours, minutes, seconds = [*parts, 0, 0][:3]
    elif len(parts) == 1:
        hours, minutes, seconds = 0, parts[0], 0
    else:
        hours, minutes, seconds = [0, *parts][-3:]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


@contextmanager
def srun_cluster() -> Iterator[str]:
    """Make one Dask cluster of the tasks of an srun, and yield its address.

    Task 0 schedules, task 1 continues from here, and all others work; they never return from here.

    Raises:
        InputError: fewer than three tasks.
    """
    handler = signal.getsignal(signal.SIGINT)
    from dask_jobqueue.slurm import SLURMRunner  # takes SIGINT for itself

    if int(os.environ["SLURM_NTASKS"]) < 3:
        raise InputError(
            "--cluster slurm-runner: srun needs 3 tasks or more, for scheduler, driver and workers"
        )
    os.environ.update(ENVIRONMENT)
    cores = available_cores()
    job, step = os.environ["SLURM_JOB_ID"], os.environ.get("SLURM_STEP_ID", "0")
    file = Path(f".texneg-scheduler-{job}-{step}.json")
    with dask.config.set({**TUNING, **UNENDING}):
        # Scheduler and workers stay inside, and outlive what asks the driver to stop; SIGINT ends them.
        with block_stop_signals(set(STOP_SIGNALS) - {signal.SIGINT}):
            runner = SLURMRunner(
                scheduler_file=str(file.absolute()),
                scheduler_options={"dashboard": False, "dashboard_address": ":0"},
                worker_class="distributed.Nanny",
                worker_options={"nthreads": cores, "memory_limit": 0, "dashboard_address": None},
            )
        signal.signal(signal.SIGINT, handler)
        with runner:
            try:
                yield runner.scheduler_address
            finally:
                file.unlink(missing_ok=True)
