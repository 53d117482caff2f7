"""Running again after outputs went and inputs changed: what a new run of the present inputs would give."""

import contextlib
import io
import json
import shutil
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from texneg.errors import InputError, RunFailed
from texneg.synth.driver import changes, inputs
from texneg.synth.executors.executor import SyncExecutor
from texneg.synth.ledger.ledger import Ledger
from texneg.synth.synth import SynthConfig, synth
from texneg.synth.task import run_task
from texneg.synth.verify import VerifyConfig, verify

Run = Callable[..., Path]
State = Callable[[Path], Any]
Printed = pytest.CaptureFixture[str]
FORMS: list[dict[str, Any]] = [
    {"shard_size": 10, "part_size": 3},
    {"shard_size": 10, "part_size": 3, "format": "webdataset"},
    {"shard_size": 1000, "part_size": 1000, "layout": "paired"},
]


@pytest.fixture
def copy(photos: Path, tmp_path: Path) -> Path:
    """The photographs, and one that is broken."""
    folder = Path(shutil.copytree(photos, tmp_path / "copy"))
    (folder / "ant/broken.JPEG").write_bytes((folder / "ant/ant.000.JPEG").read_bytes()[:300])
    return folder


def flip(path: Path) -> None:
    """Change a comment's worth of bytes, not their number; a JPEG stays whole."""
    data = path.read_bytes()
    path.write_bytes(data[:-2].replace(b"JFIF\0\1\1", b"JFIF\0\1\2") + data[-2:])


def change(folder: Path) -> None:
    """Give images another content of the same size, another size, a fault, and take a fault away."""
    good = (folder / "cow/cow.005.JPEG").read_bytes()
    flip(folder / "ant/ant.003.JPEG")
    (folder / "bee/bee.002.JPEG").write_bytes(good)
    (folder / "cow/cow.007.JPEG").write_bytes(good[:300])
    (folder / "ant/broken.JPEG").write_bytes(good)


CHANGED = {"ant/ant.003", "bee/bee.002", "cow/cow.007", "ant/broken"}


def identities(dst: Path) -> dict[str, tuple[int, int]]:
    """Number and time of each output file, which tell whether it was written again."""
    found = ((str(path.relative_to(dst)), path.stat()) for path in dst.rglob("*.*"))
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in found}


@pytest.mark.parametrize("form", FORMS)
def test_changed_inputs_are_made_again_and_no_others(
    copy: Path, run: Run, state: State, capsys: Printed, form: dict[str, Any]
) -> None:
    dst = run(copy, **form)
    before = identities(dst)
    change(copy)
    assert run(copy, **form) == dst
    printed = capsys.readouterr().err
    assert "inputs that changed, their textures are made again: 4 (ant/ant.003.JPEG, ant/broken" in printed
    assert state(dst) == state(run(copy, "fresh", **form))
    if "format" not in form and "layout" not in form:
        assert "resuming: 21 of 25 images are done" in printed
        after = identities(dst)
        same = {Path(name).with_suffix("").as_posix() for name in after if before.get(name) == after[name]}
        assert len(same) == 21
        assert not same & CHANGED
    again = identities(dst)
    capsys.readouterr()
    run(copy, **form)
    out, err = capsys.readouterr()
    assert "nothing was left to do" in out
    assert "inputs that changed" not in err
    assert identities(dst) == again


def interrupt(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def interrupt_second(original: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function be called once, and then no more."""
    calls = iter(range(2))

    def call(*args: Any, **options: Any) -> Any:
        return original(*args, **options) if next(calls, 1) == 0 else interrupt()

    return call


@pytest.mark.parametrize(
    ("place", "name", "first"),
    [
        (changes, "_reopen", False),
        (changes, "remove_all", True),
        (Ledger, "reopen", True),
        (Ledger, "remove_parts", True),
        (changes, "_update_plan", True),
        (changes, "save_plan", True),
        (changes, "write_json", True),
        (SyncExecutor, "completed", False),
        (run_task, "write_many", True),
        (run_task, "commit", True),
    ],
)
def test_a_kill_while_changes_are_made_again_costs_nothing(
    copy: Path,
    run: Run,
    state: State,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: Any,
    name: str,
    first: bool,
) -> None:
    form = FORMS[name in ("remove_all", "save_plan", "completed")]
    dst = run(copy, **form)
    change(copy)
    with monkeypatch.context() as patched:
        patched.setattr(place, name, interrupt if first else interrupt_second(getattr(place, name)))
        settings = {"size": 32, "exemplar_size": 24, "executor": "sync", **form}
        with contextlib.suppress(KeyboardInterrupt):
            synth(SynthConfig.flat(str(copy), str(dst), **settings))
    flip(copy / "bee/bee.000.JPEG")  # and another one meanwhile
    assert state(run(copy, **form)) == state(run(copy, "fresh", **form))


@pytest.mark.parametrize("form", FORMS)
def test_outputs_that_are_gone_are_made_again(
    photos: Path, run: Run, state: State, capsys: Printed, form: dict[str, Any]
) -> None:
    dst = run(photos, **form)
    before = state(dst)
    files = sorted(path for path in dst.rglob("*") if path.is_file())
    kept = {name: own for name, own in identities(dst).items() if len(files) > 3}
    files[0].unlink()
    files[-1].write_bytes(files[-1].read_bytes()[:-1]) if len(files) > 1 else None
    gone = [str(path.relative_to(dst)) for path in dict.fromkeys((files[0], files[-1]))]
    capsys.readouterr()
    assert state(run(photos, **form)) == before
    out, err = capsys.readouterr()
    assert f"gone or have another size, made again: {len(gone)} ({', '.join(gone)})" in err
    assert "nothing was left to do" not in out
    if kept:
        assert "2 images in" in out
        assert {name for name in kept if identities(dst)[name] == kept[name]} == kept.keys() - set(gone)
    for folder in (files[0].parent, dst):
        shutil.rmtree(folder)
        assert state(run(photos, **form)) == before


def test_an_output_of_an_unfinished_run_that_is_gone_is_made_again(
    photos: Path, run: Run, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(SyncExecutor, "completed", interrupt_second(SyncExecutor.completed))
        config = SynthConfig.flat(
            str(photos), str(tmp_path / "out"), size=32, exemplar_size=24, executor="sync", part_size=5
        )
        assert synth(config) == 130
    made = sorted((tmp_path / "out").rglob("*.webp"))
    assert len(made) == 5
    made[2].unlink()
    made[3].write_bytes(b"")
    assert state(run(photos, part_size=5)) == state(run(photos, "fresh"))


def test_new_and_vanished_inputs_are_said(copy: Path, run: Run, state: State, capsys: Printed) -> None:
    dst = run(copy)
    before = state(dst)
    (copy / "cow/cow.002.JPEG").rename(copy / "cow/cow.0025.JPEG")
    run(copy)
    printed = capsys.readouterr().err
    assert "inputs that are gone, their textures stay: 1 (cow/cow.002.JPEG)" in printed
    assert (
        "do not know, add them with --extend: 1 (cow/cow.0025.JPEG)".replace("do not", "does not") in printed
    )
    assert state(dst) == before
    run(copy, extend=True)
    assert (dst / "cow/cow.0025.webp").exists()
    capsys.readouterr()
    run(copy)
    assert "--extend" not in capsys.readouterr().err


def test_what_time_does_not_show_content_does(copy: Path, run: Run, state: State, capsys: Printed) -> None:
    dst = run(copy)
    noted = dst.with_name("out.texneg") / "sources.json"
    noted.write_text(json.dumps({"compared": time.time() + 3600}))  # as with a clock that is wrong
    before = state(dst)
    flip(copy / "bee/bee.004.JPEG")
    assert state(run(copy)) == before
    with pytest.raises(
        RunFailed, match=r"textures of changed inputs are made again by: texneg synth .* --recheck-sources"
    ):
        verify(VerifyConfig(str(dst), str(copy)))
    capsys.readouterr()
    run(copy, recheck_sources=True)
    assert "made again: 1 (bee/bee.004.JPEG)" in capsys.readouterr().err
    assert state(dst) == state(run(copy, "fresh"))
    assert verify(VerifyConfig(str(dst), str(copy))) == 0
    with pytest.raises(InputError, match="--overwrite and --recheck-sources exclude each other"):
        run(copy, overwrite=True, recheck_sources=True)


def test_a_link_that_points_elsewhere_is_a_changed_input(
    copy: Path, run: Run, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = copy / "bee/bee.004.JPEG"
    for name in ("one.JPEG", "two.JPEG"):
        shutil.copy(link, tmp_path / name)
    flip(tmp_path / "two.JPEG")
    link.unlink()
    link.symlink_to(tmp_path / "one.JPEG")
    dst = run(copy)
    link.unlink()
    link.symlink_to(tmp_path / "two.JPEG")
    monkeypatch.setattr(inputs, "SLACK_S", 0.0)
    run(copy)
    assert state(dst) == state(run(copy, "fresh"))


def test_an_input_that_cannot_be_read_is_not_taken_for_the_same(
    copy: Path, run: Run, state: State, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    dst = run(copy)
    flip(copy / "bee/bee.004.JPEG")

    def refuse(*_: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(inputs, "with_retries", refuse)
        run(copy)
    assert "could not be read again, not compared: 25 (" in capsys.readouterr().err
    assert state(run(copy)) == state(run(copy, "fresh"))
    assert dst.exists()


def rewrite(path: Path, edit: Callable[[dict[str, bytes]], None]) -> None:
    """Write a tar anew with other members."""
    with tarfile.open(path) as tar:
        members = {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
    edit(members)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def grow(members: dict[str, bytes]) -> None:
    first, second, *_ = (name for name in members if name.endswith(".jpg"))
    members["later.jpg"], members["later.cls"] = members[first], b"1"
    del members[second]


def swap(members: dict[str, bytes]) -> None:
    first = next(name for name in members if name.endswith(".jpg"))
    members[first] = members[first][:-2].replace(b"JFIF\0\1\1", b"JFIF\0\1\2") + members[first][-2:]


@pytest.mark.parametrize("form", ["webdataset", "folder"])
@pytest.mark.parametrize("edit", [grow, swap])
@pytest.mark.parametrize("part_size", [4, 1000])
def test_changed_tars_are_made_again(
    shards: Path,
    run: Run,
    state: State,
    tmp_path: Path,
    capsys: Printed,
    form: str,
    edit: Callable[[dict[str, bytes]], None],
    part_size: int,
) -> None:
    copy = Path(shutil.copytree(shards, tmp_path / "tars"))
    options = {"format": form, "part_size": part_size}
    dst = run(copy, **options)
    rewrite(copy / "00001.tar", edit)
    run(copy, **options)
    assert "inputs that changed, their textures are made again: 1 (00001.tar)" in capsys.readouterr().err
    assert state(dst) == state(run(copy, "fresh", **options))
    (copy / "00000.tar").rename(copy / "00002.tar")
    run(copy, **options)
    printed = capsys.readouterr().err
    assert "inputs that are gone, their textures stay: 1 (00000.tar)" in printed
    assert "add them with --extend: 1 (00002.tar)" in printed


def test_inputs_in_a_store_are_compared_by_size_unless_asked(
    copy: Path, run: Run, state: State, capsys: Printed
) -> None:
    store = fsspec.filesystem("memory")
    store.put(f"{copy}/", "/changes/", recursive=True)
    dst = run("memory://changes", splits="none")
    for name in ("ant/ant.003.JPEG", "bee/bee.002.JPEG"):
        data = (copy / name).read_bytes()
        other = data[:-2].replace(b"JFIF\0\1\1", b"JFIF\0\1\2") + data[-2:]
        store.pipe_file(f"/changes/{name}", other if name.startswith("ant") else data + b"more")
    run("memory://changes", splits="none")
    printed = capsys.readouterr().err
    assert "made again: 1 (bee/bee.002.JPEG)" in printed
    assert "were compared by their sizes; --recheck-sources compares their contents" in printed
    run("memory://changes", splits="none", recheck_sources=True)
    assert "made again: 1 (ant/ant.003.JPEG)" in capsys.readouterr().err
    assert state(dst) == state(run("memory://changes", "fresh", splits="none"))
    store.rm("/changes", recursive=True)


def test_a_limited_run_looks_at_its_own_images(copy: Path, run: Run, state: State, capsys: Printed) -> None:
    dst = run(copy, limit=12)
    change(copy)
    run(copy, limit=12)
    printed = capsys.readouterr().err
    assert "made again: " in printed
    assert "--extend" not in printed
    assert state(dst) == state(run(copy, "fresh", limit=12))
