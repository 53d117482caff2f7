"""The texture benchmark's exemplars, averages and limits; never its speed or what it finds good."""

import hashlib
import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from texneg.bench import textures
from texneg.bench.common.photographs import PHOTOS, exemplars, photo_pairs
from texneg.bench.common.quality import PUBLISHED, Quality, summarise
from texneg.bench.common.ratios import Timing
from texneg.cli.main import main


def tar_of(path, photos):
    with tarfile.open(path, "w") as archive:
        for name, pixels in photos:
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "JPEG")
            member = tarfile.TarInfo(name)
            member.size = file.tell()
            file.seek(0)
            archive.addfile(member, file)
    return path


def test_exemplars_lie_where_the_yardstick_says():
    rows, columns = np.mgrid[:250, :200].astype(np.uint8)
    photo = np.stack([rows, columns, rows], axis=-1)
    for k in range(PHOTOS):
        corners = [cut[0, 0, :2].tolist() for cut in exemplars(photo, k)]
        assert corners == [[77, 52], [154 * (37 * k % 101) // 100, 104 * (61 * k % 101) // 100]]
        assert all(cut.shape == (96, 96, 3) for cut in exemplars(photo, k))


def test_every_sixth_photograph_is_taken_in_bytewise_order(tmp_path):
    shades = [(f"{number:03}.jpg", np.full((96, 96, 3), number, np.uint8)) for number in range(250)]
    shades[0] = ("B.jpg", shades[0][1])  # a capital comes after digits
    tar = tar_of(tmp_path / "photos.tar", reversed(shades))
    taken = [int(centre[0, 0, 0]) for centre, _ in photo_pairs(tar)]
    assert taken == list(range(1, 241, 6))


@pytest.mark.parametrize(
    ("photos", "word"),
    [
        ([("a.jpg", np.zeros((96, 96, 3), np.uint8))], "1 JPEG"),
        ([(f"{n:03}.jpg", np.zeros((96, 95, 3), np.uint8)) for n in range(240)], "96 px"),
    ],
)
def test_a_tar_with_too_little_is_wrong_usage(tmp_path, capsys, monkeypatch, photos, word):
    monkeypatch.setattr(textures, "VIEWS", ())
    monkeypatch.setattr(textures, "_time_textures", lambda rounds: [])
    tar = tar_of(tmp_path / "photos.tar", photos)
    assert main(["bench", "textures", "--photos", str(tar)]) == 2
    told = capsys.readouterr().err
    assert word in told
    assert told.count("\n") == 1


def test_no_tar_is_wrong_usage(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(textures, "VIEWS", ())
    monkeypatch.setattr(textures, "_time_textures", lambda rounds: [])
    (tmp_path / "text.tar").write_text("no tar")
    for name in ("text.tar", "nothing.tar"):
        assert main(["bench", "textures", "--photos", str(tmp_path / name)]) == 2
        assert name in capsys.readouterr().err


def test_the_live_method_shows_the_exemplars_its_map_names():
    draws = np.random.default_rng(0)
    pair = [draws.integers(0, 256, (96, 96, 3), np.uint8) for _ in range(2)]
    made, coordinates = textures.live_map(pair, seed=3)
    owner, row, column = np.moveaxis(coordinates, -1, 0)
    assert made.shape == (224, 224, 3)
    assert np.array_equal(made, np.stack(pair)[owner, row, column])
    assert np.array_equal(made, textures.live(pair, seed=3))
    assert not np.array_equal(made, textures.live(pair, seed=4))


def one(**figures):
    same = {
        "swd": (1.0, 2.0, 3.0, 6.0),
        "gradient_w1": 1.0,
        "gradient_tail": 1.0,
        "seam_ratio": 1.0,
        "largest_verbatim": 10,
        "mean_verbatim": 5.0,
        "imbalance": 0.0,
        "coverage": 1.0,
    }
    return Quality(**(same | figures))


def test_averages_are_medians_of_seams_sizes_and_tail_and_means_of_the_rest():
    found = [
        one(),
        one(seam_ratio=float("nan"), largest_verbatim=10, imbalance=0.3, swd=(4.0, 2.0, 3.0, 6.0)),
        one(seam_ratio=4.0, largest_verbatim=1000, coverage=0.4, gradient_tail=9.0),
    ]
    averages = summarise(found)
    assert averages["seam_ratio"] == pytest.approx(2.5)  # nan: no seams, nothing to average
    assert averages["largest_verbatim"] == 10
    assert averages["gradient_tail"] == 1
    assert averages["imbalance"] == pytest.approx(0.1)
    assert averages["coverage"] == pytest.approx(0.8)
    assert averages["swd_level_0"] == pytest.approx(2)
    assert averages["swd"] == pytest.approx(3.25)


def test_quality_on_photographs_is_a_ratio_to_the_stored_tool(tmp_path, monkeypatch):
    halved = PUBLISHED | {"swd": (4.2,) * 4, "coverage": 0.94, "gradient_tail": 1.0}
    monkeypatch.setattr(textures, "photo_pairs", lambda tar: [])
    measured = textures.Measured(Timing((0.004, 0.001, 0.009)), [one(**halved)], portilla=0.531)
    monkeypatch.setattr(
        textures, "measure_quality", lambda pairs, seeds: ({"fast": measured}, Timing((0.002, 0.001, 0.003)))
    )
    tool, fast = textures.judge_photos(tmp_path, quick=True)
    assert set(tool.ratios.values()) == {1.0}
    assert fast.ratios == pytest.approx(
        dict.fromkeys(PUBLISHED, 1.0) | {"swd": 0.5, "coverage": 2, "portilla": 0.5, "window loops": 2.0}
    )
    kept = {
        gate.ratio: gate.kept(value)
        for gate in textures.QUALITY_GATES
        if (value := gate.value([fast])) is not None
    }
    assert kept == {
        "window loops": False,
        "swd": True,
        "gradient_w1": False,
        "seam_ratio": True,
        "largest_verbatim": False,
        "mean_verbatim": False,
        "imbalance": False,
        "coverage": True,
        "portilla": True,
    }


def test_every_limit_names_what_the_benchmark_measures():
    rows = textures.measure_textures(quick=True)
    without_photos = [gate for gate in textures.GATES if gate not in textures.QUALITY_GATES]
    assert without_photos
    assert all(gate.value(rows) > 0 for gate in without_photos)
    assert not any(gate.value(rows) for gate in textures.QUALITY_GATES)
    assert {row.case for row in rows if row.microseconds is None} == {textures.PATTERNS}


def test_the_record_names_the_photographs_by_their_hash(tmp_path):
    tar = tmp_path / "photos.tar"
    tar.write_bytes(b"bytes")
    told = textures.describe(tar)["photographs"]
    assert told == f"photos.tar, sha256 {hashlib.sha256(b'bytes').hexdigest()}"
    assert list(textures.describe(None)) == ["texture methods"]
