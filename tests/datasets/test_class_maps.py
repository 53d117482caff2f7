"""Class maps: those that come with texneg, files, ObjectNet's, and the way back."""

import json

import pytest

from texneg.datasets.class_maps import (
    OBJECTNET,
    SHIPPED,
    ClassMap,
    declare_folders,
    read_class_map,
)
from texneg.datasets.images import open_images
from texneg.errors import InputError

IMAGENET = list(read_class_map("imagenet").folders)


def test_maps_that_come_with_texneg():
    sizes = {name: len(read_class_map(name).folders) for name in SHIPPED}
    assert sizes == {
        "cifar-10": 10,
        "cifar-100": 100,
        "imagenet": 1000,
        "imagenet-100": 100,
        "imagenet-a": 200,
        "imagenet-r": 200,
        "imagenet-v2": 1000,
        "laion-c": 16,
        "pacs": 7,
        "refined-bias": 20,
        "sixteen": 16,
        "tiny-imagenet": 200,
    }
    assert sorted(IMAGENET) == IMAGENET
    hundred = list(read_class_map("imagenet-100").folders)
    for name, shared in (("imagenet-r", 19), ("imagenet-a", 15)):
        assert set(read_class_map(name).folders) <= set(IMAGENET)
        assert sum(bool(group) for group in read_class_map(name).lead(hundred).values()) == shared
    groups = read_class_map("sixteen").lead(IMAGENET)
    assert (len(groups["dog"]), len(groups["bird"]), sum(map(len, groups.values()))) == (109, 49, 207)
    assert sum(bool(group) for group in read_class_map("sixteen").lead(hundred).values()) == 7
    assert read_class_map("imagenet-v2").lead(IMAGENET)["17"] == (17,)


def test_a_folder_means_names_that_the_head_knows_else_its_own():
    cifar = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    assert {k: v for k, v in read_class_map("pacs").lead(cifar).items() if v} == {"dog": (5,), "horse": (7,)}
    found = read_class_map("sixteen").lead(cifar)
    assert (found["boat"], found["car"], found["bear"]) == ((8,), (1,), ())
    assert len(read_class_map("pacs").lead(IMAGENET)["dog"]) == 118
    own = read_class_map("pacs").lead(["cat", "dog"])
    assert own["dog"] == (1,)


def test_a_map_also_leads_back():
    """Photographs by WordNet id, and a head of the 16 categories."""
    six = read_class_map("sixteen")
    back = six.turn(["n02690373", "n09999999"])
    assert back.lead(["cat", "airplane"])["n02690373"] == (1,)
    assert six.turn(["cat", "n02690373"]) is six
    assert six.turn(["something"]) is six


def test_files(tmp_path):
    (tmp_path / "map.json").write_text('{"taxi": ["cab", "taxi rank"], "Katze": "cat"}')
    (tmp_path / "list.txt").write_text("cat\n\ndog\n")
    assert read_class_map(str(tmp_path / "map.json")).lead(["cat", "cab"]) == {"taxi": (1,), "Katze": (0,)}
    assert read_class_map(str(tmp_path / "list.txt")).lead(["dog", "cow"]) == {"cat": (), "dog": (0,)}
    for content in ("[1]", "{", '{"a": 1}', '{"a": [1]}'):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(InputError, match="must hold"):
            read_class_map(str(tmp_path / "bad.json"))
    (tmp_path / "raw.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read as text"):
        read_class_map(str(tmp_path / "raw.txt"))
    with pytest.raises(InputError, match=r"no class map 'nowhere'.*imagenet-r, "):
        read_class_map("nowhere")
    a, b = (ClassMap("x", {"a": group}) for group in (("b",), ("c",)))
    assert a.fingerprint != b.fingerprint


def test_objectnet_is_read_from_its_archive(tmp_path):
    """A copy of its four files with two of 313 objects; its numbers are not those of the sorted ids."""
    names = [f"name {i}" for i in range(1000)]
    (tmp_path / "imagenet_to_label_2012_v2").write_text("\n".join(names))
    (tmp_path / "pytorch_to_imagenet_2012_id.json").write_text(
        json.dumps({str(i): 999 - i for i in range(1000)})
    )
    (tmp_path / OBJECTNET).write_text(json.dumps({"Bench": "name 3; name 5"}))
    (tmp_path / "folder_to_objectnet_label.json").write_text(json.dumps({"bench": "Bench", "air_bed": "Bed"}))
    found = read_class_map(str(tmp_path))
    assert found.folders == {"bench": (IMAGENET[996], IMAGENET[994]), "air_bed": ()}
    (tmp_path / OBJECTNET).write_text(json.dumps({"Bench": "no such name"}))
    with pytest.raises(InputError, match="do not fit together"):
        read_class_map(str(tmp_path))


def test_declared_folders_may_be_empty(photos, tmp_path):
    for name in ("ant", "bee", "empty"):
        (tmp_path / name).mkdir()
    for name in ("ant", "bee"):
        source = next((photos / name).iterdir())
        (tmp_path / name / source.name).write_bytes(source.read_bytes())
    assert list(declare_folders(open_images(tmp_path)).folders) == ["ant", "bee", "empty"]
