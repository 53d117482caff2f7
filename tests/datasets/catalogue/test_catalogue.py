"""The table of known sets: consistent in itself, and one place for what a set is."""

from collections import Counter

import pytest

from texneg.datasets.catalogue.catalogue import CATALOGUE, find_group, find_known
from texneg.datasets.catalogue.cells import name_corruptions
from texneg.datasets.catalogue.look import Located, locate
from texneg.datasets.catalogue.table import list_known
from texneg.datasets.class_maps import OBJECTNET, SHIPPED, read_class_map
from texneg.errors import InputError
from texneg.train.report.sets import GROUPS


def test_every_description_is_whole():
    assert max(Counter(known.name for known in CATALOGUE).values()) == 1
    for known in CATALOGUE:
        assert known.name == known.name.casefold()
        assert known.group in GROUPS
        assert known.where.startswith("https://")
        assert known.layout
        assert known.reading
        assert known.licence
        assert bool(known.classes) != bool(known.own_map)
        assert not known.classes or known.classes in SHIPPED
        assert bool(known.corruptions) == (known.cells != "one")
        assert set(known.renamed.values()) <= set(known.corruptions)
    assert {known.name: known.count for known in CATALOGUE if known.count > 1} == {
        "imagenet-c": 75,
        "imagenet-c-bar": 50,
        "tiny-imagenet-c": 75,
        "laion-c": 30,
        "cifar-10-c": 75,
        "cifar-100-c": 75,
    }
    assert len(name_corruptions(None)) == len(set(name_corruptions(None)))


def test_lists_of_classes():
    imagenet = set(read_class_map("imagenet").folders)
    assert set(read_class_map("tiny-imagenet").folders) <= imagenet
    for name, folders in (("laion-c", 16), ("refined-bias", 20)):
        groups = read_class_map(name).folders
        every = [wnid for group in groups.values() for wnid in group]
        assert (len(groups), len(every)) == (folders, len(set(every)))
        assert set(every) <= imagenet
    assert read_class_map("laion-c").folders["bird"] == read_class_map("sixteen").folders["bird"]
    assert tuple(read_class_map("cifar-10").folders)[1::8] == ("automobile", "truck")
    hundred = list(read_class_map("cifar-100").folders)
    assert hundred == sorted(hundred)  # the order of its numbers
    shared = {one for group in read_class_map("refined-bias").lead(
        list(read_class_map("imagenet-100").folders)
    ).values() for one in group}  # fmt: skip
    assert len(shared) == 1  # of ImageNet-100, as is published


@pytest.mark.parametrize(
    ("name", "declared", "group"),
    [
        ("imagenet-r", None, "renditions"),
        ("ImageNet-Sketch", None, "renditions"),
        ("cartoon", "pacs", "renditions"),
        ("photo", "pacs", None),
        ("mine", "imagenet-r", "renditions"),
        ("mine", "imagenet", None),
        ("silhouettes", None, "cue sets"),
        ("noise", None, "corruptions"),
        ("fog", None, "corruptions"),
        ("cifar-100-c", None, "corruptions"),
        ("imagenet-v2", None, "out of distribution"),
        ("own", None, None),
    ],
)
def test_a_name_tells_the_group(name, declared, group):
    assert find_group(name, declared) == group


def test_a_set_added_from_outside_is_known(monkeypatch):
    known = find_known("edges")
    mine = type(known)(**{**vars(known), "name": "my-edges", "title": "Edges of mine"})
    monkeypatch.setattr("texneg.datasets.catalogue.catalogue.CATALOGUE", CATALOGUE)
    CATALOGUE.append(mine)
    try:
        assert find_group("my-edges") == "cue sets"
        assert any(line.startswith("my-edges    Edges of mine") for line in list_known())
    finally:
        CATALOGUE.remove(mine)


def test_the_list_names_every_set_and_invents_nothing():
    text = "\n".join(list_known())
    for known in CATALOGUE:
        assert f"\n{known.name}    {known.title}\n" in text
        assert known.where in text
    assert "number of images unknown; size unknown" in text
    assert max(map(len, text.splitlines())) <= 110


def test_a_folder_must_look_like_the_set_of_its_name(tmp_path):
    (tmp_path / "tree" / "cat").mkdir(parents=True)
    (tmp_path / "tree" / "dog").mkdir()
    with pytest.raises(InputError) as raised:
        locate("imagenet-r", str(tmp_path / "tree"))
    assert str(raised.value).endswith(
        "tree does not look like ImageNet-R (Hendrycks et al., arXiv 2006.16241): renditions, from art to"
        " toys; expected is WNID/IMAGE, 200 class folders; it has the folders cat, dog. Give its folder,"
        " declare the folders with --classes imagenet-r=MAP, or give the set another name"
    )
    assert locate("imagenet-r", str(tmp_path / "tree"), "folders").classes == "folders"
    assert locate("mine", str(tmp_path / "tree")).ready_cut is False
    (tmp_path / "tree" / "n01443537").mkdir()
    assert locate("imagenet-r", str(tmp_path / "tree")).path == str(tmp_path / "tree")
    (tmp_path / "split" / "val").mkdir(parents=True)
    assert locate("imagenet-sketch", str(tmp_path / "split")).path == str(tmp_path / "split")
    for domain in ("photo", "sketch"):
        (tmp_path / "pacs" / domain / "dog").mkdir(parents=True)
    with pytest.raises(InputError, match=r"several sets, photo, sketch: name each, such as --sets photo="):
        locate("pacs", str(tmp_path / "pacs"))
    assert locate("pacs", str(tmp_path / "pacs" / "sketch")).classes is None
    assert locate("edges", str(tmp_path / "absent")).ready_cut is True


def test_a_set_of_ones_own_may_bear_a_plain_name(tmp_path):
    """`edges` is any set of edges, unless it has folders of the published one."""
    (tmp_path / "edges" / "crescent").mkdir(parents=True)
    assert locate("edges", str(tmp_path / "edges")) == Located(str(tmp_path / "edges"), None, ready_cut=False)
    (tmp_path / "edges" / "airplane").mkdir()
    assert locate("edges", str(tmp_path / "edges")).ready_cut is True


def test_objectnet_brings_its_map(tmp_path):
    (tmp_path / "images" / "air_bed").mkdir(parents=True)
    with pytest.raises(InputError, match=r"expected is images/OBJECT/IMAGE beside mappings/"):
        locate("objectnet", str(tmp_path))
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / OBJECTNET).write_text("{}")
    for given in (tmp_path, tmp_path / "images"):
        found = locate("objectnet", str(given))
        assert (found.path, found.classes) == (str(tmp_path / "images"), str(tmp_path / "mappings"))
    assert locate("objectnet", str(tmp_path), "mine.json").classes == "mine.json"
