"""Reliance of encoders that rely on one known thing, or on nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from texneg.errors import InputError
from texneg.train.evaluate import analyze
from texneg.train.evaluate.analyses import curves, tested
from texneg.train.evaluate.analyses.curves import (
    AXES,
    UNCHANGED,
    Change,
    change,
    compare,
    describe_change,
    list_points,
    pack,
    unpack,
)
from texneg.train.evaluate.analyses.reliance import CELLS, SHEET, Reliance
from texneg.train.evaluate.figures import Look, to_drawing, to_svg
from texneg.train.evaluate.intervals import Interval

EQUALLY_BRIGHT = {"blue": (60, 110, 152), "red": (200, 60, 44), "violet": (140, 50, 251)}


def write_split(root, per_class, seed):
    draw = np.random.default_rng(seed)
    for name, colour in EQUALLY_BRIGHT.items():
        (root / name).mkdir(parents=True)
        for i in range(per_class):
            pixels = np.array(colour) + draw.normal(0, 4, (16, 16, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / name / f"{name}{i}.png")


@pytest.fixture
def data(tmp_path):
    write_split(tmp_path / "data" / "train", 12, 0)
    write_split(tmp_path / "data" / "val", 10, 1)
    return tmp_path / "data"


@pytest.fixture
def measure(encoder, data, tmp_path, monkeypatch):
    """A function that runs the command with an encoder of these features and returns what it wrote."""
    monkeypatch.setattr(analyze, "open_encoder", lambda *_: encoder)

    def run(features=None, out="run", **options):
        if features is not None:
            monkeypatch.setattr(type(encoder), "forward", lambda self, images: features(images))
        folder = tmp_path / out
        folder.mkdir(exist_ok=True)
        analyze.analyze(Reliance("encoder", str(data), str(folder), **options))
        return json.loads((folder / "reliance.json").read_text())

    return run


def mean_colour(images):
    return images.mean((2, 3))


def nothing(images):
    """Features that no two images share."""
    return images.flatten(1)[:, :6] * 12345.678 % 1


def by_axis(found):
    rows = {}
    for point in found["points"]:
        rows.setdefault(point["axis"], []).append(point["accuracy"])
    return rows


def test_an_encoder_of_colour_is_caught_by_colour_alone(measure, tmp_path):
    found = measure(mean_colour)
    with Image.open(tmp_path / "run" / SHEET) as sheet:
        assert sheet.size == (9 * 96, 5 * (96 + 18))  # 41 points at 16 px
    assert (found["n"], found["classes"], found["fitted"]) == (30, 3, 36)
    rows = by_axis(found)
    assert set(rows) == {UNCHANGED, *AXES}
    for axis in (UNCHANGED, "shape", "texture", "frequency", "watermark", "patches", "textures"):
        assert min(rows[axis]) > 0.95, axis
    grey = {p["strength"]: p["accuracy"] for p in found["points"] if p["curve"] == "grey"}
    assert grey[1.0] < 0.6 < grey[0.2]
    pairs = {(p["curve"], p["strength"]): p["accuracy"] for p in found["points"] if p["axis"] == "pairs"}
    assert min(value for (name, _), value in pairs.items() if "colour" not in name) > 0.95
    assert max(value for (name, s), value in pairs.items() if "colour" in name and s == 2) < 0.6
    numbers = Reliance.numbers(found)
    assert numbers["kept above chance, shape taken away"] == pytest.approx(1)
    assert numbers["kept above chance, colour taken away"] < 0.8
    assert "neighbours, taken away" in numbers and "cue-conflict shape bias (disputed)" not in numbers


def test_an_encoder_of_nothing_is_flat_at_chance(measure):
    """As likely right as by chance, whatever is taken away."""
    found = measure(nothing)
    shares = [point["accuracy"] for point in found["points"]]
    assert abs(np.mean(shares) - 1 / 3) < 0.1
    assert max(abs(share - 1 / 3) for share in shares) < 4 * np.sqrt(2 / 9 / 30)


def test_batches_do_not_matter_and_what_is_finished_is_not_measured_again(measure, tmp_path, monkeypatch):
    first = measure(mean_colour, batch=4, axes=("shape", "colour"))
    with monkeypatch.context() as patch:
        patch.setattr(tested, "MOST_BYTES", 0)  # decode anew for each point
        other = measure(mean_colour, out="other", batch=64, axes=("shape", "colour"))
    assert first["points"] == other["points"]
    cells = tmp_path / "run" / CELLS
    lines = cells.read_text().splitlines(keepends=True)
    assert len(lines) == 1 + 8 + 5
    cells.write_text("".join(lines[:-2]) + lines[-1][:20])
    made = []
    plain = curves.suppress
    monkeypatch.setattr(curves, "suppress", lambda *a, **k: made.append(a[1]) or plain(*a, **k))
    again = measure(mean_colour, batch=4, axes=("shape", "colour"))
    assert again["points"] == first["points"]
    assert len(made) == 2 * 30 + 14  # the two cells that were lost, and the sheet


def test_textures_alone_are_made_of_the_image_for_its_seed_and_key():
    point = list_points(("textures",), (), 32)[1]
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    made = change(image, point, seed=0, key="a")
    np.testing.assert_array_equal(change(image, point, seed=0, key="a"), made)
    assert (change(image, point, seed=1, key="a") != made).any()
    assert (change(image, point, seed=0, key="b") != made).any()
    assert {tuple(pixel) for pixel in made.reshape(-1, 3)} < {tuple(pixel) for pixel in image.reshape(-1, 3)}


def test_two_encoders_are_compared_on_the_same_images(measure, tmp_path):
    measure(mean_colour, out="colour", images=20)
    found = measure(nothing, images=20, against=str(tmp_path / "colour"))
    assert found["change"].startswith("worse: unchanged images -")
    assert "falls: own patches alone -" in found["change"]
    assert any("against" in line and "worse" in line for line in Reliance.summary(found))
    with pytest.raises(InputError, match=r"^--against .*none: no reliance.json there; make it with texneg"):
        measure(against=str(tmp_path / "none"))


def test_changes_are_paired():
    draw = np.random.default_rng(0)
    n, names = 400, [("patch_shuffle", 2), ("patch_shuffle", 4), ("grey", 1)]
    a, b = (draw.random((2, len(names), n)) < 0.5 for _ in range(2))

    def findings(right):
        points = [
            {
                "axis": "shape" if c == "patch_shuffle" else "colour",
                "curve": c,
                "strength": s,
                "right": pack(r),
            }
            for (c, s), r in zip(names, right, strict=True)
        ]
        return {"n": n, "sample": "k", "points": points}

    found = compare([findings(one) for one in a], [findings(one) for one in b])
    values = (a.astype(float) - b)[:, :2].mean((0, 1))
    assert found["shape"].mean == pytest.approx(values.mean())
    half = 1.96 * values.std() / np.sqrt(n)
    assert found["shape"].interval == pytest.approx((values.mean() - half, values.mean() + half), abs=0.004)
    assert list(found) == ["shape", "colour"]
    assert compare([findings(a[0])], [{**findings(b[0]), "sample": "other"}]) == {}


def test_the_line_of_changes():
    up, down, open_ = (Change(m, Interval(m - 0.01, m + 0.01)) for m in (0.05, -0.02, 0.005))
    changes = {
        UNCHANGED: up,
        "shape": up,
        "texture": down,
        "colour": open_,
        "patches": down,
        "textures": open_,
    }
    assert describe_change(changes) == (
        "better: unchanged images +5.0, shape taken away +5.0; worse: texture taken away -2.0;"
        " falls: own patches alone -2.0; undecided: colour taken away, own texture alone"
    )
    assert "nothing to compare" in describe_change({})


@pytest.mark.parametrize("n", [1, 8, 13])
def test_answers_are_kept_as_digits(n):
    right = np.random.default_rng(n).random(n) < 0.5
    np.testing.assert_array_equal(unpack(pack(right), n), right)


def test_points_of_an_image_side():
    points = list_points(("all",), (2, 4, 8, 16), 224)
    assert len(points) == 44 and len({(p.curve, p.strength) for p in points}) == 44
    assert [p.strength for p in list_points(("frequency",), (2,), 32)[1:]] == [1, 2, 3]
    assert "textures" not in {p.axis for p in list_points(("all",), (2,), 15)}
    with pytest.raises(
        InputError, match=r"^--grids 16: a grid of 16 x 16 squares needs .*; these have 12; give"
    ):
        list_points(("all",), (2, 16), 12)
    with pytest.raises(InputError, match=r"^--axes form: allowed are all, shape, texture"):
        list_points(("form",), (2,), 32)
    with pytest.raises(InputError, match=r"^--grids 1: needs 2 squares"):
        list_points(("all",), (1,), 32)


def test_images_of_no_use_are_one_line(measure, data, tmp_path):
    for line, options in (
        ("holds the test images: a probe is fitted on others", {"test": str(data / "train")}),
        ("--grids 17: a grid of 17 x 17", {"grids": (17,)}),
    ):
        with pytest.raises(InputError, match=line):
            measure(mean_colour, **options)
    flat = tmp_path / "flat"
    flat.mkdir()
    Image.new("RGB", (16, 16)).save(flat / "a.png")
    Image.new("RGB", (16, 16)).save(flat / "b.png")
    with pytest.raises(InputError, match="no class folders; it needs two or more"):
        measure(test=str(flat))
    with pytest.raises(InputError, match=r"no val, validation or test split .* with --test"):
        Reliance("encoder", str(data / "train"), "out").open_images()


def test_the_figure_shows_every_arm_and_the_changes(measure):
    colour, other = measure(mean_colour, images=6), measure(nothing, out="other", images=6)
    arms = [(Look("plain", 0), [colour]), (Look("grey one", 1), [other])]
    svg = to_drawing("reliance", lambda: Reliance.figure(arms))  # for wide and narrow pages
    for words in (
        "Patches shuffled",
        "Non-local means",
        "grey one against plain",
        "shape taken away",
        "texture",
    ):
        assert words in svg
    assert "against" not in to_svg("reliance", lambda: Reliance.figure(arms[:1]))
    partial = {**colour, "points": [p for p in colour["points"] if p["axis"] in (UNCHANGED, "shape")]}
    assert "Non-local" not in to_svg("reliance", lambda: Reliance.figure([(Look("plain", 0), [partial])]))
    assert replace(Reliance("e", "d", "o"), images=0).images == 0
