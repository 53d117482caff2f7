"""Runs in several steps (job arrays, dry runs, later inputs, second tries) give the bytes of a plain run."""

import gzip
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from texneg.cli.main import main, parse
from texneg.errors import InputError, RunFailed
from texneg.synth.config import Compute
from texneg.synth.plan.plan import load_plan
from texneg.synth.synth import SynthConfig, synth

Run = Callable[..., Path]
State = Callable[[Path], Any]
Rows = Callable[[Path], list[dict[str, Any]]]
GOOD = "ant/ant.000.JPEG"


def config(src: Path, dst: Path, **options: Any) -> SynthConfig:
    own = {"size": 32, "exemplar_size": 24, "executor": "sync", "shard_size": 5}
    return SynthConfig.flat(str(src), str(dst), **{**own, **options})


def ledger(dst: Path) -> Path:
    return dst.with_name(f"{dst.name}.texneg")


@pytest.mark.parametrize("form", ["folder", "webdataset"])
def test_a_job_array_leaves_the_bytes_of_one_run(
    photos: Path, run: Run, state: State, tmp_path: Path, form: str
) -> None:
    whole = state(run(photos, "whole", format=form, shard_size=5))
    dst = tmp_path / "array"
    assert synth(config(photos, dst, format=form, plan_only=True, part_size=3)) == 0
    for task in (2, 0, 1, 1):  # any order, one of them twice
        assert synth(config(photos, dst, format=form, task=f"{task}/3")) == 0
    assert synth(config(photos, dst, format=form, finalize=True)) == 0
    assert state(dst) == whole
    lines = [json.loads(line) for line in (ledger(dst) / "metrics.jsonl").read_text().splitlines()]
    assert sorted(line["shard"] for line in lines) == [f"all/000/{i:06d}" for i in range(5)]
    assert not list((ledger(dst) / "log").glob("metrics-*"))
    assert json.loads((ledger(dst) / "stats.json").read_text())["outcome"] == "complete"


def test_tasks_are_disjoint_and_name_what_is_missing(photos: Path, tmp_path: Path) -> None:
    dst = tmp_path / "out"
    with pytest.raises(InputError, match=r"has no plan yet; make it first: texneg synth .* --plan-only"):
        synth(config(photos, dst, task="0/2"))
    with pytest.raises(InputError, match="has no plan yet"):
        synth(config(photos, dst, finalize=True))
    assert not ledger(dst).exists()
    synth(config(photos, dst, plan_only=True))
    synth(config(photos, dst, task="1/2"))
    assert sorted(path.stem for path in (ledger(dst) / "done/all/000").glob("*.json")) == ["000001", "000003"]
    with pytest.raises(RunFailed, match=r"3 of 5 shards are not made: 0, 2, 4\. Shard k belongs to --task"):
        synth(config(photos, dst, finalize=True))
    assert synth(config(photos, dst, task="7/9")) == 0  # more tasks than shards
    assert synth(config(photos, dst)) == 0  # no array needed to end it


def test_the_images_of_a_share_are_no_larger_than_they_are(photos: Path, tmp_path: Path) -> None:
    """The size of a task's output is estimated from them."""
    dst = tmp_path / "out"
    assert synth(config(photos, dst, layout="paired", shard_size=5, plan_only=True)) == 0
    plan = load_plan(ledger(dst) / "plan")
    assert plan.input_bytes == sum(path.stat().st_size for path in photos.glob("*/*.JPEG"))
    shares = [plan.share(task, 3) for task in range(3)]
    assert sum(share.input_bytes for share in shares) == plan.input_bytes
    assert all(0 < share.input_bytes < plan.input_bytes for share in shares)


def test_a_task_without_shards_has_nothing_to_do(photos: Path, tmp_path: Path) -> None:
    paired = config(photos, tmp_path / "out", format="webdataset", layout="paired")
    assert synth(paired.with_flags(plan_only=True)) == 0
    assert synth(paired.with_flags(task="7/9")) == 0


def test_a_task_waits_for_no_lease(photos: Path, tmp_path: Path) -> None:
    dst = tmp_path / "out"
    synth(config(photos, dst, plan_only=True))
    lock = ledger(dst) / "lock"
    lock.write_text(json.dumps({"host": "elsewhere", "pid": 1, "time": 1e12}))
    assert synth(config(photos, dst, task="0/1")) == 0
    with pytest.raises(InputError, match="--steal-lock"):
        synth(config(photos, dst, finalize=True))


def test_a_task_with_other_settings_is_refused(photos: Path, tmp_path: Path) -> None:
    synth(config(photos, tmp_path / "out", plan_only=True))
    with pytest.raises(InputError, match="seed: 0 -> 3"):
        synth(config(photos, tmp_path / "out", task="0/1", seed=3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "3/3"}, "--task 3/3: allowed is I/N with I from 0 to N - 1"),
        ({"task": "x"}, "--task x: allowed is I/N"),
        ({"task": "0/2", "finalize": True}, "--task and --finalize exclude each other"),
        ({"task": "0/2", "scheduler": "tcp://a:1"}, "--task needs no scheduler"),
        ({"task": "0/2", "cluster": "slurm"}, "leave --scheduler and --cluster out"),
        ({"task": "0/2", "overwrite": True}, "--overwrite and --task exclude each other"),
        ({"extend": True, "limit": 3}, "--extend and --limit exclude each other"),
        ({"dry_run": True, "extend": True}, "--dry-run and --extend exclude each other"),
        ({"dry_run": True, "retry_quarantined": ()}, "--dry-run and --retry-quarantined exclude each other"),
        ({"jobs": 3}, "--jobs is for jobs of SLURM: add --cluster slurm, or leave it out"),
        (
            {"cluster_option": ("cores=8",), "cluster": "slurm-runner"},
            "--cluster-option is for jobs of SLURM",
        ),
        ({"cluster_option": ("cores",)}, "--cluster-option cores: allowed is name=value"),
        ({"retry_quarantined": ("ok",)}, "--retry-quarantined ok: allowed is nothing, for all, or any of"),
        ({"src": ""}, "give the images and a folder for the textures"),
    ],
)
def test_options_that_are_refused(
    photos: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    values = {"src": str(photos), "dst": str(tmp_path / "out"), **options}
    with pytest.raises(InputError, match=re.escape(message)):
        synth(SynthConfig.flat(**values))
    assert not list(tmp_path.iterdir())


def test_a_dry_run_prints_the_cost_and_writes_nothing(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(photos, tmp_path / "copy"))
    (copy / "ant" / "notes.txt").write_text("no image")
    before = sorted(tmp_path.rglob("*"))
    assert synth(config(copy, tmp_path / "out", dry_run=True)) == 0
    printed = capsys.readouterr().out
    assert "24 images, 5 shards, 5 tasks" in printed
    assert "passed over: 1 x no image by its suffix" in printed
    assert re.search(r"8 images tried: [\d.]+ ms of CPU each; all good", printed)
    assert re.search(r"to write: [\d.]+ kB", printed)
    assert "--part-size" not in printed  # nobody waits for these few tasks
    assert f"to run it: texneg synth {copy} {tmp_path / 'out'} --size 32" in printed
    assert "--dry-run" not in printed
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_finds_what_a_run_would_refuse(
    photos: Path, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dst = run(photos)
    with pytest.raises(InputError, match="size: 32 -> 64"):
        synth(config(photos, dst, dry_run=True, size=64))
    assert synth(config(photos, dst, dry_run=True, size=64, overwrite=True)) == 0
    assert re.search(r"to run it: texneg synth .* --size 64 .*--overwrite\n", capsys.readouterr().out)
    copy = Path(shutil.copytree(photos, tmp_path / "copy"))
    shutil.copy(copy / GOOD, copy / "ant/ant.000.png")
    with pytest.raises(InputError, match="would give the same output name"):
        synth(config(copy, tmp_path / "new", dry_run=True))


def test_a_dry_run_advises_on_tasks_too_short_or_too_long(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("texneg.synth.driver.dry_run.MANY", 3)
    for limits in ((2.0, 600.0), (0.0, 1e-6)):
        monkeypatch.setattr("texneg.synth.driver.dry_run.SHORTEST_S", limits[0])
        monkeypatch.setattr("texneg.synth.driver.dry_run.LONGEST_S", limits[1])
        synth(config(photos, tmp_path / "out", dry_run=True, workers=2))
        printed = capsys.readouterr().err
        assert re.search(r"a task takes [\d.e-]+ s; 20 to 120 s are good: --part-size \d+$", printed.strip())


@pytest.mark.parametrize("layout", ["textures", "paired", "compressed"])
def test_the_commands_that_a_run_prints_work(
    photos: Path,
    shards: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    layout: str,
) -> None:
    src, dst = tmp_path / "a b", tmp_path / "out"
    if layout == "compressed":
        src.mkdir()
        (src / "0.tar.gz").write_bytes(gzip.compress((shards / "00000.tar").read_bytes()))
        assert synth(config(src, dst)) == 0
    else:
        for split in ("train", "val"):
            shutil.copytree(photos, src / split)
        assert synth(config(src, dst, layout=layout)) == 0
    printed = capsys.readouterr().out.splitlines()
    commands = [shlex.split(line.partition(":")[2]) for line in printed if "texneg " in line]
    assert [words[1] for words in commands] == ["verify", "sheet"][: 1 if layout == "compressed" else 2]
    monkeypatch.chdir(tmp_path)
    for _, *words in commands:
        assert main(words) == 0


def test_later_inputs_become_shards_behind_the_others(
    photos: Path, run: Run, state: State, manifest: Rows, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(photos, tmp_path / "copy"))
    options = {"format": "webdataset", "shard_size": 10}
    dst = run(copy, **options)
    before = {path.name: path.read_bytes() for path in dst.iterdir()}
    for name in ("ant/aaa.JPEG", "cow/zzz.JPEG"):
        shutil.copy(copy / GOOD, copy / name)
    assert run(copy, **options) == dst
    assert len(manifest(dst)) == 24  # the plan is frozen
    run(copy, **options, extend=True)
    assert {name: (dst / name).read_bytes() for name in before} == before
    rows = manifest(dst)
    assert [row["key"] for row in rows[24:]] == ["ant/aaa", "cow/zzz"]
    assert [row["shard"] for row in rows[24:]] == [3, 3]
    whole = run(copy, "whole")
    texture = {row["key"]: row["out_sha256"] for row in manifest(whole)}
    assert {row["key"]: row["out_sha256"] for row in rows} == texture
    again = state(dst)
    run(copy, **options, extend=True)
    assert state(dst) == again
    moved = copy.rename(tmp_path / "moved")
    run(moved, **options)
    (moved / "cow/zzz.JPEG").unlink()
    back = moved.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="holds other images"):
        run(back, **options)


def test_later_tars_become_shards(shards: Path, run: Run, manifest: Rows, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(shards, tmp_path / "copy"))
    dst = run(copy)
    shutil.copy(copy / "00000.tar", copy / "00000b.tar")  # sorts between the two
    run(copy, extend=True)
    assert sorted(path.name for path in dst.iterdir()) == ["00000.tar", "00000b.tar", "00001.tar"]
    assert [row["shard"] for row in manifest(dst)] == [0] * 13 + [1] * 11 + [2] * 13
    by_class = run(shards, "folders", format="folder")
    copied = Path(shutil.copytree(shards, tmp_path / "copied"))
    shutil.copy(copied / "00000.tar", copied / "00002.tar")
    with pytest.raises(InputError, match="would be written more than once"):
        synth(config(copied, by_class, format="folder", extend=True, shard_size=1000))


def test_repaired_images_are_tried_again(
    photos: Path, run: Run, state: State, manifest: Rows, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(photos, tmp_path / "copy"))
    good = (copy / GOOD).read_bytes()
    (copy / "ant/broken.JPEG").write_bytes(good[:300])
    (copy / "bee/gone.JPEG").write_bytes(b"")
    (copy / "cow/page.JPEG").write_bytes(b"<html>")
    dst = run(copy, shard_size=5)
    assert [row["status"] for row in manifest(dst) if row["status"] != "ok"] == [
        "truncated",
        "empty",
        "unsupported",
    ]
    before = state(dst)
    (copy / "bee/gone.JPEG").unlink()
    assert run(copy, retry_quarantined=("unsupported",)) == dst
    assert state(dst) == before
    (copy / "ant/broken.JPEG").write_bytes(good)
    run(copy, retry_quarantined=())
    assert "3 images of the quarantine tried again" in capsys.readouterr().err
    rows = {row["key"]: row["status"] for row in manifest(dst) if row["status"] != "ok"}
    assert rows == {"bee/gone": "empty", "cow/page": "unsupported"}
    assert (dst / "ant/broken.webp").exists()


def test_step_options_are_understood_on_the_command_line() -> None:
    parsed = parse(
        SynthConfig, "synth", ["a", "b", "--task", "3/8", "--cluster-option", "cores=8", "queue=short"]
    )
    assert parsed.action.array_task == (3, 8)
    assert parsed.compute.cluster_option == ("cores=8", "queue=short")
    assert parse(SynthConfig, "synth", ["a", "b", "--retry-quarantined"]).action.retry_quarantined == ()
    retried = parse(SynthConfig, "synth", ["a", "b", "--retry-quarantined", "empty", "timeout"])
    assert retried.action.retry_quarantined == ("empty", "timeout")
    assert parsed.command() == "texneg synth a b --cluster-option cores=8 queue=short --task 3/8"


def test_one_core_makes_its_task_in_this_process() -> None:
    assert Compute(workers=1).resolve(array_task=True).in_process
    assert not Compute(workers=2).resolve(array_task=True).in_process
    assert not Compute(workers=1).resolve(array_task=False).in_process
    assert Compute(executor="sync").resolve(array_task=False).in_process


def test_the_scheduler_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://head:8786")
    assert Compute().resolve(array_task=False).scheduler == "tcp://head:8786"
    assert Compute(scheduler="tcp://other:1").resolve(array_task=False).scheduler == "tcp://other:1"
    assert Compute(cluster="slurm").resolve(array_task=False).scheduler is None
    assert Compute().resolve(array_task=True).scheduler is None
