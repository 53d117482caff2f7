"""Every file and member of a source has its outcome in a texture run: a texture, a row, or a count."""

import io
import json
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from texneg.datasets.images import open_images
from texneg.datasets.sources.passed_over import DEAD_LINK, SYSTEM, TAR_BELOW
from texneg.datasets.sources.tars import DOTTED, TRAILER, fragment
from texneg.datasets.storage import places
from texneg.datasets.storage.url import Url
from texneg.errors import InputError, RunFailed
from texneg.synth.driver import queue
from texneg.synth.ledger import lease
from texneg.synth.plan.plan import load_plan
from texneg.synth.synth import SynthConfig, synth
from texneg.synth.verify import VerifyConfig, verify
from texneg.train.data.splits import open_textures, open_train

Run = Callable[..., Path]
Rows = Callable[[Path], list[dict[str, Any]]]


def noise(seed: int, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    values = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(values).save(buffer, form)
    return buffer.getvalue()


def archive(*names: str) -> bytes:
    return b"".join(fragment(name, noise(ord(name[0]))) for name in names) + TRAILER


def ledger(dst: Path) -> Path:
    return dst.with_name(f"{dst.name}.texneg")


def test_two_archives_in_one_tar_are_read_as_one(
    tmp_path: Path, run: Run, manifest: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "SETTLE_S", 0.0)
    both = archive("a.png", "b.png") + bytes(10240) + archive("c.png", "a.png") + bytes(4096)
    (tmp_path / "xy.tar").write_bytes(both)
    rows = manifest(dst := run(tmp_path / "xy.tar"))
    assert [(row["key"], row["status"]) for row in rows] == [
        *(("a", "ok"), ("b", "ok"), ("c", "ok"), ("a", "duplicate_key"))
    ]
    assert verify(VerifyConfig(str(dst), str(tmp_path / "xy.tar"))) == 0
    images = open_images(tmp_path / "xy.tar")
    assert [images.read(i) for i in range(3)] == [noise(ord(key)) for key in "abc"]
    bucket = Url(f"memory://{uuid.uuid4().hex}")
    (bucket / "src/xy.tar").put(both)
    config = {"size": 32, "exemplar_size": 24, "executor": "sync"}
    assert synth(SynthConfig.flat(f"{bucket}/src", f"{bucket}/out", **config)) == 0
    assert (bucket / "out/xy.tar").read_bytes() == (dst / "xy.tar").read_bytes()
    places.remove_tree(bucket)


def test_rubbish_behind_the_end_of_a_tar_ends_the_run_with_its_place(
    tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.tar").write_bytes(archive("a.png") + b"what is this")
    place = f"what follows byte {len(archive('a.png'))} is not a tar member"
    with pytest.raises(RunFailed, match=place):
        run(tmp_path / "x.tar")
    assert len(open_images(tmp_path / "out")) == 1
    with pytest.raises(InputError, match=place):
        open_images(tmp_path / "x.tar")
    (tmp_path / "x.tar").write_bytes(archive("a.png") + bytes(77777))
    run(tmp_path / "x.tar", "padded")
    assert "passed over" not in capsys.readouterr().err.rpartition("padded")[2]


DOTS = ("img_0.5_1.jpg", "img_0.5_2.jpg", "22.05.png", "ok.jpg")


def test_names_that_are_cut_at_a_dot_are_quarantined(
    tmp_path: Path, run: Run, manifest: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.tar").write_bytes(archive(*DOTS))
    for form in ("webdataset", "folder"):
        dst = run(tmp_path / "x.tar", form, format=form)
        assert [row["status"] for row in manifest(dst)] == ["dotted_name"] * 3 + ["ok"]
        bad = pq.read_table(ledger(dst) / "quarantine.parquet").to_pylist()
        assert [row["src"] for row in bad] == [f"x.tar::{name}" for name in DOTS[:3]]
        assert {row["error"] for row in bad} == {DOTTED}
        said = capsys.readouterr().err
        assert "3 of 4 images could not be used: 3 dotted_name" in said
        assert f"x.tar::img_0.5_1.jpg: dotted_name, {DOTTED}" in said
    (tmp_path / "x.tar").write_bytes(archive(*(name.replace(".", "%2E", 1) for name in DOTS[:3]), DOTS[3]))
    assert {row["key"] for row in manifest(run(tmp_path / "x.tar", "renamed"))} == {
        *("img_0.5_1", "img_0.5_2", "22.05", "ok")
    }


def test_names_that_are_cut_at_a_dot_count_under_the_error_rate(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "JUDGED_FROM", 4)
    (tmp_path / "x.tar").write_bytes(archive(*DOTS))
    with pytest.raises(RunFailed, match=r"3 of 4 images could not be used, more than --max-error-rate 0\.5"):
        run(tmp_path / "x.tar", max_error_rate=0.5)
    run(tmp_path / "x.tar", "lenient", max_error_rate=0.75)


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_what_is_passed_over_is_printed_and_kept(
    tmp_path: Path, run: Run, manifest: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    src = tmp_path / "src"
    for number, name in enumerate(("a/1.jfif", "a/2.jpe", "b/3.ppm", "b/4.pgm", "b/5.PNG")):
        form = {"jfif": "JPEG", "jpe": "JPEG", "PNG": "PNG"}.get(name.rpartition(".")[2], "PPM")
        write(src / name, noise(number, form))
    for name in ("@eaDir/1.png", "a/#recycle/1.png", "$RECYCLE.BIN/1.png", "a/x.heic", "b/0001", "b/0.tar"):
        write(src / name, noise(9))
    (src / "b/gone.jpg").symlink_to("nowhere")
    dst = run(src, layout="paired")
    assert [(row["label"], row["status"]) for row in manifest(dst)] == [
        *(("a", "ok"), ("a", "ok"), ("b", "ok"), ("b", "ok"), ("b", "ok"), ("b", "decode_error"))
    ]
    said = capsys.readouterr().err
    heic = ".heic picture, which texneg does not read: convert it to JPEG or PNG"
    for line in (
        f"passed over: 3 x {SYSTEM} (first: $RECYCLE.BIN)",
        f"passed over: 1 x {heic} (first: a/x.heic)",
        f"passed over: 1 x {TAR_BELOW} (first: b/0.tar)",
        f"b/gone.jpg: decode_error, a {DEAD_LINK}",
    ):
        assert line in said
    stored = json.loads((ledger(dst) / "stats.json").read_text())["source"]
    assert (stored["skipped"][SYSTEM], stored["skipped_first"][heic]) == (3, "a/x.heic")
    assert load_plan(ledger(dst) / "plan").source.classes == ["a", "b"]
    images = open_images(src)
    assert images.passed_over.counts[SYSTEM] == 3
    assert images.classes == ("a", "b")
    run(src, "dry", dry_run=True)
    assert f"passed over: 1 x {heic} (first: a/x.heic)" in capsys.readouterr().out


def test_splits_further_down_are_named(tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("train/n01/1.png", "val/1.png"):
        write(tmp_path / "ILSVRC/Data/CLS-LOC" / name, noise(len(name)))
    dst = run(tmp_path / "ILSVRC")
    hint = "the splits in Data/CLS-LOC are taken for ordinary folders; to tell them apart give"
    assert f"{hint} {tmp_path}/ILSVRC/Data/CLS-LOC\n" in capsys.readouterr().err
    assert open_textures(str(dst), open_images(dst), "").keys == open_train(str(tmp_path / "ILSVRC")).keys
    run(tmp_path / "ILSVRC/Data/CLS-LOC", "told-apart")
    assert "ordinary folders" not in capsys.readouterr().err


def test_a_plan_of_an_earlier_version_has_no_names(tmp_path: Path, photos: Path, run: Run) -> None:
    dst = run(photos)
    path = ledger(dst) / "plan/plan.json"
    stored = json.loads(path.read_text())
    del stored["source"]["skipped_first"]
    stored["source"]["skipped"] = {"no image by its suffix": 2}
    path.write_text(json.dumps(stored))
    assert load_plan(path.parent).source.passed_over.lines() == ["2 x no image by its suffix"]
    run(photos)


def test_tars_in_capitals_and_one_folder_below(tmp_path: Path, run: Run, manifest: Rows) -> None:
    write(tmp_path / "src/a.TAR", archive("a.png"))
    dst = run(tmp_path / "src")
    assert [row["out"] for row in manifest(dst)] == ["a.tar::a.webp"]
    assert verify(VerifyConfig(str(dst), str(tmp_path / "src"))) == 0
    write(tmp_path / "src/a.tar", archive("b.png"))
    with pytest.raises(InputError, match=r"a\.TAR and a\.tar would give one output tar"):
        run(tmp_path / "src", "twice")
    for part in range(2):
        write(tmp_path / f"below/part{part}/000.tar", archive("a.png"))
    with pytest.raises(InputError, match=r"2 x tar one folder below: name that folder.*part0/000\.tar"):
        run(tmp_path / "below", "below-out")


def test_metadata_and_damage_are_told_apart(
    tmp_path: Path, run: Run, manifest: Rows, capfd: pytest.CaptureFixture[str]
) -> None:
    data = noise(1)
    profile = b"iCCPa\0\0" + zlib.compress(bytes(2_000_000))
    text = (len(profile) - 4).to_bytes(4) + profile + zlib.crc32(profile).to_bytes(4)
    jpeg = noise(2, "JPEG")
    half = len(jpeg) // 2
    write(tmp_path / "src/plain.png", data)
    write(tmp_path / "src/profile.png", data[:33] + text + data[33:])
    write(tmp_path / "src/damaged.jpg", jpeg[:half] + bytes(200) + jpeg[half + 200 :])
    rows = {row["key"]: row for row in manifest(run(tmp_path / "src"))}
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert rows["plain"]["error"] is None
    assert rows["profile"]["error"] is None
    assert rows["damaged"]["error"].startswith("used as it decodes: Corrupt JPEG data: ")
    said = capfd.readouterr().err
    assert "1 image used as far as a truncated or damaged file goes" in said
    assert "Corrupt JPEG data" not in said
