"""The pages in docs/clusters: their commands are understood, and the job array runs as it is printed."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from texneg.cli.main import VERBS, load, parse
from texneg.synth.synth import SynthConfig

PAGES = Path(__file__).parents[2] / "docs" / "clusters"
Run = Callable[..., Path]
State = Callable[[Path], Any]

SBATCH = """#!/bin/bash
# Runs a job at once, and every task of an array one after the other.
for word in "$@"; do
    case $previous in --wrap) wrap=$word ;; esac
    previous=$word
done
if [ -n "$wrap" ]; then bash -c "$wrap" >&2 || exit 1
else
    last=$(sed -n 's/^#SBATCH --array=0-//p' "$previous")
    for task in $(seq 0 "$last"); do SLURM_ARRAY_TASK_ID=$task bash "$previous" >&2 || exit 1; done
fi
echo 17
"""


def blocks(page: str, language: str) -> list[str]:
    """Code blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (PAGES / page).read_text(), re.M | re.S)


def commands() -> list[str]:
    """Every `texneg` command line of the pages and of the manifest."""
    found: list[str] = []
    for page in sorted(PAGES.glob("*.md")):
        code = "\n".join(re.findall(r"^```\w*\n(.*?)^```$", page.read_text(), re.M | re.S))
        code = code.replace("\\\n", " ")
        found += re.findall(r"""\btexneg (?:synth|verify)[^'\n>]*""", code)
    jobs = list(yaml.safe_load_all((PAGES / "daskjob.yaml").read_text()))
    found.append(shlex.join(jobs[0]["spec"]["job"]["spec"]["containers"][0]["args"]))
    return found


@pytest.mark.parametrize("line", commands())
def test_commands_are_understood(line: str) -> None:
    verb, *words = shlex.split(line.replace("$SLURM_ARRAY_TASK_ID", "7"))[1:]
    parsed = parse(load(VERBS[verb][0])[1], verb, words)
    if isinstance(parsed, SynthConfig) and not parsed.action.print_dask_config:
        parsed.check()


def test_all_pages_show_commands_and_are_linked() -> None:
    assert len(commands()) > 12
    index = (PAGES / "README.md").read_text()
    assert all(f"({page.name})" in index for page in PAGES.glob("*.md") if page.name != "README.md")


def test_the_manifest_is_one_cluster() -> None:
    job, autoscaler = yaml.safe_load_all((PAGES / "daskjob.yaml").read_text())
    cluster = job["spec"]["cluster"]["spec"]
    name = job["metadata"]["name"]
    assert autoscaler["spec"]["cluster"] == name
    assert job["spec"]["job"]["spec"]["restartPolicy"] == "Never"  # by default it is started again for ever
    assert f"kubectl logs -f {name}-runner" in (PAGES / "kubernetes.md").read_text()
    assert cluster["scheduler"]["service"]["selector"]["dask.org/cluster-name"] == name
    assert cluster["worker"]["spec"]["containers"][0]["args"][:2] == ["dask", "worker"]
    ports = cluster["scheduler"]["spec"]["containers"][0]["ports"]
    assert {port["name"] for port in ports} == {
        port["targetPort"] for port in cluster["scheduler"]["service"]["ports"]
    }


def test_the_job_array_runs_as_printed(photos: Path, run: Run, state: State, tmp_path: Path) -> None:
    script, submit = blocks("slurm-array.md", "bash")
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "sbatch").write_text(SBATCH)
    (commands / "srun").write_text('#!/bin/sh\nexec "$@"\n')
    own = "--size 32 --exemplar-size 24 --shard-size 5"
    (commands / "texneg").write_text(f'#!/bin/sh\nexec {sys.executable} -m texneg "$@" {own}\n')
    for file in commands.iterdir():
        file.chmod(0o755)
    assert "--array=0-99" in script
    assert "/100" in script
    script = script.replace("--array=0-99", "--array=0-2").replace("/100", "/3")
    (tmp_path / "texneg.sbatch").write_text(script)
    submit = re.sub("SRC=.*", f"SRC={photos} DST={tmp_path / 'out'}", submit, count=1)
    path = f"{commands}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        ["bash", "-e", "-c", submit],
        check=False,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["17"]
    assert "24 textures in" in done.stderr
    assert state(tmp_path / "out") == state(run(photos, "whole", shard_size=5))


SRUN = """#!/bin/sh
# Sends a job, once, the signal before its end: as soon as it has trained a little.
if [ ! -e "$OUT.warned" ]; then
    touch "$OUT.warned"
    (until [ -s "$OUT/metrics.jsonl" ]; do sleep 0.1; done; kill -USR1 $$) &
fi
exec "$@"
"""


def test_a_training_is_requeued_where_the_signal_stopped_it(photos: Path, tmp_path: Path) -> None:
    script, *_ = blocks("slurm-pretrain.md", "bash")
    commands = {
        "srun": SRUN,
        "scontrol": f'#!/bin/sh\necho "$@" >> {tmp_path}/requeued\n',
        "texneg": f'#!/bin/sh\nexec {sys.executable} -m texneg "$@"\n',
    }
    (tmp_path / "bin").mkdir()
    for name, text in commands.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    recipe = "demo --batch 8 --bn-group 8 --queue 8 --epochs 4000 --width 4 --image-size 16 --log-every 1"
    run = {"DATA": str(photos), "OUT": str(tmp_path / "run"), "SLURM_JOB_ID": "17"}
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    script = script.replace("--workers 11", "--workers 1")
    for status, more in ((130, ""), (0, " --stop-after 3")):
        done = subprocess.run(
            ["bash", "-c", script],
            check=False,
            env={**os.environ, **run, "RECIPE": recipe + more, "PATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, done.stderr
        assert (tmp_path / "requeued").read_text() == "requeue 17\n"
    assert "stopped as asked" in done.stdout
