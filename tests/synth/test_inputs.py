"""Reports about the inputs as a whole: duplicates, and truncated images that are used."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageFile

from texneg.datasets.images import open_images
from texneg.errors import InputError
from texneg.synth.driver import finalize
from texneg.synth.driver.finalize import DuplicateCounter
from texneg.synth.plan import planning
from texneg.synth.verify import VerifyConfig, verify
from texneg.textures.exemplars import exemplars
from texneg.textures.texture import texture

Run = Callable[..., Path]
Rows = Callable[[Path], list[dict[str, Any]]]


def stats(dst: Path) -> Any:
    return json.loads((dst.with_name(f"{dst.name}.texneg") / "stats.json").read_text())


def table(values: list[int | None]) -> pa.Table:
    digests = [None if v is None else hashlib.sha256(str(v).encode()).digest() for v in values]
    return pa.table({"src_sha256": pa.array(digests, pa.binary(32))})


def test_equal_checksums_are_counted_over_all_tables() -> None:
    found = DuplicateCounter(9)
    for values in ([1, 2, None], [2, 3], [], [None], [2, 1, 4]):
        found.add(table(values))
    found.add(table([9, 9, 5, 5]).slice(2, 1))
    assert (found.count(), found.every) == (3, 1)


def test_of_many_inputs_a_share_of_the_contents_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finalize, "MOST_DIGESTS", 3000)
    values = np.random.default_rng(0).integers(0, 6000, 12000).tolist()
    found = DuplicateCounter(len(values))
    for start in range(0, len(values), 1000):
        found.add(table(values[start : start + 1000]))
    assert found.every == 4
    assert found.count() == pytest.approx(len(values) - len(set(values)), rel=0.1)


def test_identical_inputs_are_counted_and_reported(
    photos: Path, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    src = Path(shutil.copytree(photos, tmp_path / "src"))
    for name in ("ant/copy.jpg", "bee/copy.jpg"):
        shutil.copy(src / "cow/cow.000.JPEG", src / name)
    dst = run(src, shard_size=5)
    assert "2 images with the bytes of another: equal src_sha256" in capsys.readouterr().err
    assert stats(dst)["inputs"] == {"identical": 2, "identical_counted_1_in": 1, "used_though_truncated": 0}
    (dst.with_name("out.texneg") / "stats.json").unlink()
    run(src, shard_size=5)
    assert stats(dst)["inputs"]["identical"] == 2
    run(photos, "plain")
    assert "bytes of another" not in capsys.readouterr().err.rpartition("plain")[2]


def test_a_task_takes_no_more_than_a_worker_can_hold(
    photos: Path, run: Run, state: Callable[[Path], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = state(run(photos, "whole", layout="paired"))
    monkeypatch.setattr(planning, "LARGEST_PART_BYTES", 30_000)
    part_size = {}
    for layout in ("textures", "paired"):
        dst = run(photos, layout, layout=layout)
        plan = json.loads((dst.with_name(f"{layout}.texneg") / "plan/plan.json").read_text())
        part_size[layout] = plan["part_size"]
    mean = sum(path.stat().st_size for path in photos.rglob("*.JPEG")) // 24
    assert part_size == {"textures": 30_000 // 3072, "paired": 30_000 // (3072 + mean)}
    assert state(dst) == whole


def test_a_source_may_move_after_an_image_in_it_was_mended(
    photos: Path, run: Run, cut: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dst = run(cut, shard_size=10)
    shutil.copy(photos / "bee/bee.003.JPEG", cut / "bee/bee.003.JPEG")
    run(cut, shard_size=10, retry_quarantined=())
    moved = Path(shutil.move(cut, tmp_path / "moved"))
    capsys.readouterr()
    run(moved, shard_size=10)
    assert "nothing was left to do" in capsys.readouterr().out
    assert verify(VerifyConfig(str(dst), str(moved))) == 0
    (moved / "ant/more.png").write_bytes(b"")
    with pytest.raises(InputError, match="holds other images"):
        run(moved, shard_size=10)


@pytest.fixture
def cut(photos: Path, tmp_path: Path) -> Path:
    """The photographs, one of them without its second half."""
    src = Path(shutil.copytree(photos, tmp_path / "cut"))
    data = (src / "bee/bee.003.JPEG").read_bytes()
    (src / "bee/bee.003.JPEG").write_bytes(data[: len(data) // 2])
    return src


def test_truncated_images_are_used_where_that_is_allowed(
    cut: Path, run: Run, manifest: Rows, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = {row["key"]: row for row in manifest(run(cut, "refused"))}
    assert refused["bee/bee.003"]["status"] == "truncated"
    dst = run(cut, "used", allow_truncated=True)
    assert "1 image used as far as a truncated or damaged file goes" in capsys.readouterr().err
    assert stats(dst)["inputs"]["used_though_truncated"] == 1
    rows = {row["key"]: row for row in manifest(dst)}
    row = rows.pop("bee/bee.003")
    assert row["status"] == "ok"
    assert row["error"].startswith("used as far as it goes: image file is truncated (")
    assert all(row["status"] == "ok" and row["error"] is None for row in rows.values())
    assert {key: row["out_sha256"] for key, row in rows.items()} == {
        key: row["out_sha256"] for key, row in refused.items() if row["out"]
    }
    assert verify(VerifyConfig(str(dst), str(cut), pixels=True, resynth=24)) == 0
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    pixels = np.array(Image.open(cut / row["src"]).convert("RGB"))
    seed = row["image_seed"]
    made = texture(exemplars(pixels, size=24, seed=seed), size=32, seed=seed)
    textures = open_images(dst)
    np.testing.assert_array_equal(textures[textures.keys.index("bee/bee.003")][0], made)
    with pytest.raises(InputError, match="allow_truncated: True -> False"):
        run(cut, "used")
