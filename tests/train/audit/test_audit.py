"""`texneg audit`: rows, leak against known answers, what is refused, going on."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from texneg.cli.main import main, parse
from texneg.datasets.images import open_images
from texneg.errors import InputError
from texneg.train.audit import audit as verb
from texneg.train.audit.audit import AuditConfig, audit
from texneg.train.audit.columns import CONTROL, FLOOR, IMAGE, SHUFFLED, cut_views, mirror, shuffle_pixels
from texneg.train.audit.leak import Judge
from texneg.train.audit.page import choose_places
from texneg.train.sheet.figures import describe_figures, read_figures

SMALL = {"size": 16, "negatives": ("patch",), "device": "cpu"}


@pytest.fixture
def tiny(encoder, monkeypatch):
    monkeypatch.setattr(verb, "open_encoder", lambda *_: encoder)
    return encoder


def rows(out):
    return {row["title"]: row for row in json.loads((out / "audit.json").read_text())["rows"]}


def test_every_kind_has_a_row_between_control_and_floor(photos, run, tmp_path, capsys):
    made, out = run(photos), tmp_path / "audit"
    kinds = ("patch", "patch_permutation", "texture", "texture_live", "patch+texture_live")
    ready = (f"files={made}",)
    config = AuditConfig(str(photos), str(out), negatives=kinds, folder=ready, textures=str(made), size=32)
    assert audit(config) == 0
    found = rows(out)
    shares = "0.5 patch + 0.5 texture_live"
    assert list(found) == [IMAGE, CONTROL, *kinds[:4], shares, "files", FLOOR, SHUFFLED]
    for title, row in found.items():
        assert len(row["tell"]) == (0 if title == IMAGE else 4)  # 5 and 20 px, grey and colour
        assert (row["microseconds"] is not None) == (title in (*kinds[:2], "texture_live", shares))
        assert row["leak"] is None
    assert found["texture"]["tell"] == found["files"]["tell"]
    printed = capsys.readouterr().out
    assert "grey 5 " in printed and "top-1" not in printed
    with Image.open(out / "audit.png") as sheet:
        assert sheet.width > 9 * 32


def test_leak_of_colours_which_survive_every_negative(tiny, colours, tmp_path, capsys):
    data, out = colours("data"), tmp_path / "audit"
    assert audit(AuditConfig(str(data), str(out), encoder="tiny", **SMALL)) == 0
    found = rows(out)
    assert all(row["leak"]["top1"] > 0.95 and row["leak"]["knn"] > 0.95 for row in found.values())
    image = found[IMAGE]["leak"]
    assert image["cosine"] == pytest.approx(1) and image["own_image"] == 1
    assert len(image["ranks"]) == 36 and set(image["classes"]) == {"blue", "green", "red"}
    judge = json.loads((out / "audit.json").read_text())["judge"]
    assert judge == {"by": "probe", "chance": pytest.approx(1 / 3)}
    assert "chance 33 %" in capsys.readouterr().out


def test_ranks_are_those_of_the_best_right_class():
    scores = torch.tensor([[3.0, 2, 1, 0], [3, 2, 1, 0], [0, 0, 0, 0]])
    right = torch.tensor(
        [[True, False, False, False], [False, False, True, True], [False, True, False, False]]
    )
    features = torch.eye(3)
    judge = Judge(features, torch.tensor([0, 1, 2]), lambda _: scores, right, "head")
    leak = judge.measure(features)
    assert leak.ranks == (0, 2, 0)
    assert (leak.top1, leak.top5, leak.median_rank) == (2 / 3, 1, 0)
    assert leak.knn is None  # one image a class
    assert judge.chance == pytest.approx((1 + 2 + 1) / 12)


def test_the_same_command_measures_nothing_twice(photos, tmp_path, monkeypatch, capsys):
    out = tmp_path / "audit"
    config = AuditConfig(str(photos), str(out), **SMALL)
    audit(config)
    assert "enlarged" not in capsys.readouterr().err
    first = (out / "audit.json").read_bytes()
    capsys.readouterr()
    audit(config)
    assert "measuring" not in capsys.readouterr().err
    assert (out / "audit.json").read_bytes() == first
    audit(AuditConfig(str(photos), str(out), **{**SMALL, "negatives": ("patch_permutation",)}))
    assert capsys.readouterr().err.splitlines() == ["measuring patch_permutation"]
    assert {"patch", "patch_permutation"} <= set(rows(out))
    audit(AuditConfig(str(photos), str(out), seed=1, **SMALL))
    assert "patch_permutation" not in rows(out)  # of other views


def test_rows_measured_before_a_stop_are_kept(photos, tmp_path, monkeypatch, capsys):
    out, config = tmp_path / "audit", AuditConfig(str(photos), str(tmp_path / "audit"), **SMALL)
    measured = verb.measure_row

    def stop(config, views, of_images, column, witness):
        if column.title == FLOOR:
            raise KeyboardInterrupt
        return measured(config, views, of_images, column, witness)

    monkeypatch.setattr(verb, "measure_row", stop)
    with pytest.raises(KeyboardInterrupt):
        audit(config)
    assert list(rows(out)) == [IMAGE, CONTROL, "patch"]
    monkeypatch.setattr(verb, "measure_row", measured)
    capsys.readouterr()
    audit(config)
    assert capsys.readouterr().err.splitlines() == [f"measuring {FLOOR}", f"measuring {SHUFFLED}"]


def test_broken_images_are_left_out_and_counted(photos, tmp_path, capsys):
    broken = tmp_path / "broken"
    for number, path in enumerate(sorted(photos.rglob("*.JPEG"))):
        place = broken / path.relative_to(photos)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes() if number else b"\xff\xd8\xff no image")
    out = tmp_path / "audit"
    assert audit(AuditConfig(str(broken), str(out), **SMALL)) == 0
    assert "left out: 1 image of 24 that cannot be read (first: ant/ant.000" in capsys.readouterr().err
    assert len(json.loads((out / "audit.json").read_text())["keys"]) == 23
    with pytest.raises(InputError, match=r"ant\.000.*use --bad skip"):
        audit(AuditConfig(str(broken), str(out), bad="error", **SMALL))


def test_what_cannot_be_audited_is_one_line(photos, colours, tiny, tmp_path, capsys):
    few, out = colours("few", per_class=6), str(tmp_path / "audit")
    flat, single = tmp_path / "flat", tmp_path / "single"
    for number, path in enumerate(sorted(photos.rglob("*.JPEG"))):
        for place in (flat / path.name, single / f"c{number}" / path.name):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    head = tmp_path / "head.pt"
    head.write_bytes(b"")
    cases = [
        ({"data": str(few)}, r"18 images that can be read; an audit needs 20 or more"),
        ({"folder": (f"mine={few}",)}, rf"--folder mine={few}: 24 of 24 images of .* have no texture in"),
        ({"folder": (str(tmp_path / "none"),)}, "none"),
        ({"encoder": "e", "data": str(flat)}, r"--encoder: leak is measured in classes, and 0 of 24"),
        ({"encoder": "e", "data": str(single)}, r"no class of .* has two images.*--head own"),
        ({"encoder": "e", "head": "own"}, "--head own: these weights have no linear classifier"),
        ({"encoder": "e", "head": str(head)}, "cannot be read as a head"),
        ({"head": "own"}, "give its --encoder"),
        ({"negatives": ("patches",)}, "--negatives patches: choose from patch"),
        ({"negatives": ("patch:size=8-99",)}, "between 1 and --size 16"),
        ({"negatives": ()}, "name one or more kinds"),
        ({"size": 8}, "16 to 1024"),
        ({"count": 0}, "--count 0"),
    ]
    for change, words in cases:
        options = {"data": str(photos), "out": out, **SMALL, **change}
        with pytest.raises(InputError, match=words) as raised:
            audit(AuditConfig(**options))
        assert "\n" not in str(raised.value)


def test_two_columns_of_one_name_are_refused(photos, run, tmp_path):
    made = run(photos)
    with pytest.raises(InputError, match="two of one name"):
        audit(AuditConfig(str(photos), str(tmp_path), folder=(f"patch={made}",), **SMALL))


def test_views_are_as_large_as_the_image_allows(photos):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    one, other = cut_views(pixels, 40, 0, 7)
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (40, 40, 3))[:, :, 0]
    for view in (one, other):
        assert (windows == view).all((2, 3, 4)).any()  # pixels of the image as they are
    assert not np.array_equal(one, other)
    for side in (16, 200):
        assert cut_views(pixels, side, 0, 7)[0].shape == (side, side, 3)


def test_references_keep_a_square_or_only_the_colours():
    views, places = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8), np.arange(2)
    tiled, shuffled = mirror(views, places, seed=0), shuffle_pixels(views, places, seed=0)
    np.testing.assert_array_equal(tiled[:, :14, :14], tiled[:, 14:28, :14][:, ::-1])
    np.testing.assert_array_equal(np.sort(shuffled.reshape(2, -1, 3), 1), np.sort(views.reshape(2, -1, 3), 1))
    np.testing.assert_array_equal(mirror(views[1:], places[1:], seed=0)[0], tiled[1])


def test_views_that_are_enlarged_are_told(photos, tmp_path, capsys):
    audit(AuditConfig(str(photos), str(tmp_path), negatives=("patch",), size=64))
    assert "views of 64 px are enlarged" in (said := capsys.readouterr().err) and "--size 48 takes" in said


def test_what_leaks_most_is_shown_first():
    made = [
        {"leak": {"ranks": [9, 0, 3]}, "reference": False},
        {"leak": {"ranks": [0, 9, 9]}, "reference": True},
    ]
    assert choose_places(made, 3, 2) == [1, 2, 0]
    assert choose_places([{"leak": None, "reference": False}], 30, 3) == [0, 10, 20]


def test_figures_stand_on_a_sheet(photos, tmp_path):
    out = tmp_path / "audit"
    audit(AuditConfig(str(photos), str(out), **SMALL))
    (words, *shorter) = read_figures(str(out))["patch"]
    assert words.startswith("tell ") and words.endswith((" ms", " ns")) and len(shorter) == 1
    sizes = []
    for extra in ([], ["--figures", str(out / "audit.json")]):
        page = tmp_path / "sheet.png"
        assert (
            main(["sheet", str(photos), "--out", str(page), "--kinds", "patch", "--count", "2", *extra]) == 0
        )
        with Image.open(page) as sheet:
            sizes.append(sheet.height)
    assert sizes[1] > sizes[0]
    bad = tmp_path / "bad.json"
    bad.write_text('{"rows": [{}]}')
    with pytest.raises(InputError, match="no result of texneg audit"):
        read_figures(str(bad))
    with pytest.raises(InputError, match="make it with texneg audit"):
        read_figures(str(tmp_path / "none.json"))


def test_figures_have_shorter_wordings():
    row = {
        "tell": [{"field": 5, "colour": False, "auc": 0.913}],
        "leak": {"top1": 0.25},
        "microseconds": 4810.0,
    }
    assert describe_figures(row) == ("tell .91  leak 25 %  4.8 ms", "tell .91  leak 25 %", "tell .91")


def test_the_command_line_reads_it(photos):
    config = parse(AuditConfig, "audit", [str(photos), "--out", "x", "--negatives", "patch", "patch:paper"])
    assert config.negatives == ("patch", "patch:paper") and config.folder == ()
    assert len(open_images(config.data)) == 24


def test_tell_of_images_of_any_channels_and_depth(tiny, tmp_path, run, capsys):
    src, out = tmp_path / "src", tmp_path / "audit"
    src.mkdir()
    for i in range(24):
        blocks = np.kron(np.random.default_rng(i).random((8, 10, 5)), np.ones((6, 6, 1)))
        np.save(src / f"{i:02d}.npy", (blocks * 60000).astype(np.uint16))
    made, rgb = run(src, encoding="npy"), tmp_path / "rgb"
    kinds = {
        "negatives": ("patch", "texture", "texture_live"),
        "size": 32,
        "device": "cpu",
        "as_stored": True,
    }
    config = AuditConfig(str(src), str(out), folder=(f"files={made}",), textures=str(made), **kinds)
    assert audit(config) == 0
    found = rows(out)
    assert all(len(row["tell"]) == 4 for title, row in found.items() if title != IMAGE)
    assert found["texture"]["tell"] == found["files"]["tell"]
    assert found[SHUFFLED]["tell"][0]["auc"] > 0.9
    assert "grey 5 " in capsys.readouterr().out
    (src / "a").mkdir(), (src / "b").mkdir()
    for i, path in enumerate(sorted(src.glob("*.npy"))):
        path.rename(src / "ab"[i % 2] / path.name)
    with pytest.raises(
        InputError, match=r"takes? RGB of 8 bits .*a/00.npy of .* is uint16 x 5: leave --encoder"
    ):
        audit(AuditConfig(str(src), str(out), encoder="tiny", **kinds))
    rgb.mkdir()
    for path in sorted(src.rglob("*.npy")):
        (rgb / path.parent.name).mkdir(exist_ok=True)
        Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(rgb / path.parent.name / f"{path.stem}.png")
    with pytest.raises(
        InputError, match=r"--folder rgb=.*: uint8 x 3, and the images are uint16 x 5: make them"
    ):
        audit(AuditConfig(str(src), str(out), folder=(f"rgb={rgb}",), **{**kinds, "negatives": ()}))
    np.save(src / "a" / "zz.npy", np.zeros((40, 40, 5), np.uint8))
    with pytest.raises(InputError, match=r"a/zz.npy of .* is uint8 x 5, and a/00.npy is uint16 x 5"):
        audit(AuditConfig(str(src), str(out), **kinds))
