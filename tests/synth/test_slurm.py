"""Workers through SLURM, with two small scripts standing for `sbatch` and `scancel`."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import pytest

from texneg.errors import InputError
from texneg.synth.synth import SynthConfig, synth

pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")

Run = Callable[..., Path]
State = Callable[[Path], Any]

SBATCH = """#!/bin/sh
# Runs a job script at once on this machine; its number is its process group.
job={jobs}/$(basename "$1")
cp "$1" "$job"
setsid bash "$job" >"$job.log" 2>&1 &
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
kill -- -"$1" 2>/dev/null
"""


def config(src: Path, dst: Path, **options: Any) -> SynthConfig:
    return SynthConfig.flat(str(src), str(dst), **{"size": 32, "exemplar_size": 24, **options})


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands of a cluster of one machine; returns the folder of the job scripts."""
    commands, jobs = tmp_path / "bin", tmp_path / "jobs"
    commands.mkdir()
    jobs.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (commands / name).write_text(text.format(jobs=jobs))
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return jobs


def test_jobs_make_the_bytes_of_one_process(
    photos: Path, run: Run, state: State, slurm: Path, tmp_path: Path
) -> None:
    whole = state(run(photos, "whole"))
    options = ("cores=1", "memory=1GB", "walltime=04:00:00", "interface=lo")
    parts = config(photos, tmp_path / "out", part_size=3)
    with dask.config.set({"distributed.scheduler.no-workers-timeout": "1ms"}):  # jobs may queue for longer
        assert synth(parts.with_flags(cluster="slurm", jobs=2, cluster_option=options)) == 0
    assert state(tmp_path / "out") == whole
    scripts = [path.read_text() for path in slurm.glob("*.sh")]
    assert scripts
    for script in scripts:
        assert "#SBATCH -t 04:00:00" in script
        assert "export NUMBA_NUM_THREADS=1" in script
        assert "--lifetime 14100s --lifetime-stagger 4m" in script


def test_a_job_without_size_is_named(photos: Path, slurm: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give --cluster-option cores=8 memory=16GB"):
        synth(config(photos, tmp_path / "out", cluster="slurm", cluster_option=("cores=8",)))
    assert not (tmp_path / "out.texneg").exists()


def test_a_machine_without_slurm(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="sbatch is not found here"):
        synth(config(photos, tmp_path / "out", cluster="slurm"))
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    with pytest.raises(InputError, match="srun -n 66 texneg synth"):
        synth(config(photos, tmp_path / "out", cluster="slurm-runner"))
    assert not (tmp_path / "out.texneg").exists()


def test_the_tasks_of_one_srun_are_a_cluster(photos: Path, run: Run, state: State, tmp_path: Path) -> None:
    whole = state(run(photos, "whole"))
    command = config(photos, tmp_path / "out", cluster="slurm-runner", part_size=3).command()
    job = {**os.environ, "SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"}
    tasks = [
        subprocess.Popen(
            [sys.executable, "-m", *command.split()],
            env={**job, "SLURM_PROCID": str(number)},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    ends = [task.communicate(timeout=600) for task in tasks]
    assert [task.returncode for task in tasks] == [0] * 4, ends
    assert "24 textures" in ends[1][0]
    assert state(tmp_path / "out") == whole
    assert not list(tmp_path.glob(".texneg-scheduler*"))


@pytest.mark.parametrize(
    ("walltime", "seconds"),
    [("30", 1800), ("5:30", 330), ("04:00:00", 14400), ("2-0", 172800), ("1-12:30", 131400), (90, 5400)],
)
def test_times_as_slurm_writes_them(walltime: str, seconds: int) -> None:
    from texneg.synth.executors.slurm import seconds_of

    assert seconds_of(walltime) == seconds


def test_options_go_over_the_settings_of_the_site() -> None:
    import dask

    from texneg.synth.executors.slurm import job_options

    site = {"walltime": "01:00:00", "job-script-prologue": ["module load python"]}
    with dask.config.set({f"jobqueue.slurm.{name}": value for name, value in site.items()}):
        options = job_options(("cores=8", "memory=16GB", 'job_extra_directives=["--qos=low"]'))
    assert options["cores"] == 8
    assert options["memory"] == "16GB"
    assert options["job_extra_directives"] == ["--qos=low"]
    assert options["job_script_prologue"][:2] == ["module load python", "export NUMBA_NUM_THREADS=1"]
    assert options["worker_extra_args"] == ["--lifetime", "3300s", "--lifetime-stagger", "4m"]


def test_dask_settings_as_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    import yaml

    from texneg.synth.executors.tuning import TUNING

    assert synth(SynthConfig.flat(print_dask_config=True)) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["distributed"]["worker"]["profile"] == {"enabled": False}
    assert printed["distributed"]["scheduler"]["default-task-durations"] == {"texneg-shard": "60s"}

    def leaves(branch: Any, prefix: str = "") -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in branch.items():
            path = f"{prefix}{name}"
            found |= {path: value} if path in TUNING else leaves(value, f"{path}.")
        return found

    assert leaves(printed) == TUNING
