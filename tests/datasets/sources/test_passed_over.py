"""Every file is an image, a row of the quarantine, or counted with the reason why it is passed over."""

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from texneg.datasets.images import open_images
from texneg.datasets.sources.passed_over import (
    BESIDE,
    DEAD_LINK,
    HIDDEN,
    NO_FILE,
    NO_IMAGE,
    NO_SUFFIX,
    SYSTEM,
    TAR_BELOW,
    TAR_INSIDE,
)
from texneg.datasets.sources.sources import open_source
from texneg.datasets.sources.tars import DOTTED, LOST_LABEL, MORE_IMAGES, NO_SAMPLE, TRAILER, fragment
from texneg.errors import InputError


def png(form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (9, 0, 0)).save(buffer, form)
    return buffer.getvalue()


def tree(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png())
    return root


def tar(path: Path, *names: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(fragment(name, b"7" if ".cls" in name else png()) for name in names) + TRAILER)
    return path


def test_folders_and_files_that_are_no_images_are_counted(tmp_path: Path) -> None:
    tree(tmp_path, "a/1.png", "a/2.jfif", "b/3.JPE", "b/4.ppm", "b/5.PGM", "b/e.pbm", "b/f.pnm")
    tree(tmp_path, "a/x.heic", "a/y.HEIC", "b/z.jp2", "b/v.avif", "a/0001", "a/notes.txt", "a/000.tar")
    tree(tmp_path, "@eaDir/a/1.png", "a/@eaDir/1.png", "#recycle/9.png", "$RECYCLE.BIN/9.png")
    tree(tmp_path, "lost+found/9.png", "__MACOSX/a/1.png", "System Volume Information/9.png")
    tree(tmp_path, ".Trash-1000/9.png", "a/._1.png", "a/.DS_Store")
    (tmp_path / "a/gone.png").symlink_to("nowhere")
    (tmp_path / "class").symlink_to("nowhere")
    os.mkfifo(tmp_path / "a/pipe")
    source = open_source(tmp_path)
    items = list(source.items(unique=True))
    assert [item.key for item in items] == ["a/1", "a/2", "a/gone", "b/3", "b/4", "b/5", "b/e", "b/f"]
    unread = {s: f"{s} picture, which texneg does not read: convert it to JPEG or PNG" for s in
              (".heic", ".jp2", ".avif")}  # fmt: skip
    assert source.passed_over.counts == {
        SYSTEM: 7, HIDDEN: 2, unread[".heic"]: 2, unread[".jp2"]: 1, unread[".avif"]: 1, NO_SUFFIX: 1,
        NO_IMAGE: 1, TAR_BELOW: 1, DEAD_LINK: 1, NO_FILE: 1,
    }  # fmt: skip
    assert source.passed_over.first[SYSTEM] == "#recycle"
    assert source.passed_over.lines()[0] == f"7 x {SYSTEM} (first: #recycle)"
    assert source.classes() == ["a", "b"]
    images = open_images(tmp_path)
    assert (len(images), images.classes) == (7, ("a", "b"))
    assert images.passed_over.counts == {
        **source.passed_over.counts,
        f"decode_error: a {DEAD_LINK}": 1,
    }
    assert images.passed_over.first[f"decode_error: a {DEAD_LINK}"] == "a/gone.png"


def test_a_folder_of_a_system_is_no_class_no_split_and_no_neighbour_of_tars(tmp_path: Path) -> None:
    tree(tmp_path / "flat", "1.png", "lost+found/9.png")
    assert [item.key for item in open_source(tmp_path / "flat").items()] == ["1"]
    tree(tmp_path / "tars", "@eaDir/9.png", "index.json", "README")
    tar(tmp_path / "tars/0.tar", "1.png")
    source = open_source(tmp_path / "tars")
    assert [item.key for item in source.items()] == ["1"]
    assert source.passed_over.first == {SYSTEM: "@eaDir", NO_IMAGE: "index.json", NO_SUFFIX: "README"}
    tree(tmp_path / "splits", "train/a/1.png", "val/@eaDir/9.png")
    tar(tmp_path / "splits/more.tar", "1.png")
    source = open_source(tmp_path / "splits")
    assert [item.path for item in source.items()] == ["train/a/1.png"]
    assert source.passed_over.counts == {BESIDE: 2}


def test_a_tar_in_capitals_is_read_and_a_dead_link_to_one_is_no_end_of_the_data(tmp_path: Path) -> None:
    tar(tmp_path / "a.TAR", "1.png")
    tar(tmp_path / "b.tar", "2.png")
    source = open_source(tmp_path)
    assert [item.src for item in source.items()] == ["a.TAR::1.png", "b.tar::2.png"]
    images = open_images(tmp_path)
    assert [images.name(i) for i in range(2)] == ["1", "2"]
    assert images[0][0].shape == (6, 8, 3)
    assert open_images(tmp_path / "a.TAR").in_tars
    (tmp_path / "c.tar").symlink_to("nowhere.tar")
    assert [item.key for item in source.items()] == ["1", "2"]
    assert len(source.broken) == 1
    assert f"c.tar: {DEAD_LINK}" in source.broken[0]
    with pytest.raises(InputError, match=r"c\.tar: link that leads nowhere; repair it or remove it"):
        open_images(tmp_path)


def test_tars_one_folder_below_are_named(tmp_path: Path) -> None:
    for part in range(2):
        tar(tmp_path / f"part{part}/000.tar", "1.png")
    with pytest.raises(InputError, match=r"2 x tar one folder below: name that folder.*part0/000\.tar"):
        open_images(tmp_path)
    tree(tmp_path, "a/1.png")
    assert open_images(tmp_path).passed_over.first == {TAR_BELOW: "part0/000.tar"}


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (
            ("1.heic", "2.HEIC"),
            r"2 x \.heic picture, which .* convert it to JPEG or PNG \(first: {}1\.heic\)",
        ),
        (("0001", "0002"), r"2 x file without a suffix: .* \(first: {}0001\)"),
        (("a.txt",), r"1 x no image by its suffix \(first: {}a\.txt\)"),
    ],
)
def test_a_folder_without_images_says_what_it_holds(
    tmp_path: Path, names: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(InputError, match=reason.format("") + r"; images end in \.jpg"):
        open_source(tree(tmp_path / "flat", *names))
    tree(tmp_path / "classes/a", *names)
    with pytest.raises(InputError, match=reason.format("a/")):
        open_images(tmp_path / "classes")


def test_names_that_are_cut_at_a_dot_are_one_row_each(tmp_path: Path) -> None:
    names = ("img_0.5_1.jpg", "img_0.5_2.jpg", "22.05.png", "ok.jpg", "img_0%2E5_3.jpg", "x.jpg.JPG")
    source = open_source(tar(tmp_path / "0.tar", *names))
    items = list(source.items())
    assert [item.member for item in items if item.status == "dotted_name"] == [
        *("img_0.5_1.jpg", "img_0.5_2.jpg", "22.05.png", "x.jpg.JPG")
    ]
    assert [item.key for item in items] == ["img_0.5_1", "img_0.5_2", "22.05", "ok", "img_0.5_3", "x.jpg"]
    images = open_images(tmp_path / "0.tar")
    assert images.keys == ("ok", "img_0.5_3")
    assert images.passed_over.lines() == [f"4 x dotted_name: {DOTTED} (first: 0.tar::img_0.5_1.jpg)"]


def test_every_member_of_a_tar_is_accounted_for(tmp_path: Path) -> None:
    names = (
        *("a.jpg", "a.seg.png", "a.png", "a.json"),
        *("b.json", "b.txt", "c.heic", "d.tar", "readme"),
        *("e/._x.png", "__MACOSX/f.png", "e/@eaDir/g.png"),
        *("h.jpg", "h.jpg", "a.mask.png"),
    )
    source = open_source(tar(tmp_path / "0.tar", *names))
    assert [(i.key, i.status) for i in source.items()] == [("a", ""), ("h", ""), ("h", "duplicate_key")]
    assert source.passed_over.counts == {
        MORE_IMAGES: 3,
        NO_SAMPLE: 2,
        NO_SUFFIX: 1,
        ".heic picture, which texneg does not read: convert it to JPEG or PNG": 1,
        TAR_INSIDE: 1,
        HIDDEN: 1,
        SYSTEM: 2,
    }
    assert source.passed_over.first[MORE_IMAGES] == "0.tar::a.seg.png"


@pytest.mark.parametrize(
    ("names", "first"),
    [
        (("a.jpg", "b.jpg", "a.cls", "b.cls"), "a.cls"),
        (("a.cls", "b.cls", "a.jpg", "b.jpg"), "a.cls"),
        (("a.jpg", "a.jpg.cls", "b.jpg", "b.label.cls"), "a.jpg.cls"),
    ],
)
def test_labels_apart_from_their_images_are_counted(
    tmp_path: Path, names: tuple[str, ...], first: str
) -> None:
    images = open_images(tar(tmp_path / "0.tar", *names))
    assert images.labels.tolist() == [-1, -1]
    assert images.passed_over.lines() == [f"2 x {LOST_LABEL} (first: 0.tar::{first})"]
    together = open_images(tar(tmp_path / "1.tar", "a.cls", "a.jpg", "b.jpg", "b.cls", "c.cls"))
    assert together.labels.tolist() == [0, 0]
    assert together.passed_over.counts == {NO_SAMPLE: 1}


def test_an_image_and_its_texture_are_a_pair_and_nothing_more(tmp_path: Path) -> None:
    path = tar(tmp_path / "0.tar", "a.jpg", "a.cls", "a.texture.webp", "b.png", "b.texture.png")
    for textures in (False, True):
        images = open_images(path, textures=textures)
        assert (len(images), images.passed_over.lines()) == (2, [])
