"""`texneg synth` in one process: the same bytes however the work is divided, clear refusals, nothing lost."""

import errno
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from texneg.datasets.decode import decode
from texneg.datasets.encode import encode
from texneg.datasets.images import open_images
from texneg.datasets.pairs import pair
from texneg.errors import InputError, RunFailed
from texneg.synth.driver.finalize import InputCounts
from texneg.synth.ledger.ledger import Ledger
from texneg.synth.plan import plan
from texneg.synth.run import open_run, specify
from texneg.synth.synth import SynthConfig, synth
from texneg.synth.task import run_task
from texneg.synth.task.images import image_seed
from texneg.synth.verify import VerifyConfig, verify
from texneg.textures.exemplars import exemplars
from texneg.textures.presets import PRESETS
from texneg.textures.texture import texture

Run = Callable[..., Path]
State = Callable[[Path], Any]
Rows = Callable[[Path], list[dict[str, Any]]]


def config(src: Path, dst: Path, **options: Any) -> SynthConfig:
    return SynthConfig.flat(
        str(src), str(dst), **{"size": 32, "exemplar_size": 24, "executor": "sync", **options}
    )


def ledger(dst: Path) -> Path:
    return dst.with_name(f"{dst.name}.texneg")


def stats(dst: Path) -> dict[str, Any]:
    return json.loads((ledger(dst) / "stats.json").read_text())


@pytest.mark.parametrize("form", ["folder", "webdataset"])
def test_outputs_do_not_depend_on_how_the_work_is_cut(
    photos: Path, run: Run, state: State, form: str
) -> None:
    whole = state(run(photos, "whole", format=form))
    for part_size in (1, 7):
        assert state(run(photos, f"parts{part_size}", format=form, part_size=part_size)) == whole


def test_both_formats_hold_the_same_textures(photos: Path, run: Run) -> None:
    folder = open_images(run(photos, "folder"))
    tars = open_images(run(photos, "tar", format="webdataset", shard_size=10))
    assert sorted(folder.keys) == sorted(tars.keys)
    assert [folder.read(i) for i in range(len(folder))] == [tars.read(j) for j in pair(folder, tars)]


def test_a_texture_is_what_the_library_makes_of_the_image(photos: Path, run: Run, manifest: Rows) -> None:
    dst = run(photos, seed=5)
    images, textures = open_images(photos), open_images(dst)
    partner = pair(images, textures)
    for i in (0, 11, 23):
        own = image_seed(5, images.keys[i])
        made = texture(exemplars(images[i][0], size=24, seed=own), size=32, seed=own)
        np.testing.assert_array_equal(textures[int(partner[i])][0], made)
        assert images[i][1] == textures[int(partner[i])][1]
    row = manifest(dst)[11]
    patch = images[11][0][row["patch_b_y"] :, row["patch_b_x"] :][:24, :24]
    np.testing.assert_array_equal(exemplars(images[11][0], size=24, seed=row["image_seed"])[1], patch)


def test_a_limited_run_makes_the_same_textures(photos: Path, run: Run) -> None:
    every, some = open_images(run(photos, "every")), open_images(run(photos, "some", limit=7))
    assert len(some) == 7
    assert set(some.classes) == set(every.classes)  # spread evenly
    assert [every.read(i) for i in pair(some, every)] == [some.read(i) for i in range(7)]


def test_tar_shards_keep_their_names_keys_and_labels(shards: Path, run: Run, manifest: Rows) -> None:
    dst = run(shards)
    assert sorted(path.name for path in dst.iterdir()) == ["00000.tar", "00001.tar"]
    with tarfile.open(shards / "00000.tar") as before, tarfile.open(dst / "00000.tar") as after:
        images = [name for name in before.getnames() if name.endswith(".jpg")]
        assert after.getnames() == [name.replace(".jpg", ".webp") for name in images]
    row = manifest(dst)[15]
    name, _, member = row["out"].partition("::")
    data = (dst / name).read_bytes()[row["out_offset"] :][: row["out_bytes"]]
    with tarfile.open(dst / name) as tar:
        assert tar.extractfile(member).read() == data  # type: ignore[union-attr]
    assert decode(data).pixels.shape == (32, 32, 3)
    by_class = run(shards, "folders", format="folder")
    assert sorted(path.name for path in by_class.iterdir()) == ["0", "1", "2"]
    assert len(open_images(by_class)) == 24


def test_torchvision_and_webdataset_open_the_outputs(photos: Path, run: Run) -> None:
    torchvision = pytest.importorskip("torchvision.datasets")
    reader = pytest.importorskip("webdataset.tariterators")
    folder = torchvision.ImageFolder(run(photos, "folder"))
    assert folder.classes == ["ant", "bee", "cow"]
    assert [label for _, label in folder.samples] == [0] * 8 + [1] * 8 + [2] * 8
    assert folder[0][0].size == (32, 32)
    dst = run(photos, "tar", format="webdataset", shard_size=10)
    keys = []
    for path in sorted(dst.glob("*.tar")):
        with path.open("rb") as stream:
            samples = list(
                reader.group_by_keys(reader.tar_file_expander([{"url": path.name, "stream": stream}]))
            )
        keys.append([sample["__key__"] for sample in samples])
        assert all(decode(sample["webp"]).pixels.shape == (32, 32, 3) for sample in samples)
    assert [len(shard) for shard in keys] == [10, 10, 4]
    assert keys[0][:2] == ["ant/ant%2E000", "ant/ant%2E001"]


def test_splits_are_kept_and_do_not_change_textures(photos: Path, run: Run, tmp_path: Path) -> None:
    for split in ("train", "val"):
        shutil.copytree(photos, tmp_path / "split" / split)
    dst = run(tmp_path / "split", "both")
    alone = run(photos, "alone")
    assert (dst / "train/bee/bee.003.webp").read_bytes() == (alone / "bee/bee.003.webp").read_bytes()
    assert (dst / "val/bee/bee.003.webp").exists()


def test_running_again_changes_nothing(
    photos: Path, run: Run, state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    before = state(run(photos))
    assert state(run(photos)) == before
    assert "nothing was left to do" in capsys.readouterr().out
    assert len(stats(run(photos))["calls"]) == 1


def test_a_finished_run_is_not_joined_again(
    photos: Path, run: Run, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    dst = run(photos, shard_size=10)
    before = state(dst)
    with monkeypatch.context() as patched:
        patched.setattr("texneg.synth.run.finalize", lambda *_: pytest.fail("joined again"))
        run(photos, shard_size=10)
    (ledger(dst) / "done/all/000/000001.json").unlink()  # a shard to make: the manifest is not to be believed
    with monkeypatch.context() as patched:
        patched.setattr("texneg.synth.run.finalize", lambda *_: InputCounts())
        run(photos, shard_size=10)
    assert not (ledger(dst) / "manifest/part-00000.parquet").exists()
    assert state(run(photos, shard_size=10)) == before


def test_bad_images_are_quarantined_with_their_reasons(
    photos: Path, run: Run, manifest: Rows, tmp_path: Path
) -> None:
    dirty = Path(shutil.copytree(photos, tmp_path / "dirty"))
    good = (photos / "ant/ant.000.JPEG").read_bytes()
    (dirty / "ant/half.jpg").write_bytes(good[: len(good) // 2])
    (dirty / "ant/none.jpg").write_bytes(b"")
    (dirty / "ant/page.jpg").write_bytes(b"<html>no</html>")
    (dirty / "ant/with\nline.JPEG").write_bytes(good)
    (dirty / "bee/thin.png").write_bytes(small_png(200, 7))
    (dirty / "bee/less.png").write_bytes(small_png(20, 30))
    (dirty / "bee/50%.png").write_bytes(small_png(30, 30))
    dst = run(dirty)
    rows = {row["key"]: row for row in manifest(dst)}
    assert {key: row["status"] for key, row in rows.items() if row["status"] != "ok"} == {
        "ant/half": "truncated",
        "ant/none": "empty",
        "ant/page": "unsupported",
        "bee/thin": "too_small",
    }
    assert all((row["out"] is None) == (row["status"] != "ok") for row in rows.values())
    assert all(row["error"] for row in rows.values() if row["status"] != "ok")
    assert rows["bee/less"]["patch_size"] == 12  # half, as the short side is under 24
    assert (dst / "ant" / "with\nline.webp").exists()
    assert (dst / "bee" / "50%.webp").exists()
    assert stats(dst)["statuses"]["truncated"] == 1
    assert open_images(dst).keys == tuple(row["key"] for row in rows.values() if row["status"] == "ok")


def small_png(height: int, width: int) -> bytes:
    return encode(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8), "png")


@pytest.mark.parametrize(
    ("small", "expected"),
    [("shrink-patch", "ok"), ("upscale", "ok"), ("skip", "too_small")],
)
def test_policies_for_small_images(
    run: Run, manifest: Rows, tmp_path: Path, small: str, expected: str
) -> None:
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "a" / "1.png").write_bytes(small_png(14, 40))
    (tmp_path / "data" / "a" / "2.png").write_bytes(small_png(30, 40))
    rows = manifest(run(tmp_path / "data", small=small))
    assert [row["status"] for row in rows] == [expected, "ok"]
    assert rows[0]["patch_size"] == {"shrink-patch": 12, "upscale": 24, "skip": None}[small]


@pytest.mark.parametrize(
    ("size", "side", "small", "expected"),
    [
        (8, (7, 9), "shrink-patch", None),
        (8, (8, 9), "shrink-patch", 8),
        (12, (10, 30), "shrink-patch", 10),
        (15, (7, 30), "shrink-patch", None),
        (16, (9, 30), "shrink-patch", 8),
        (8, (1, 1), "upscale", 8),
        (24, (2, 9), "upscale", None),
        (8, (7, 9), "skip", None),
    ],
)
def test_an_image_below_the_smallest_patch_is_too_small(
    run: Run,
    manifest: Rows,
    tmp_path: Path,
    size: int,
    side: tuple[int, int],
    small: str,
    expected: int | None,
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "1.png").write_bytes(small_png(*side))
    (tmp_path / "data" / "2.png").write_bytes(small_png(30, 40))
    first, _ = manifest(run(tmp_path / "data", exemplar_size=size, small=small))
    assert (first["status"], first["patch_size"]) == ("ok" if expected else "too_small", expected)


@pytest.mark.parametrize("kind", ["noise", "blocks", "tiny"])
@pytest.mark.parametrize(
    "options",
    [{}, {"encoding": "png"}, {"format": "webdataset"}, {"layout": "paired"}],
    ids=["webp", "png", "tar", "paired"],
)
def test_the_estimate_of_bytes_holds(
    photos: Path,
    run: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    options: dict[str, Any],
) -> None:
    folder = photos
    if kind == "noise":
        folder = tmp_path / "noise"
        folder.mkdir()
        for i in range(6):
            noise = np.random.default_rng(i).integers(0, 256, (70, 70, 3), np.uint8)
            (folder / f"{i}.png").write_bytes(encode(noise, "png"))
    dst = run(
        folder, size=16 if kind == "tiny" else 64, exemplar_size=24 if kind == "blocks" else 60, **options
    )
    found = re.search(r"about (\S+) (k?M?)B to write, (\S+) (k?M?)B at most", capsys.readouterr().err)
    assert found
    about, most = (float(found[i]) * {"": 1, "k": 1e3, "M": 1e6}[found[i + 1]] for i in (1, 3))
    written = sum(path.stat().st_size for path in dst.rglob("*") if path.is_file())
    assert about / 2 < written <= most


def test_unsafe_members_never_leave_the_destination(run: Run, manifest: Rows, tmp_path: Path) -> None:
    folder = tmp_path / "tars"
    folder.mkdir()
    with tarfile.open(folder / "0.tar", "w") as tar:
        for name in ("fine.png", "../../escaped.png", "/tmp/absolute.png", "fine.png"):
            info = tarfile.TarInfo(name)
            data = small_png(30, 30)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    dst = run(folder, format="folder")
    assert [row["status"] for row in manifest(dst)] == ["ok", "unsafe_path", "unsafe_path", "duplicate_key"]
    assert [path.name for path in dst.rglob("*")] == ["fine.webp"]
    assert not list(tmp_path.parent.rglob("escaped*"))


def test_a_label_never_leaves_the_destination(run: Run, manifest: Rows, tmp_path: Path) -> None:
    folder = tmp_path / "tars"
    folder.mkdir()
    labels = {"up": b"../../escaped", "root": str(tmp_path / "escaped").encode(), "none": b"", "fine": b"7"}
    with tarfile.open(folder / "0.tar", "w") as tar:
        for key, label in labels.items():
            for name, data in ((f"{key}.png", small_png(30, 30)), (f"{key}.cls", label)):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    dst = run(folder, format="folder", max_error_rate=1.0)
    assert [row["status"] for row in manifest(dst)] == ["unsafe_path", "unsafe_path", "ok", "ok"]
    assert sorted(str(p.relative_to(dst)) for p in dst.rglob("*.webp")) == ["7/fine.webp", "none.webp"]
    assert not list(tmp_path.parent.rglob("escaped*"))


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
def test_odd_names_are_committed_and_their_checksums_hold(photos: Path, run: Run, tmp_path: Path) -> None:
    names = ("50%.png", "two\nlines.png", "back\\slash.png", "caf\udce9.png", "d.o.t.png")
    (tmp_path / "tree" / "50% a\nb").mkdir(parents=True)
    for name in names:
        (tmp_path / "tree" / "50% a\nb" / name).write_bytes(small_png(30, 30))
    (tmp_path / "tars").mkdir()
    with tarfile.open(tmp_path / "tars" / "50%\n.tar", "w") as tar:
        tar.add(photos / "ant/ant.000.JPEG", "x.jpg")
    for source in ("tree", "tars"):
        dst = run(tmp_path / source, f"out-{source}")
        sums = ledger(dst) / "SHA256SUMS"
        check = ["sha256sum", "-c", "--strict", str(sums)]
        checked = subprocess.run(check, check=False, cwd=dst, capture_output=True)
        assert checked.returncode == 0, checked.stderr
        assert len(sums.read_bytes().splitlines()) == {"tree": len(names), "tars": 1}[source]
        assert stats(dst)["committed"] == 1


def test_half_a_tar_is_made_and_reported(shards: Path, state: State, tmp_path: Path) -> None:
    half = tmp_path / "half"
    half.mkdir()
    data = (shards / "00000.tar").read_bytes()
    (half / "0.tar").write_bytes(data[: len(data) // 2])
    with pytest.raises(RunFailed, match="break off"):
        synth(config(half, tmp_path / "out"))
    state(tmp_path / "out")
    assert stats(tmp_path / "out")["outcome"] == "failed_shards"
    assert stats(tmp_path / "out")["statuses"]["ok"] >= 3


def test_nothing_usable_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "a" / "x.jpg").write_bytes(b"no image")
    for rate in (0.01, 1.0):
        with pytest.raises(RunFailed, match=r"1 of 1 images could not be used; reasons: .*--overwrite$"):
            synth(config(tmp_path / "data", tmp_path / "out", max_error_rate=rate))
    (tmp_path / "data" / "a" / "x.jpg").write_bytes(small_png(30, 30))
    assert synth(config(tmp_path / "data", tmp_path / "out", overwrite=True)) == 0


def test_other_settings_are_refused_field_by_field(photos: Path, run: Run, state: State) -> None:
    dst = run(photos)
    before = state(dst)
    with pytest.raises(InputError, match=r"size: 32 -> 48; seed: 0 -> 1"):
        synth(config(photos, dst, size=48, seed=1))
    with pytest.raises(InputError, match="limit: None -> 5"):
        synth(config(photos, dst, limit=5))
    assert state(dst) == before


def test_another_version_of_the_method_is_refused(
    photos: Path, run: Run, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    dst = run(photos)
    before = state(dst)
    monkeypatch.setitem(PRESETS, "quality", replace(PRESETS["quality"], version=99))
    assert synth(config(photos, dst)) == 0
    own = PRESETS["default"].version
    monkeypatch.setitem(PRESETS, "default", replace(PRESETS["default"], version=own + 1))
    with pytest.raises(InputError, match=f"method_version: {own} -> {own + 1}"):
        synth(config(photos, dst))
    with pytest.raises(InputError, match=f"made by version {own} of method default, this is version"):
        verify(VerifyConfig(str(dst), str(photos), resynth=2))
    assert verify(VerifyConfig(str(dst), str(photos))) == 0
    assert state(dst) == before


def test_a_run_of_exemplars_of_one_size_goes_on_with_them(photos: Path, tmp_path: Path, state: State) -> None:
    """The record of such a run knows no levels, and the command that is repeated names no size."""
    dst = tmp_path / "out"
    synth(SynthConfig.flat(str(photos), str(dst), size=32, exemplar_size=96, executor="sync"))
    record = tmp_path / "out.texneg" / "config.json"
    stored = json.loads(record.read_text())
    assert stored["settings"].pop("levels") is None
    record.write_text(json.dumps(stored))
    before = state(dst)
    next(dst.rglob("*.webp")).unlink()
    assert synth(SynthConfig.flat(str(photos), str(dst), size=32, executor="sync")) == 0
    assert state(dst) == before
    assert verify(VerifyConfig(str(dst), str(photos), resynth=2)) == 0
    with pytest.raises(InputError, match="levels: None -> 2"):
        synth(SynthConfig.flat(str(photos), str(dst), size=32, levels=2, executor="sync"))


def test_levels_change_textures(photos: Path, tmp_path: Path) -> None:
    made = []
    for levels in (None, 1, 2):
        dst = tmp_path / f"levels-{levels}"
        synth(config(photos, dst, size=96, exemplar_size=32, levels=levels, limit=2))
        made.append([path.read_bytes() for path in sorted(dst.rglob("*.webp"))])
    assert made[0] == made[2] != made[1]


@pytest.mark.parametrize(
    ("sides", "expected"),
    [((32, 40), 14), ((64, 64), 28), ((96, 200), 42), ((223, 300), 96), ((500, 375), 96), ((31, 40), None)],
)
@pytest.mark.parametrize("exemplars", ["paper", "turned"])
def test_without_a_size_exemplars_are_a_share_of_small_images(
    tmp_path: Path, manifest: Rows, sides: tuple[int, int], expected: int | None, exemplars: str
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "1.png").write_bytes(small_png(*sides))
    (tmp_path / "data" / "2.png").write_bytes(small_png(40, 40))
    options = {"size": 16, "executor": "sync", "exemplars": exemplars}
    synth(SynthConfig.flat(str(tmp_path / "data"), str(tmp_path / "out"), **options))
    (first, second), rejected = manifest(tmp_path / "out"), expected is None
    other = 18
    if exemplars == "turned":
        other, expected = 9, expected and max(min(expected // 2, 40), 8)
    assert (first["status"], first["patch_size"]) == ("too_small" if rejected else "ok", expected)
    assert second["patch_size"] == other
    assert (second["patch_turns"] is None) == (exemplars == "paper")


def test_another_source_is_refused_and_a_moved_one_is_not(
    photos: Path, many_photos: Path, run: Run, tmp_path: Path
) -> None:
    dst = run(photos)
    with pytest.raises(InputError, match="holds other images"):
        synth(config(many_photos, dst))
    moved = Path(shutil.copytree(photos, tmp_path / "moved"))
    assert synth(config(moved, dst)) == 0


def test_overwrite_spares_files_it_did_not_make(photos: Path, run: Run) -> None:
    dst = run(photos)
    (dst / "ant" / "mine.txt").write_text("keep")
    first = (dst / "ant/ant.000.webp").read_bytes()
    assert synth(config(photos, dst, limit=10, seed=9, overwrite=True)) == 0
    assert (dst / "ant" / "mine.txt").read_text() == "keep"
    assert len(list(dst.rglob("*.webp"))) == 10
    assert first not in [path.read_bytes() for path in dst.rglob("*.webp")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 5}, "--size 5: allowed is 16 to 1024 px"),
        ({"method": "magic"}, "--method magic: allowed is fast"),
        ({"levels": 5}, "--levels 5: allowed is 1 to 4"),
        ({"exemplar_size": 7}, "--exemplar-size 7: allowed is 8 to 2048 px"),
        ({"limit": 0}, "--limit 0: allowed is 1 or more"),
        ({"max_error_rate": 2.0}, "--max-error-rate 2.0: allowed is 0 to 1"),
        ({"seed": -1}, "--seed -1: allowed is 0"),
        ({"src": "nowhere"}, "nowhere does not exist; give a folder"),
        ({"dst": "{photos}/inside"}, "lies inside SRC"),
        ({"dst": "{foreign}/thesis.txt/new"}, "thesis.txt is a file; DST must be a folder"),
        ({"dst": "{foreign}"}, "is not empty and has no ledger"),
        ({"ledger": "{tmp}/new/ledger"}, "lies inside DST"),
        ({"scheduler": "nonsense"}, "--scheduler nonsense: missing port number"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_written(
    photos: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("keep")
    places = {"photos": photos, "foreign": foreign, "tmp": tmp_path}
    change = {k: v.format(**places) if isinstance(v, str) else v for k, v in change.items()}
    with pytest.raises(InputError, match=re.escape(message)):
        synth(config(photos, tmp_path / "new").with_flags(**change))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["foreign"]
    assert [path.name for path in foreign.iterdir()] == ["thesis.txt"]
    assert not (photos / "inside").exists()


@pytest.mark.parametrize("calls", [1, 9, 23])
def test_an_overwrite_cut_short_loses_nothing(
    photos: Path, run: Run, state: State, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    before = state(run(photos))
    unlink, left = Path.unlink, iter(range(calls))

    def kill(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".webp" and next(left, None) is None:
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", kill)
        with pytest.raises(KeyboardInterrupt):
            run(photos, overwrite=True)
    assert state(run(photos)) == before


def test_a_second_driver_is_refused(photos: Path, tmp_path: Path) -> None:
    lock = tmp_path / "out.texneg" / "lock"
    lock.parent.mkdir()
    lock.write_text(json.dumps({"host": os.uname().nodename, "pid": os.getppid(), "time": 1e12}))
    with pytest.raises(InputError, match="--steal-lock"):
        synth(config(photos, tmp_path / "out"))
    assert synth(config(photos, tmp_path / "out", steal_lock=True)) == 0


def full_after(count: int, original: Callable[..., Any]) -> Callable[..., Any]:
    """A function of `texneg.datasets.storage.atomic` on a disk that is full after `count` more calls."""
    calls = iter(range(count))

    def write(*args: Any, **options: Any) -> Any:
        if next(calls, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device", "/full")
        return original(*args, **options)

    return write


@pytest.mark.parametrize(
    ("form", "victim"),
    [
        ("folder", "write_many"),
        ("folder", "write_bytes"),
        ("webdataset", "write_bytes"),
        ("webdataset", "atomic_file"),
    ],
)
def test_a_full_disk_stops_cleanly_and_the_run_resumes(
    photos: Path, state: State, tmp_path: Path, form: str, victim: str
) -> None:
    settings = config(photos, tmp_path / "out", format=form, part_size=5, shard_size=10)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run_task, victim, full_after(2, getattr(run_task, victim)))
        with pytest.raises(RunFailed, match=r"No space left on device .* MB free\).*resume: texneg synth"):
            synth(settings)
    assert stats(tmp_path / "out")["outcome"] == "storage"
    assert synth(settings) == 0
    assert synth(config(photos, tmp_path / "whole", format=form, shard_size=10)) == 0
    assert state(tmp_path / "out") == state(tmp_path / "whole")


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, r"\(.* MB free\): make room"),
        (errno.EROFS, "allow writing there"),
        (errno.EACCES, "allow access there"),
    ],
)
def test_a_disk_that_refuses_the_plan_is_named(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    def refuse(*args: Any, **options: Any) -> Any:
        raise OSError(number, os.strerror(number), "/disk")

    with monkeypatch.context() as patched:
        patched.setattr(plan, "write_json", refuse)
        with pytest.raises(RunFailed, match=rf"{os.strerror(number)} at /disk.*{remedy}; resume: texneg "):
            synth(config(photos, tmp_path / "out"))
    assert synth(config(photos, tmp_path / "out")) == 0


def test_a_changed_input_fails_its_shard_and_names_it(photos: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(photos, tmp_path / "copy"))
    settings = config(copy, tmp_path / "out", shard_size=10, retries=1)
    victim = copy / "cow/cow.007.JPEG"
    open_run(settings, specify(settings, settings.compute))  # the plan is frozen here
    victim.write_bytes(victim.read_bytes() + b"more")
    with pytest.raises(RunFailed, match=r"1 of 3 shards failed .*changed since the plan was made"):
        synth(settings.with_flags(task="0/1"))  # which takes the plan as it is
    assert synth(settings) == 0


def test_recheck_makes_damaged_textures_again(photos: Path, run: Run, state: State) -> None:
    dst = run(photos)
    before = state(dst)
    victim = dst / "bee/bee.004.webp"
    victim.write_bytes(victim.read_bytes()[:-1] + b"\xff")
    (dst / "cow/cow.001.webp").unlink()
    assert state(run(photos, recheck=True)) == before


def test_recheck_does_not_trust_parts_that_a_kill_left(
    photos: Path, run: Run, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(run(photos, part_size=5))
    shutil.rmtree(tmp_path / "out")
    shutil.rmtree(ledger(tmp_path / "out"))
    with monkeypatch.context() as patched:  # killed between the commit and the removal of its parts
        patched.setattr(Ledger, "remove_parts", lambda *_: None)
        patched.setattr(Ledger, "sweep", lambda _: None)
        dst = run(photos, part_size=5)
    (dst / "bee/bee.004.webp").unlink()
    assert state(run(photos, part_size=5, recheck=True)) == before


def test_a_lost_output_tar_is_made_again(photos: Path, run: Run, state: State) -> None:
    dst = run(photos, format="webdataset", shard_size=10)
    before = state(dst)
    (dst / "texneg-000001.tar").unlink()
    assert state(run(photos, format="webdataset", shard_size=10)) == before


def test_command_line_of_a_run() -> None:
    made = SynthConfig.flat("in put", "out", size=64, format="folder", overwrite=True)
    assert made.command() == "texneg synth 'in put' out --format folder --size 64"


def test_image_seed_is_fixed_for_ever() -> None:
    assert image_seed(0, "n01440764/n01440764_10026") == 2155949361025512161
    assert image_seed(1, "a") == 11492100248991342953


def test_left_overs_of_a_kill_are_swept_and_nothing_else(photos: Path, run: Run) -> None:
    dst = run(photos, shard_size=10)
    (ledger(dst) / "done/all/000/000001.json").unlink()
    tag = json.loads((ledger(dst) / "config.json").read_text())["fingerprint"][:8]
    mine = dst / "ant" / f".ant.001.webp.{tag}-0123abcd.tmp"
    early = [ledger(dst) / ".lock.0123abcd.tmp", ledger(dst) / "plan" / ".part-00000.parquet.0123abcd.tmp"]
    others = [dst / "ant" / ".ant.001.webp.ffffffff-0123abcd.tmp", dst / ".nfs0001", dst / f"{tag}.tmp"]
    for path in (mine, *early, *others):
        path.write_bytes(b"half")
    run(photos, shard_size=10)
    assert not any(path.exists() for path in (mine, *early))
    assert all(path.exists() for path in others)


def test_a_run_from_before_a_setting_existed_resumes(photos: Path, run: Run, state: State) -> None:
    dst = run(photos)
    before = state(dst)
    record = json.loads((ledger(dst) / "config.json").read_text())
    for name in ("layout", "exif"):
        del record["settings"][name]
    (ledger(dst) / "config.json").write_text(json.dumps(record))
    assert state(run(photos)) == before


def test_a_record_of_another_version_is_refused(photos: Path, run: Run) -> None:
    dst = run(photos)
    record = json.loads((ledger(dst) / "config.json").read_text())
    record["settings"]["colour_space"] = "oklab"
    (ledger(dst) / "config.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"config\.json was written by another version of texneg"):
        run(photos)
