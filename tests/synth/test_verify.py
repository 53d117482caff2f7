"""`texneg verify` and `texneg synth-status`."""

import errno
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from texneg.datasets.storage import retries
from texneg.datasets.storage.json_files import write_json
from texneg.errors import InputError, RunFailed
from texneg.synth import status
from texneg.synth.ledger.manifest import read_rows, to_parquet
from texneg.synth.status import StatusConfig, synth_status
from texneg.synth.synth import SynthConfig, synth
from texneg.synth.task import run_task
from texneg.synth.verify import VerifyConfig, verify

Run = Callable[..., Path]


@pytest.mark.parametrize("form", ["folder", "webdataset"])
def test_an_untouched_run_passes(
    photos: Path, run: Run, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    dst = run(photos, format=form, shard_size=10)
    assert verify(VerifyConfig(str(dst), str(photos), pixels=True, resynth=5)) == 0
    assert verify(VerifyConfig(str(dst), quick=True)) == 0
    assert "24 textures" in capsys.readouterr().out


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def add_a_copy(path: Path) -> None:
    shutil.copy(path, path.with_name("extra.webp"))


@pytest.mark.parametrize("form", ["folder", "webdataset"])
@pytest.mark.parametrize("damage", [flip_a_byte, Path.unlink, add_a_copy])
def test_damage_is_found(
    run: Run, photos: Path, capsys: pytest.CaptureFixture[str], form: str, damage: Callable[[Path], object]
) -> None:
    dst = run(photos, format=form, shard_size=10)
    damage(sorted(path for path in dst.rglob("*") if path.is_file())[1])
    capsys.readouterr()
    remedy = (
        "take unlisted files away$" if damage is add_a_copy else "made again by: texneg synth .* --recheck"
    )
    with pytest.raises(RunFailed, match=rf"problems? in .*{remedy}"):
        verify(VerifyConfig(str(dst)))
    problem = {flip_a_byte: "changed: ", Path.unlink: "missing: ", add_a_copy: "unlisted: "}[damage]
    printed = capsys.readouterr().err
    assert printed.startswith(problem)
    with pytest.raises(RunFailed):
        verify(VerifyConfig(str(dst), pixels=True))
    assert capsys.readouterr().err == printed  # pixels name nothing twice
    if damage is flip_a_byte and form == "folder":
        with pytest.raises(RunFailed):
            verify(VerifyConfig(str(dst), quick=True, pixels=True))


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:500])


def swap_two_rows(path: Path) -> None:
    rows = read_rows(path)
    rows[2], rows[3] = rows[3], rows[2]
    path.write_bytes(to_parquet(rows))


@pytest.mark.parametrize("form", ["folder", "webdataset"])
def test_damage_in_the_ledger_is_found_and_repaired(
    run: Run, photos: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    dst = run(photos, format=form, shard_size=10)
    ledger = dst.with_name(f"{dst.name}.texneg")
    rows, manifest = ledger / "done/all/000/000001.parquet", ledger / "manifest/part-00000.parquet"
    good = [path.read_bytes() for path in (rows, manifest)]
    problem = {rows: "changed: rows of shard all/000/000001", manifest: f"changed: {manifest}"}
    for damaged, damage in product((rows, manifest), (cut_short, swap_two_rows)):
        damage(damaged)
        capsys.readouterr()
        with pytest.raises(RunFailed, match=r"^1 problem in .* --recheck"):
            verify(VerifyConfig(str(dst), str(photos), pixels=True, resynth=24))
        assert capsys.readouterr().err.startswith(problem[damaged])
        run(photos, format=form, shard_size=10, recheck=True)
        assert verify(VerifyConfig(str(dst))) == 0
        assert [path.read_bytes() for path in (rows, manifest)] == good


def test_swapped_textures_and_changed_inputs_are_found(
    photos: Path, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(photos, tmp_path / "copy"))
    dst = run(copy)
    one, two = dst / "ant/ant.001.webp", dst / "ant/ant.002.webp"
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    flip_a_byte(copy / "bee/bee.000.JPEG")
    with pytest.raises(
        RunFailed,
        match=r"3 problems .*; textures of changed inputs .* --recheck-sources; missing and changed textures",
    ):
        verify(VerifyConfig(str(dst), str(copy)))
    assert "input changed: bee/bee.000.JPEG" in capsys.readouterr().err


def test_what_cannot_be_read_is_not_called_missing(
    photos: Path, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(photos, tmp_path / "copy"))
    dst = run(copy)
    for path in (copy / "ant/ant.001.JPEG", dst / "bee/bee.000.webp"):
        path.unlink()
        path.mkdir()
    with pytest.raises(RunFailed, match=r"2 problems .*; bring inputs back .* --recheck"):
        verify(VerifyConfig(str(dst), str(copy)))
    printed = capsys.readouterr().err
    assert "input unreadable: ant/ant.001.JPEG" in printed
    assert "unreadable: bee/bee.000.webp" in printed


def test_storage_that_fails_for_a_moment_is_not_damage(
    photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    dst = run(photos)
    failures = iter([OSError(errno.EIO, "hiccup")] * 2)
    read = Path.read_bytes

    def hiccup(path: Path) -> bytes:
        if path.suffix == ".webp" and (error := next(failures, None)):
            raise error
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", hiccup)
    monkeypatch.setattr(retries, "PAUSES_S", (0.0, 0.0))
    assert verify(VerifyConfig(str(dst))) == 0
    assert next(failures, None) is None


def test_making_again_survives_what_is_missing(
    photos: Path, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(photos, tmp_path / "copy"))
    dst = run(copy, format="webdataset", shard_size=10)
    (copy / "ant/ant.001.JPEG").unlink()
    with (copy / "bee/bee.001.JPEG").open("ab") as file:
        file.write(b"more")
    (dst / "texneg-000002.tar").unlink()
    with pytest.raises(RunFailed, match="3 problems"):
        verify(VerifyConfig(str(dst), str(copy), resynth=24))
    assert [line.partition(":")[0] for line in capsys.readouterr().err.splitlines()[-3:]] == [
        "input gone",
        "input changed",
        "missing",
    ]


def test_an_unfinished_or_foreign_folder_is_refused(photos: Path, run: Run, tmp_path: Path) -> None:
    dst = run(photos)
    (tmp_path / "out.texneg/manifest/part-00000.parquet").unlink()
    with pytest.raises(InputError, match=r"not finished; resume: texneg synth"):
        verify(VerifyConfig(str(dst)))
    with pytest.raises(InputError, match="holds no run of texneg synth"):
        verify(VerifyConfig(str(photos)))
    with pytest.raises(InputError, match="needs the images"):
        verify(VerifyConfig(str(dst), resynth=3))
    with pytest.raises(InputError, match="--resynth -1: allowed is 0 or more"):
        verify(VerifyConfig(str(dst), str(photos), resynth=-1))
    with pytest.raises(InputError, match="nowhere does not exist; give the images"):
        verify(VerifyConfig(str(dst), str(tmp_path / "nowhere")))


def test_status_reads_files_alone(photos: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    dst = run(photos, shard_size=10)
    capsys.readouterr()
    synth_status(StatusConfig(str(dst), json=True))
    status = json.loads(capsys.readouterr().out)
    assert (status["images"], status["images_done"], status["outcome"]) == (24, 24, "complete")
    ledger = dst.with_name("out.texneg")
    (ledger / "done/all/000/000001.json").unlink()
    (ledger / "stats.json").unlink()
    synth_status(StatusConfig(str(dst)))
    out = capsys.readouterr().out
    assert "14 of 24 images (58 %), 2 of 3 shards\n" in out
    assert "not running (unfinished); resume: texneg synth" in out


def test_status_says_what_comes_next(photos: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    def status_of(dst: Path) -> str:
        capsys.readouterr()
        synth_status(StatusConfig(str(dst), watch=0.01))
        return capsys.readouterr().out

    dst = run(photos, shard_size=8, plan_only=True)
    assert "planned, nothing made yet; begin: texneg synth" in status_of(dst)
    run(photos, shard_size=8, task="0/2")
    with pytest.raises(InputError, match="--watch 0: allowed is more than 0 s"):
        synth_status(StatusConfig(str(dst), watch=0))
    capsys.readouterr()
    synth_status(StatusConfig(str(dst)))
    assert "16 of 24 images (66 %)" in (out := capsys.readouterr().out)
    assert "tasks of an array at work in the last minutes" in out
    run(photos, shard_size=8, task="1/2")
    assert re.search(r"every image is done; join the results: texneg synth .* --finalize", status_of(dst))
    run(photos, shard_size=8, finalize=True)
    assert "outcome: complete" in status_of(dst)


def test_status_does_not_call_a_shard_joined_whose_images_are_made(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    dst = str(tmp_path / "out")
    command = SynthConfig.flat(str(photos), dst, size=32, exemplar_size=24, executor="sync", part_size=10)
    with monkeypatch.context() as patched:
        patched.setattr(run_task, "join_parts", interrupted)
        assert synth(command) == 130
    synth_status(StatusConfig(dst, watch=0.01))
    out = capsys.readouterr().out
    assert "24 of 24 images (100 %), 0 of 1 shards, 1 more begun\n" in out
    assert f"not running (interrupted); resume: {command.command()}\n" in out


def test_a_watch_ends_with_the_driver(
    photos: Path, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dst = run(photos)
    lock = dst.with_name("out.texneg") / "lock"
    lock.write_text(json.dumps({"host": os.uname().nodename, "pid": os.getppid(), "time": 1e12}))
    capsys.readouterr()
    monkeypatch.setattr(status, "time", SimpleNamespace(time=time.time, sleep=lambda _: lock.unlink()))
    synth_status(StatusConfig(str(dst), watch=1))
    printed = capsys.readouterr().out.splitlines()[1::2]
    assert printed[0].startswith(f"running as process {os.getppid()} on ")
    assert printed[1:] == ["outcome: complete"]


def test_resynth_makes_as_many_as_asked_for(
    photos: Path,
    run: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copy = Path(shutil.copytree(photos, tmp_path / "copy"))
    for name in ("ant/ant.000", "bee/bee.004"):
        (copy / f"{name}.JPEG").write_bytes(b"")
    dst = run(copy, shard_size=5)
    for asked, done in ((13, 13), (99, 22)):
        assert verify(VerifyConfig(str(dst), str(copy), resynth=asked)) == 0
        assert f"inputs, {done} made again)" in capsys.readouterr().out
    monkeypatch.setattr("texneg.synth.verify.make_one", lambda *_: b"of another version")
    with pytest.raises(RunFailed, match=r"^13 problems in .*; for the same bytes install the versions that"):
        verify(VerifyConfig(str(dst), str(copy), resynth=13))
    assert "made again with other bytes: ant/ant.002.webp" in capsys.readouterr().err


def test_status_tells_a_killed_driver_from_one_whose_disk_is_full(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dst = tmp_path / "out"
    ledger = dst.with_name("out.texneg")
    command = SynthConfig.flat(
        str(photos), str(dst), size=32, exemplar_size=24, executor="sync", shard_size=10
    )

    def outcome() -> str:
        capsys.readouterr()
        synth_status(StatusConfig(str(dst)))
        return capsys.readouterr().out.splitlines()[-1]

    def full(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    def full_with_spare(path: Path, *values: Any, **options: Any) -> None:
        (full if (ledger / "spare").exists() else write_json)(path, *values, **options)

    begin = command.with_flags(plan_only=True), command.with_flags(task="0/3")
    assert [synth(step) for step in begin] == [0, 0]
    with monkeypatch.context() as patched:
        patched.setattr(run_task, "write_many", lambda *_, **__: full(dst))
        patched.setattr("texneg.synth.driver.finalize.write_json", full_with_spare)
        with pytest.raises(RunFailed, match="No space left on device"):
            synth(command)
    assert outcome() == f"not running (storage); resume: {command.command()}"
    assert not (ledger / "spare").exists()
    (ledger / "stats.json").unlink()
    assert outcome().startswith("not running (unfinished); resume: ")
    dead = {"host": os.uname().nodename, "pid": 2**22 + 1, "time": time.time()}
    (ledger / "lock").write_text(json.dumps(dead))
    assert outcome().startswith("not running (killed); resume: ")
    assert synth(command) == 0
    assert outcome() == "outcome: complete"


def test_names_are_plain_where_people_read_them(
    photos: Path, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = (photos / "ant/ant.000.JPEG").read_bytes()
    names = {"#hash%20.jpg", "50% a\nb.jpg", "caf\udce9.jpg", "größe.jpg"}
    (tmp_path / "odd" / "50% c").mkdir(parents=True)
    for name in names:
        (tmp_path / "odd" / "50% c" / name).write_bytes(data)
    for form in ("folder", "webdataset"):
        dst = run(tmp_path / "odd", form, format=form)
        rows = read_rows(dst.with_name(f"{form}.texneg") / "manifest/part-00000.parquet")
        joined = {row.src_name: row.out_name for row in rows}
        assert joined.keys() == {
            None,
            *(f"50% c/{name}" for name in names if name.isprintable() or "\n" in name),
        }
        assert (joined[None] is None) == (form == "folder" or joined[None] is None)
        if form == "folder":
            assert all((dst / out).is_file() for out in joined.values() if out)
            assert len({out for out in joined.values() if out}) == 3
    for path in (tmp_path / "folder").rglob("*.webp"):
        path.unlink()
    with pytest.raises(RunFailed):
        verify(VerifyConfig(str(tmp_path / "folder")))
    printed = capsys.readouterr().err
    for shown in ("#hash%20.webp", "50% a%0Ab.webp", "caf%E9.webp", "größe.webp"):
        assert f"missing: 50% c/{shown}\n" in printed
