"""Sets told by their folders: names, counts, and what cannot be told."""

import json

import numpy as np
import pytest

from texneg.datasets.catalogue.recognise import recognise
from texneg.datasets.catalogue.table import list_known
from texneg.datasets.class_maps import OBJECTNET, read_class_map
from texneg.datasets.corruptions.corrupt import CORRUPTIONS
from texneg.errors import InputError


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")
    return root


def tell(path):
    return [([known.name for known in one.sets], one.counts) for one in recognise(str(path))]


def test_a_tree_of_corruptions_and_a_broken_download_of_it(tmp_path):
    for name in CORRUPTIONS:
        for severity in range(1, 6):
            touch(tmp_path / "ImageNet-C", *(f"{name}/{severity}/n0000000{i}/a.JPEG" for i in range(3)))
    assert tell(tmp_path / "ImageNet-C") == [(["imagenet-c"], "75 of 75 cells; 3 class folders in each")]
    (tmp_path / "ImageNet-C").rename(tmp_path / "tiny_imagenet_c")
    assert tell(tmp_path / "tiny_imagenet_c")[0][0] == ["tiny-imagenet-c"]
    folder = tmp_path / "tiny_imagenet_c"
    for path in ("fog/5/n00000000/a.JPEG", "frost/1/n00000000/a.JPEG"):
        (folder / path).unlink()
        (folder / path).parent.rmdir()
    (folder / "fog" / "5").rename(tmp_path / "elsewhere")
    assert tell(folder)[0][1] == ("74 of 75 cells, without fog 5; 2 to 3 class folders, fewer in frost 1")
    folder.rename(tmp_path / "copy")
    assert tell(tmp_path / "copy")[0][0] == ["imagenet-c", "tiny-imagenet-c"]


def test_class_folders(tmp_path):
    r, imagenet = (list(read_class_map(name).folders) for name in ("imagenet-r", "imagenet"))
    touch(tmp_path / "a", *(f"{name}/art_{i}.jpg" for name in r[:150] for i in range(2)))
    assert tell(tmp_path / "a") == [(["imagenet-r"], "300 of 30,000 images in 150 of 200 class folders")]
    touch(tmp_path / "b", *(f"{name}/x.jpg" for name in imagenet[:300]))
    assert tell(tmp_path / "b")[0][0] == ["imagenet-w", "imagenet-sketch", "stylized-imagenet"]
    touch(tmp_path / "imagenet_sketch", *(f"{name}/x.jpg" for name in imagenet[:300]))
    assert tell(tmp_path / "imagenet_sketch")[0][0] == ["imagenet-sketch"]
    touch(tmp_path / "v2", *(f"{i}/x.jpeg" for i in range(1000)))
    assert tell(tmp_path / "v2") == [
        (["imagenet-v2"], "1,000 of 10,000 images in 1,000 of 1,000 class folders")
    ]
    touch(tmp_path / "digits", *(f"{i}/x.png" for i in range(10)))
    assert tell(tmp_path / "digits") == [([], "10 images in 10 class folders (0, 1, 2, ...)")]


def test_sets_of_cues_and_sets_in_sets(tmp_path):
    touch(tmp_path / "stimuli", "cue/cat/cat1-dog2.png", "cue/dog/dog1-cat1.png")
    touch(
        tmp_path / "stimuli", "edges/cat/cat1.png", "edges/dog/dog1.png", "x/cat/cat1.png", "x/dog/dog2.png"
    )
    assert [one[0] for one in tell(tmp_path / "stimuli")] == [
        ["cue-conflict"],
        ["edges"],
        ["edges", "filled-silhouettes"],
    ]
    touch(tmp_path / "pacs", "photo/dog/a.jpg", "sketch/dog/a.jpg")
    assert tell(tmp_path / "pacs") == [(["pacs"], "2 of 4 sets: photo, sketch")]
    touch(tmp_path / "pacs", "sketch/horse/a.jpg")
    assert tell(tmp_path / "pacs" / "sketch")[0][0] == ["pacs"]


def test_arrays_objectnet_and_tars(tmp_path):
    touch(tmp_path / "CIFAR-100-C", "fog.npy", "saturate.npy")
    assert tell(tmp_path / "CIFAR-100-C") == [
        (["cifar-100-c"], "1 of 15 arrays, 1 extra; labels.npy is missing")
    ]
    np.save(tmp_path / "CIFAR-100-C" / "labels.npy", np.zeros(3))
    assert tell(tmp_path / "CIFAR-100-C")[0][1] == "1 of 15 arrays, 1 extra"
    touch(tmp_path / "objectnet-1.0", "images/bench/a.png", "images/air_bed/a.png", f"mappings/{OBJECTNET}")
    (tmp_path / "objectnet-1.0" / "mappings" / OBJECTNET).write_text(json.dumps({}))
    assert tell(tmp_path / "objectnet-1.0") == [(["objectnet"], "2 class folders, mappings/")]
    touch(tmp_path / "tars", "noise.tar", "blur.tar")
    assert tell(tmp_path / "tars") == [([], "tars, not looked into: blur.tar, noise.tar")]
    touch(tmp_path / "empty" / "texts", "a.txt")
    assert tell(tmp_path / "empty") == []
    with pytest.raises(InputError, match="no such folder"):
        recognise(str(tmp_path / "absent"))


def test_what_is_found_stands_with_its_set(tmp_path):
    touch(tmp_path / "pacs", "photo/dog/a.jpg", "sketch/dog/a.jpg")
    lines = list(list_known(recognise(str(tmp_path / "pacs"))))
    place = next(i for i, line in enumerate(lines) if line.startswith("pacs    "))
    below = lines[place : lines.index("", place)]
    assert any(line.startswith("  found ") for line in below)
    assert lines[lines.index("FOUND") + 1] == str(tmp_path / "pacs")
    assert lines[lines.index("FOUND") + 2].strip() == "pacs: 2 of 4 sets: photo, sketch"
    assert list(list_known([]))[-1] == "nothing that looks like a set"
