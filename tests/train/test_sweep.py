"""`texneg study`: arms from flags or a file, shares of a job array, and a study from the command line."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from texneg.cli.main import main
from texneg.datasets.toy.embedded import EmbeddedConfig, write_embedded
from texneg.errors import InputError
from texneg.train.flags import change
from texneg.train.recipes import find_recipe
from texneg.train.sweep import plan_study, read_command, share_jobs

TINY = ("--epochs", "2", "--batch", "16", "--bn-group", "16", "--queue", "32", "--log-every", "1")


def read(*words):
    return read_command(["demo", "--data", "images", *words])


def test_arms_are_all_combinations_of_the_values_and_their_baselines():
    arms = read("--sweep", "alpha=1,2", "patch-size=2 4,4 8", "--epochs=3").arms
    base = change(find_recipe("demo"), data="images", epochs=3)
    assert arms["baseline"].settings() == base.baseline().settings()
    assert arms["alpha 2, patch-size 4-8"] == change(base, alpha=2.0, patch_size=(4, 8))
    assert len(arms) == 1 + 4


def test_every_baseline_that_differs_is_an_arm_of_its_own():
    arms = read("--sweep", "queue=256,512", "alpha=1,2").arms
    assert list(arms)[:2] == ["baseline, queue 256", "baseline, queue 512"]
    assert arms["baseline, queue 256"].method.queue == 256
    assert len(arms) == 2 + 4
    assert list(read("--sweep", "negatives=none,patch").arms) == ["negatives none", "negatives patch"]
    assert list(read("--sweep", "symmetric=true,false", "--no-baseline").arms) == [
        "symmetric on",
        "symmetric off",
    ]


def test_a_file_names_its_arms(tmp_path):
    path = tmp_path / "arms.toml"
    path.write_text('["disjoint squares"]\npatch_overlap = false\n[byol]\nmethod = "byol"\nbn = "none"\n')
    arms = read("--arms", str(path)).arms
    base = change(find_recipe("demo"), data="images")
    assert arms["disjoint squares"] == change(base, patch_overlap=False)
    assert arms["byol"] == change(base, method="byol", bn="none")
    assert [name for name in arms if name.startswith("baseline")] == [
        "baseline, disjoint squares",
        "baseline, byol",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--sweep", "alpha"), "--sweep alpha: give a flag and its values"),
        (("--sweep", "alpha=1,"), "give a flag and its values"),
        (("--sweep", "alphaa=1,2"), "arm alphaa 1: --alphaa is not understood; did you mean --alpha?"),
        (("--sweep", "alpha=one,2"), "arm alpha one: .*--alpha"),
        (("--sweep", "alpha=1,2", "--out=a", "--seed=3"), "--seed is set for each run: --seeds counts them"),
        (("--sweep", "alpha=1,1"), "--sweep alpha=1,1: give each value once"),
        (("--sweep", "bn-group=4,8", "bn_group=2"), "name each flag once"),
        (("--epoch", "3"), "--epoch is not understood; did you mean --epochs?"),
        (("--arms", "none.toml"), "--arms none.toml: .*takes TOML"),
        (("--arms", "none.toml", "--sweep", "alpha=1,2"), "give one of them"),
    ],
    ids=str,
)
def test_what_is_no_arm_is_refused(words, message):
    with pytest.raises(InputError, match=message):
        read(*words)


def test_tasks_of_a_job_array_share_all_runs():
    command = read("--sweep", "alpha=1,2,3", "--seeds", "2")
    jobs = plan_study(command.config, command.arms).jobs
    shares = [share_jobs(jobs, f"{i}/3") for i in range(3)]
    assert sorted(job for share in shares for job in share) == sorted(jobs)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert share_jobs(jobs, None) == jobs
    for wrong in ("3/3", "1", "-1/3"):
        with pytest.raises(InputError, match="allowed is I/N"):
            share_jobs(jobs, wrong)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    write_embedded(folder, EmbeddedConfig(train_per_class=8, test_per_class=2, size=48))
    return folder


def test_a_study_that_is_killed_goes_on_to_the_same_encoders(toy, tmp_path, capsys):
    words = ["study", "demo", "--data", str(toy / "train"), *TINY, "--sweep", "alpha=1,2,3", "--no-baseline"]
    words += ["--seeds", "1", "--test", str(toy / "test" / "same"), "--processes", "1"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main([*words, "--out", str(whole), "--task", "0/1"]) == 0
    assert not (whole / "report.html").exists()

    code = "import sys; from texneg.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *words, "--out", str(parts)]
    options = {"start_new_session": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **options) as stopped:
        while not list(parts.glob("*/log.txt")):
            assert stopped.poll() is None
            time.sleep(0.05)
        for _ in range(3):  # an impatient user
            os.killpg(stopped.pid, signal.SIGINT)
            time.sleep(0.1)
        _, said = stopped.communicate(timeout=120)
    assert said.decode().splitlines() == ["texneg study: interrupted; run the same command again to go on"]
    killed = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
    while not list(parts.glob("*/metrics.jsonl")):
        assert killed.poll() is None
        time.sleep(0.05)
    killed.kill()  # that process alone, as the kernel does when memory runs out
    killed.wait()
    with pytest.raises(ProcessLookupError):
        for _ in range(600):  # its processes end as well
            os.killpg(killed.pid, 0)
            time.sleep(0.05)
    capsys.readouterr()
    assert main([*words, "--out", str(parts)]) == 0
    assert "report of 3 runs" in capsys.readouterr().out
    assert main([*words, "--out", str(parts), "--seeds", "2", "--lr", "0.1"]) == 2
    assert "alpha-1-s0 was made with other settings (lr 0.002 -> 0.1)" in capsys.readouterr().err
    assert not list(parts.glob("*-s1"))
    for one in whole.glob("*/encoder.pt"):
        assert one.read_bytes() == (parts / one.parent.name / "encoder.pt").read_bytes()
    page = (parts / "report.html").read_text()
    assert "Sweep of alpha" in page
    numbers = json.loads((parts / "report.json").read_text())
    assert [arm["label"] for arm in numbers["arms"]] == ["alpha 1", "alpha 2", "alpha 3"]


def test_a_study_without_labels_is_refused_before_its_runs(tmp_path, toy, capsys):
    flat = toy / "train" / "disc"
    words = [
        "study",
        "demo",
        "--data",
        str(flat),
        *TINY,
        "--sweep",
        "alpha=1,2",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(words) == 2
    assert "no class folders" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("devices", [("cuda:0", "cuda:0"), ("tpu",)], ids=str)
def test_devices_that_are_none_are_refused_before_any_run(devices, toy, tmp_path, capsys):
    words = ["study", "demo", "--data", str(toy / "train"), *TINY, "--devices", *devices]
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    assert "--device" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
