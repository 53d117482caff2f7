"""Cue sets: pixels come from where they should, pairs are balanced, a kill changes no byte."""

import io
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import permutations

import cv2
import numpy as np
import pytest
from PIL import Image

from texneg.cli.main import main
from texneg.datasets.cues.layout import name_conflict, parse_texture
from texneg.datasets.cues.make import Settings, draw_files
from texneg.datasets.cues.pictures import cut_picture, decode_mask, open_originals
from texneg.datasets.cues.plan import CueFile, count_pairs, draw_order, draw_partners
from texneg.datasets.cues.shape import draw_edges, fill_shape, find_outline, paint_black
from texneg.datasets.cues.texture import choose_squares, find_squares, largest_square, make_texture
from texneg.datasets.encode import encode
from texneg.datasets.images import open_images
from texneg.datasets.toy.embedded import CLASSES
from texneg.datasets.toy.shapes import SHAPES, fill, transform
from texneg.errors import InputError, RunFailed

SIDE = 64
NAMES = ("n01", "golden-retriever", "zebra")


def draw_object(label, number):
    """A shape of the embedded data set in a colour pattern, and its mask."""
    rng = np.random.default_rng([label, number])
    outlines = transform(SHAPES[CLASSES[label]](), angle=0.1 * number, scale=0.4, shift=(0.5, 0.5))
    mask = fill(outlines, SIDE) > 0.5
    inside = rng.integers(0, 120, (SIDE, SIDE, 3), np.uint8) + np.array([120, 0, 60 * label], np.uint8)
    outside = rng.integers(0, 60, (SIDE, SIDE, 3), np.uint8)
    return np.where(mask[..., None], inside, outside).astype(np.uint8), mask


@pytest.fixture
def data(tmp_path):
    """Seven images of three classes with masks in several formats; one image of each class has none."""
    for label, name in enumerate(NAMES):
        for folder in ("images", "masks"):
            (tmp_path / folder / name).mkdir(parents=True)
        for number in range(7):
            pixels, mask = draw_object(label, number)
            (tmp_path / "images" / name / f"{number}.png").write_bytes(encode(pixels, "png"))
            if number < 6:
                grey = Image.fromarray(mask.astype(np.uint8) * (255 if number % 2 else 1))
                grey.save(tmp_path / "masks" / name / f"{number}.{('png', 'bmp', 'tiff')[number % 3]}")
    return tmp_path


def run(data, *flags, masks=True, dst="cues"):
    given = ["--masks", str(data / "masks")] if masks else []
    return main(["cues", str(data / "images"), str(data / dst), *given, "--size", str(SIDE), *flags])


def read_tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def read_lines(folder):
    return [json.loads(line) for line in (folder / "cues.jsonl").read_text().splitlines()]


def test_every_pixel_comes_from_where_it_should(data, capsys):
    assert run(data, "--per-class", "4") == 0
    shown = capsys.readouterr()
    assert "3 images without a mask left out (first: golden-retriever/6)" in shown.err
    assert "edges 12, silhouettes 12, textures 12, cue-conflict 12" in shown.out
    assert "pairs of classes in cue-conflict: 6, each 2 times" in shown.out
    lines = read_lines(data / "cues")
    originals = open_originals(str(data / "images"), str(data / "masks"))
    for line in lines:
        picture = np.asarray(Image.open(data / "cues" / line["file"]))
        pixels, mask = originals.open_picture(line["image"], SIDE)
        if line["cue"] == "silhouettes":
            assert (picture == np.where(mask, 0, 255)[..., None]).all()
        elif line["cue"] == "edges":
            assert set(np.unique(picture)) == {0, 255}
            assert not (picture == 0)[~mask].any()
            assert (picture == 0)[find_outline(mask)].all()
        elif line["cue"] == "textures":
            squares = [(slice(y, y + side), slice(x, x + side)) for y, x, side in line["squares"]]
            assert all(mask[square].all() for square in squares)
            own = {tuple(colour) for square in squares for colour in pixels[square].reshape(-1, 3)}
            assert {tuple(colour) for colour in picture.reshape(-1, 3)} <= own
        else:
            assert line["shape"] != line["texture"]
            assert line["image"].startswith(line["shape"])
            assert line["texture_image"].startswith(line["texture"])
            other = np.asarray(Image.open(data / "cues" / "textures" / f"{line['texture_image']}.png"))
            inside = mask & ~find_outline(mask)
            assert inside.sum() > 100
            assert (picture == other)[inside].all()
            assert (picture == 255)[~mask].all()
            assert (picture == 0)[find_outline(mask)].all()


def test_names_are_read_as_they_were_written(data):
    run(data, "--per-class", "4")
    images = open_images(data / "cues" / "cue-conflict")
    lines = {line["file"]: line for line in read_lines(data / "cues")}
    for i, key in enumerate(images.keys):
        line = lines[f"cue-conflict/{key}.png"]
        assert line["shape"] == images.classes[images.labels[i]]
        assert line["texture"] == parse_texture(key, line["shape"], NAMES)


def test_names_of_classes_with_digits_and_hyphens():
    known = ("cat", "n01", "n012", "polka-dots", "dots")
    for shape, texture in permutations(known, 2):
        name = name_conflict(shape, 12, texture)
        assert parse_texture(f"{shape}/{name}", shape, known) == texture
    assert parse_texture("cat1-polka-dots7", "cat", known) == "polka-dots"
    assert parse_texture("cat1-elephant2", "cat", known) == "elephant"
    with pytest.raises(InputError, match="may be n01 or n012; leave the number after the texture out"):
        parse_texture("cat1-n0123", "cat", known)


@pytest.mark.parametrize(("classes", "per_class"), [(2, 3), (3, 5), (5, 8), (10, 50), (12, 4)])
def test_pairs_of_classes_are_balanced(classes, per_class):
    partners = draw_partners(classes, per_class, seed=3)
    n = count_pairs(classes, per_class)
    assert [len(one) for one in partners] == [n] * classes
    pairs = Counter((shape, texture) for shape, one in enumerate(partners) for texture in one)
    assert all(shape != texture for shape, texture in pairs)
    if per_class >= classes - 1:
        assert set(pairs.values()) == {n // (classes - 1)}
        assert len(pairs) == classes * (classes - 1)
    else:
        assert set(pairs.values()) == {1}
    assert set(Counter(texture for one in partners for texture in one).values()) == {n}
    assert all({one[number] for one in partners} == set(range(classes)) for number in range(n))
    assert partners == draw_partners(classes, per_class, seed=3)


def test_another_image_changes_no_draw():
    keys = [f"a/{i}" for i in range(30)]
    order = draw_order(keys, 5)
    assert sorted(order) == sorted(keys)
    assert order != sorted(keys)
    assert [key for key in draw_order([*keys, "a/new"], 5) if key != "a/new"] == order
    assert draw_order(keys, 6) != order


def test_a_killed_run_ends_with_the_same_bytes(data):
    run(data, "--per-class", "6", dst="whole")
    words = ["cues", str(data / "images"), str(data / "cues"), "--masks", str(data / "masks")]
    command = [sys.executable, "-m", "texneg", *words, "--size", str(SIDE), "--per-class", "6"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    lines, end = data / "cues" / "cues.jsonl", time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end and not lines.exists():
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (data / "cues" / "edges" / NAMES[0] / ".x.png.0123abcd.tmp").write_bytes(b"left by a kill")
    run(data, "--per-class", "6")
    assert read_tree(data / "cues") == read_tree(data / "whole")


def test_what_is_there_stays_and_what_is_damaged_is_made_again(data, capsys):
    run(data, "--per-class", "2")
    whole = read_tree(data / "cues")
    kept, damaged = sorted((data / "cues" / "edges").rglob("*.png"))[:2]
    before = kept.stat().st_mtime_ns
    damaged.write_bytes(b"damaged")
    next((data / "cues" / "cue-conflict").rglob("*.png")).unlink()
    capsys.readouterr()
    run(data, "--per-class", "2")
    assert "22 of 24 files are there already" in capsys.readouterr().err
    assert read_tree(data / "cues") == whole
    assert kept.stat().st_mtime_ns == before


def test_without_masks_there_are_edges_and_textures(data, capsys):
    assert run(data, masks=False) == 0
    shown = capsys.readouterr()
    assert "7 images of each class instead of 50" in shown.err
    assert "edges 21, textures 21" in shown.out
    assert sorted(path.name for path in (data / "cues").iterdir()) == [
        "cues.json", "cues.jsonl", "edges", "textures",
    ]  # fmt: skip


def test_images_that_cannot_be_used_are_counted_and_named(data, capsys):
    (data / "images" / "zebra" / "3.png").write_bytes(b"no image")
    Image.new("RGB", (20, 20)).save(data / "images" / "zebra" / "4.png")
    Image.fromarray(np.zeros((SIDE, SIDE), np.uint8)).save(data / "masks" / "n01" / "0.png")
    assert run(data) == 0
    shown = capsys.readouterr().err
    assert "4 images of each class instead of 50: class zebra has no more" in shown
    assert "3 images of no use (first: " in shown
    unusable = json.loads((data / "cues" / "cues.json").read_text())["choice"]["unusable"]
    assert set(unusable) == {"n01/0", "zebra/3", "zebra/4"}
    assert "20 x 20 px; --size 64 takes images from 32 px on" in unusable["zebra/4"]
    assert "an empty mask" in unusable["n01/0"]


def test_bad_input_is_one_line(data, capsys):
    def refused(*words):
        capsys.readouterr()
        assert main(["cues", *map(str, words)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    images, masks, dst = data / "images", data / "masks", data / "cues"
    assert "lies inside DATA" in refused(images, images / "cues")
    assert "lies inside --masks" in refused(images, masks / "cues", "--masks", masks)
    assert "lies inside DATA" in (line := refused(images, dst, "--masks", images / "zebra"))
    assert "would be a class; move it out" in line
    assert "does not exist" in refused(data / "nowhere", dst)
    assert "--size 8: allowed is 32 to 1024 px" in refused(images, dst, "--size", 8)
    assert "--per-class 0: allowed is 1 or more" in refused(images, dst, "--per-class", 0)
    assert "--exemplar-size 100: allowed is 8 to --size, 64 px" in refused(
        images, dst, "--size", 64, "--exemplar-size", 100
    )
    assert "0 of 3 classes have images" in refused(images, dst, "--size", 256)
    assert not (dst / "cues.json").exists()
    assert "has no class folders; give DATA/CLASS/IMAGE" in refused(images / "zebra", dst)
    one = data / "one" / "zebra"
    one.parent.mkdir()
    one.symlink_to(images / "zebra")
    assert "one class folder, 'zebra'" in refused(one.parent, dst)
    (data / "full").mkdir()
    (data / "full" / "notes.txt").write_text("mine")
    assert "neither empty nor of texneg cues (it holds notes.txt)" in refused(images, data / "full")
    (images / "stray.png").write_bytes((images / "zebra" / "1.png").read_bytes())
    assert "stray of" in (line := refused(images, dst))
    assert "lies in no class folder" in line
    (images / "stray.png").unlink()
    assert "no mask has the name of an image" in refused(images, dst, "--masks", masks / "zebra")
    Image.new("L", (SIDE, SIDE + 1), 1).save(masks / "zebra" / "1.bmp")
    assert f"zebra/1.bmp of {masks} has 64 x 65 px, its image 64 x 64" in refused(
        images, dst, "--masks", masks, "--size", 64
    )


def test_other_settings_or_images_are_refused_with_the_remedy(data, capsys):
    run(data, "--per-class", "2")
    for words, told in (
        ((), "other settings (--per-class 2, not 50)"),
        (("--per-class", "2", "--seed", "1"), "other settings (--seed 0, not 1)"),
    ):
        assert run(data, *words) == 2
        assert told in (line := capsys.readouterr().err)
        assert f"choose another DST, or remove {data / 'cues'}" in line
    assert run(data, "--per-class", "2", masks=False) == 2
    assert "other settings (with --masks)" in capsys.readouterr().err
    (data / "images" / "zebra" / "0.png").unlink()
    assert run(data, "--per-class", "2") == 2
    assert "cue sets of other images" in capsys.readouterr().err


def test_images_that_changed_under_a_run_are_named(data):
    originals = open_originals(str(data / "images"), str(data / "masks"))
    settings = Settings(per_class=1, size=SIDE, exemplar_size=16, seed=0, allow_truncated=False)
    file = CueFile("edges/zebra/0.png", "edges", "zebra", None, "zebra/0")
    (data / "images" / "zebra" / "0.png").write_bytes(b"no image")
    with pytest.raises(RunFailed, match=r"zebra/0 of .* could be used when images were chosen"):
        draw_files(data / "cues", originals, settings, {}, [file])
    (data / "images" / "zebra" / "0.png").unlink()
    with pytest.raises(RunFailed, match=r"zebra/0 of .* cannot be read \(.*run the same command again"):
        draw_files(data / "cues", originals, settings, {}, [file])


def test_masks_of_any_kind():
    marked = np.zeros((6, 8), np.uint8)
    marked[2:4, 3:7] = 1
    for mode in ("L", "1", "I;16", "P", "RGB", "RGBA", "LA"):
        if mode == "I;16":
            image = Image.fromarray(marked.astype(np.uint16))
        elif mode == "P":
            image = Image.fromarray(marked)
            image.putpalette([200, 10, 10, 0, 0, 0])  # black stands for the object
        else:
            image = Image.fromarray(marked * 255).convert(mode)
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        assert (decode_mask(buffer.getvalue(), "a") == (marked > 0)).all(), mode


def test_cutting_keeps_the_object_in_the_picture():
    mask = np.zeros((40, 100), bool)
    mask[10:30, 80:98] = True
    pixels = np.repeat(mask[..., None], 3, 2).astype(np.uint8) * 255
    same = cut_picture(pixels, mask, 40)
    assert (same.mask == mask[:, 60:]).all()
    assert (same.pixels == pixels[:, 60:]).all()
    small = cut_picture(pixels, mask, 20)
    assert small.pixels.shape == (20, 20, 3)
    assert abs(4 * int(small.mask.sum()) - int(mask.sum())) < 60
    assert cut_picture(pixels, None, 40).pixels[:, :, 0].max() == 0


def test_squares_against_a_search_of_all():
    mask = np.random.default_rng(0).random((24, 24)) > 0.05
    mask[:2] = False
    for side in (1, 3, 6):
        found = find_squares(mask, side)
        straight = [
            [mask[y : y + side, x : x + side].all() for x in range(25 - side)] for y in range(25 - side)
        ]
        assert (found == np.array(straight)).all()
    largest = largest_square(mask)
    assert find_squares(mask, largest).any()
    assert not find_squares(mask, largest + 1).any()
    assert largest_square(np.zeros((9, 9), bool)) == 0
    assert largest_square(np.ones((9, 12), bool)) == 9
    squares = choose_squares(mask, 4, seed=1, key="a/b")
    assert squares == choose_squares(mask, 4, seed=1, key="a/b")
    assert squares != choose_squares(mask, 4, seed=1, key="a/c")
    assert all(mask[y : y + s, x : x + s].all() for y, x, s in squares)


def test_without_a_mask_the_exemplars_are_the_usual_ones():
    pixels = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    made, squares = make_texture(pixels, None, side=27, seed=0, key="a/b")
    assert made.shape == pixels.shape
    assert squares[0] == (64 // 2 - 13, 64 // 2 - 13, 27)
    other, _ = make_texture(pixels, None, side=27, seed=1, key="a/b")
    assert (other != made).any()


def test_lines_follow_contours_and_leave_flat_pictures_white():
    assert (draw_edges(np.full((96, 96, 3), 90, np.uint8)) == 255).all()
    disc = np.full((224, 224, 3), (200, 80, 60), np.uint8)
    cv2.circle(disc, (112, 112), 60, (40, 90, 200), -1)
    drawn = (draw_edges(disc) == 0).all(2)
    y, x = np.nonzero(drawn)
    away = np.abs(np.hypot(y - 112, x - 112) - 60)
    assert len(y) > 300
    assert away.max() < 4
    assert (fill_shape(disc, drawn) == 255)[~drawn].all()
    assert (paint_black(drawn) == 0).all(2).sum() == drawn.sum()
