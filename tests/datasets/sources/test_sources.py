"""Sources: their images, the order, and the inputs that are refused."""

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from texneg.datasets.images import open_images
from texneg.datasets.pairs import pair
from texneg.datasets.sources.items import Item
from texneg.datasets.sources.passed_over import BESIDE, CIRCLE, HIDDEN, NO_IMAGE
from texneg.datasets.sources.sources import open_source
from texneg.datasets.sources.tars import MORE_IMAGES, NO_SAMPLE
from texneg.datasets.storage.names import escape, hide_dots, show_dots, unescape
from texneg.errors import InputError


def png(value: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (value, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def tree(root: Path, *names: str) -> Path:
    for i, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(i))
    return root


def tar(path: Path, **members: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def items(path: Path, **options: str) -> list[Item]:
    return list(open_source(path, **options).items(unique=True))  # type: ignore[arg-type]


def test_order_is_bytewise_by_path(tmp_path: Path) -> None:
    names = [
        "b/x.png",
        "a/2.png",
        "a/10.png",
        "a-b/x.png",
        "a/sub/x.png",
        "a/sub-x.png",
        "C/x.png",
        "é/x.png",
    ]
    found = [item.path for item in items(tree(tmp_path, *names))]
    assert found == sorted(names, key=str.encode)


def test_class_folders_flat_images_and_other_files(tmp_path: Path) -> None:
    tree(tmp_path, "dog/1.png", "dog/deep/2.JPG", "cat/3.webp", "loose.png")
    for other in ("README.md", "dog/.hidden.png", "Thumbs.db", ".git/x.png"):
        tree(tmp_path, other)
    source = open_source(tmp_path)
    assert [(i.key, i.label) for i in source.items()] == [
        ("cat/3", "cat"),
        ("dog/1", "dog"),
        ("dog/deep/2", "dog"),
        ("loose", None),
    ]
    assert source.passed_over.counts == {NO_IMAGE: 2, HIDDEN: 2}
    assert source.passed_over.first == {NO_IMAGE: "README.md", HIDDEN: ".git"}


def test_splits(tmp_path: Path) -> None:
    tree(tmp_path, "train/dog/1.png", "val/dog/2.png", "test/loose.png")
    source = open_source(tmp_path)
    assert [(i.split, i.key) for i in source.items()] == [("train", "dog/1"), ("val", "dog/2")]
    assert source.passed_over.counts == {BESIDE: 1}  # test holds no folders
    assert [i.key for i in items(tmp_path, splits="none")] == ["test/loose", "train/dog/1", "val/dog/2"]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", "a/1.png")
    outside = tree(tmp_path / "outside", "2.png")
    (root / "b").symlink_to(outside)
    (root / "a" / "circle").symlink_to(root)
    (root / "a" / "gone.png").symlink_to(root / "nowhere")
    source = open_source(root)
    assert [(i.key, i.status) for i in source.items()] == [
        ("a/1", ""),
        ("a/gone", "decode_error"),
        ("b/2", ""),
    ]
    assert source.passed_over.counts == {CIRCLE: 1}


def test_links_in_a_circle_and_to_no_file(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", "a/1.png")
    (root / "a" / "self.png").symlink_to(root / "a" / "self.png")
    (root / "self").symlink_to(root / "self")
    (root / "a" / "null.png").symlink_to("/dev/null")
    os.mkfifo(root / "a" / "pipe.png")
    found = [(i.key, i.error) for i in open_source(root).items(unique=True)]
    assert found == [("a/1", ""), *((f"a/{name}", "a link that leads nowhere") for name in ("null", "self"))]


@pytest.mark.parametrize(
    ("one", "two", "remedy"),
    [
        ("x.jpg", "x.webp/1.png", "rename one"),
        ("x.JPG", "x.png/1.png", "rename one"),
        ("x.jpg", "x.png", "--naming append"),
        ("x.png", "X.png", "rename one"),
        ("\u00e9.png", "e\u0301.png", "rename one"),
    ],
)
def test_names_that_would_overwrite_each_other_are_refused(
    tmp_path: Path, one: str, two: str, remedy: str
) -> None:
    tree(tmp_path, f"a/{one}", f"a/{two}")
    with pytest.raises(InputError, match=f"same output name.*{remedy}"):
        items(tmp_path)


def test_appended_naming_keeps_suffixes_apart(tmp_path: Path) -> None:
    tree(tmp_path, "a/x.jpg", "a/x.png")
    assert [i.key for i in items(tmp_path, naming="append")] == ["a/x.jpg", "a/x.png"]


def test_tar_samples(tmp_path: Path) -> None:
    path = tar(
        tmp_path / "0.tar",
        **{
            "a.cls": b"7",
            "a.seg.png": b"mask",
            "a.jpg": png(),
            "dir/b.PNG": png(),
            "c.json": b"{}",
            "a.jpeg": png(),
        },
    )
    source = open_source(path)
    found = [(i.key, i.label, i.member, i.status) for i in source.items()]
    assert found == [
        ("a", "7", "a.jpg", ""),
        ("dir/b", "dir", "dir/b.PNG", ""),
        ("a", None, "a.jpeg", "duplicate_key"),
    ]
    assert source.passed_over.first == {MORE_IMAGES: "0.tar::a.seg.png", NO_SAMPLE: "0.tar::c.json"}


def test_hidden_members_are_passed_over(tmp_path: Path) -> None:
    path = tar(tmp_path / "0.tar", **{".jpg": png(), "a/.png": png(), "b/._c.jpg": png(), "b/c.jpg": png()})
    source = open_source(path)
    assert [i.key for i in source.items()] == ["b/c"]
    assert source.passed_over.counts == {HIDDEN: 3}


def test_labels_and_keys_never_name_a_folder_outside(tmp_path: Path) -> None:
    labels = {"up": b"../../x", "root": b"/x", "null": b"a\0b", "dot": b".", "none": b" \n", "fine": b"a/b"}
    members = {}
    for key, label in labels.items():
        members |= {f"{key}.png": png(), f"{key}.cls": label}
    path = tar(tmp_path / "0.tar", **members, **{"%2E%2E/%2E%2E/x%2Ey.png": png()})
    found = {i.key: (i.label, i.status) for i in open_source(path).items()}
    assert found == {
        "up": (None, "unsafe_path"),
        "root": (None, "unsafe_path"),
        "null": (None, "unsafe_path"),
        "dot": (None, "unsafe_path"),
        "none": (None, ""),
        "fine": ("a/b", ""),
        "%2E%2E/%2E%2E/x.y": ("%252E%252E", ""),
    }


def test_a_half_tar_gives_its_first_half(tmp_path: Path) -> None:
    path = tar(tmp_path / "0.tar", **{f"{i}.png": png(i) for i in range(3)})
    path.write_bytes(path.read_bytes()[: 2 * 1024 + 600])
    source = open_source(tmp_path)
    assert [i.key for i in source.items()] == ["0", "1", "2"]
    assert len(source.broken) == 1


def test_tar_folders_and_splits(tmp_path: Path) -> None:
    tar(tmp_path / "train" / "1.tar", **{"b.png": png()})
    tar(tmp_path / "train" / "0.tar", **{"a.png": png()})
    tar(tmp_path / "val" / "0.tar", **{"a.png": png()})
    source = open_source(tmp_path)
    assert source.kind == "webdataset"
    assert [i.src for i in source.items()] == ["train/0.tar::a.png", "train/1.tar::b.png", "val/0.tar::a.png"]


def test_tars_that_are_one_file_on_some_file_systems_are_refused(tmp_path: Path) -> None:
    for name in ("x.tar", "X.tar"):
        tar(tmp_path / name, **{"a.png": png()})
    with pytest.raises(InputError, match=r"X\.tar and x\.tar would give one output tar"):
        open_source(tmp_path)


def test_refused_sources_name_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "data.zip").write_bytes(b"x")
    tree(tmp_path / "both", "a/1.png")
    tar(tmp_path / "both" / "0.tar", **{"a.png": png()})
    (tmp_path / "file.txt").write_text("x")
    for name, remedy in {
        "nothing": "does not exist; give",
        "empty": "holds no images",
        "packed": "unpack it first",
        "both": r"\(first: 0.tar and a\): give one or the other",
        "file.txt": "give a folder or a .tar",
    }.items():
        with pytest.raises(InputError, match=remedy):
            open_source(tmp_path / name)


@pytest.mark.parametrize("name", ["a b", "50%", "a%2Eb", "new\nline", "ünï", "\udcff.x", "%41"])
def test_escaped_names_come_back(name: str) -> None:
    text = escape(name)
    text.encode()  # any table can hold it
    assert unescape(text) == name
    assert "\n" not in text


def test_dots_are_hidden_in_the_last_part_only() -> None:
    assert hide_dots("v1.0/a.b") == "v1.0/a%2Eb"
    assert show_dots(hide_dots("v1.0/a.b")) == "v1.0/a.b"


def test_an_image_set_reads_a_tree_and_its_tar_alike(tmp_path: Path) -> None:
    names = [f"{c}/{i}.png" for c in ("dog", "cat") for i in range(3)]
    folders = open_images(tree(tmp_path / "tree", *names))
    packed = open_images(tar(tmp_path / "0.tar", **{n: (tmp_path / "tree" / n).read_bytes() for n in names}))
    assert folders.classes == packed.classes == ("cat", "dog")
    partner = pair(folders, packed)
    for i, j in enumerate(partner.tolist()):
        assert folders.keys[i] == packed.keys[j]
        assert folders.read(i) == packed.read(j)
        assert folders[i][1] == packed[j][1]
        np.testing.assert_array_equal(folders[i][0], packed[j][0])


def test_numeric_classes_keep_their_order(tmp_path: Path) -> None:
    members = {}
    for label in ("10", "2"):
        members |= {f"x{label}.png": png(), f"x{label}.cls": label.encode()}
    images = open_images(tar(tmp_path / "0.tar", **members))
    assert images.classes == ("2", "10")
    assert images.labels.tolist() == [1, 0]
    padded = [f"{name}/x.png" for name in ("1", "01", "001", "2")]
    assert open_images(tree(tmp_path / "padded", *padded)).classes == ("001", "01", "1", "2")


def test_split_must_be_named_where_there_is_a_choice(tmp_path: Path) -> None:
    tree(tmp_path, "train/dog/1.png", "val/dog/2.png")
    with pytest.raises(InputError, match=r"train, val: give one, such as .*/train"):
        open_images(tmp_path)
    assert open_images(tmp_path, "val").keys == ("dog/2",)
    with pytest.raises(InputError, match="it has: train, val"):
        open_images(tmp_path, "dev")


def test_images_without_texture_are_named(tmp_path: Path) -> None:
    images = open_images(tree(tmp_path / "images", "a/1.png", "a/2.png"))
    textures = open_images(tree(tmp_path / "textures", "a/2.png"))
    with pytest.raises(InputError, match=r"1 of 2 images .*first: a/1"):
        pair(images, textures)
    assert pair(images, textures, allow_missing=True).tolist() == [-1, 0]


def test_pairs_are_found_however_the_textures_were_named(tmp_path: Path) -> None:
    images = open_images(tree(tmp_path / "images", "a/1.jpg", "a/1.png", "b/2.JPG"))
    textures = open_images(tree(tmp_path / "textures", "a/1.jpg.webp", "a/1.png.webp", "b/2.JPG.webp"))
    assert [textures.keys[j] for j in pair(images, textures)] == ["a/1.jpg", "a/1.png", "b/2.JPG"]
    members = {"x.png": png(), "x.cls": b"7", "y.png": png(), "y.cls": b"3"}
    packed = open_images(tar(tmp_path / "0.tar", **members))
    folders = open_images(tree(tmp_path / "folders", "3/y.webp", "7/x.webp"))
    assert pair(packed, folders).tolist() == [1, 0]


def test_textures_with_one_key_are_refused(tmp_path: Path) -> None:
    for number in range(2):
        tar(tmp_path / "textures" / f"{number}.tar", **{"x.png": png(number), f"only{number}.png": png()})
    textures = open_images(tmp_path / "textures")
    with pytest.raises(InputError, match=r"more than one texture .* has the key x"):
        pair(open_images(tar(tmp_path / "0.tar", **{"x.png": png()})), textures)
    assert pair(open_images(tar(tmp_path / "1.tar", **{"only1.png": png()})), textures).tolist() == [3]
