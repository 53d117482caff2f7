"""Cells of published sets on disk: every layout, in any order, half of it, and what cannot be understood."""

import random
import tarfile

import numpy as np
import pytest
from PIL import Image

from texneg.datasets.catalogue.catalogue import find_known
from texneg.datasets.catalogue.cells import describe_missing, expect_cells, find_cells
from texneg.datasets.corruptions.corrupt import CORRUPTIONS, EXTRA
from texneg.errors import InputError

C, BAR, LAION = (find_known(name) for name in ("imagenet-c", "imagenet-c-bar", "laion-c"))
GROUPS = ("", "noise", "blur", "weather", "digital", "extra")
WNIDS = ("n01440764", "n01443537")


def write_cell(folder, classes=WNIDS, shade=0):
    for i, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        Image.fromarray(np.full((8, 8, 3), shade + i, np.uint8)).save(folder / name / f"{name}_1.png")


def names(cells):
    return [(cell.corruption, cell.severity) for cell in cells]


@pytest.mark.parametrize("seed", range(3))
def test_cells_are_found_in_any_order_and_below_any_group(tmp_path, seed):
    draw = random.Random(seed)
    wanted = [(name, severity) for name in CORRUPTIONS for severity in range(1, 6)]
    groups = {name: draw.choice(GROUPS) for name in CORRUPTIONS}
    for name, severity in draw.sample(wanted, len(wanted)):
        (tmp_path / groups[name] / name / str(severity)).mkdir(parents=True)
    for folder in ("readme", "noise", "fog.texneg"):
        (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / "checksums.txt").write_text("")
    for known in (C, find_known("tiny-imagenet-c"), None):
        assert names(find_cells(tmp_path, known)) == wanted
    assert describe_missing(find_cells(tmp_path, C), expect_cells(C, find_cells(tmp_path, C))) == ""


def test_missing_cells_are_named(tmp_path):
    for name in (*CORRUPTIONS, "speckle_noise"):
        for severity in range(1, 6):
            (tmp_path / name / str(severity)).mkdir(parents=True)
    for gone in ("snow", "fog/4", "fog/5", "speckle_noise/1"):
        folder = tmp_path / gone
        for below in sorted(folder.rglob("*"), reverse=True):
            below.rmdir()
        folder.rmdir()
    found = find_cells(tmp_path, C)
    expected = expect_cells(C, found)
    assert describe_missing(found, expected) == "snow, fog 4 5, speckle_noise 1"
    assert sum(map(len, expected.values())) == 80  # of the extra four that which is there in part
    assert describe_missing([], expect_cells(C, [])).endswith(", ... (15 corruptions)")
    assert describe_missing(found, expect_cells(None, found)) == "fog 4 5, speckle_noise 1"


def test_severities_by_the_numbers_of_their_folders(tmp_path):
    for name in LAION.corruptions[1:]:
        for level in range(1, 6):
            (tmp_path / f"{name}_dataset" / f"intensity_level_{level}").mkdir(parents=True)
    for shapes in (150, 300, 600, 800, 1000):
        (tmp_path / "mosaic" / f"shape_num_{shapes}").mkdir(parents=True)
    found = find_cells(tmp_path, LAION)
    assert names(found) == [(name, level) for name in LAION.corruptions for level in range(1, 6)]
    assert found[4].path.endswith("shape_num_1000")
    for value in ("2.35", "3.20", "4.90", "6.60", "9.15"):
        (tmp_path / "bar" / "caustic_refraction" / value).mkdir(parents=True)
    assert [cell.path.rpartition("/")[2] for cell in find_cells(tmp_path / "bar", BAR)] == [
        *("2.35", "3.20", "4.90", "6.60", "9.15"),
    ]
    (tmp_path / "bar" / "caustic_refraction" / "9.15").rmdir()
    with pytest.raises(InputError, match=r"has 2\.35, 3\.20, 4\.90, 6\.60; expected are folders 1 to 5"):
        find_cells(tmp_path / "bar", BAR)
    (tmp_path / "bar" / "caustic_refraction" / "level2.35").mkdir()
    with pytest.raises(InputError, match="the same severity twice"):
        find_cells(tmp_path / "bar", BAR)


def test_a_corruption_that_lies_there_twice_is_refused(tmp_path):
    for folder in ("fog/1", "weather/fog/1"):
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(InputError, match=r"fog lies at .*fog and at .*weather/fog; keep one of them"):
        find_cells(tmp_path, C)


def test_class_folders_are_no_cells(tmp_path):
    """Classes may bear names of corruptions."""
    write_cell(tmp_path, ("fog", "snow", "frost"))
    assert find_cells(tmp_path) == []
    assert find_cells(tmp_path / "fog") == []
    assert find_cells(tmp_path / "absent", C) == []
    (tmp_path / "fog" / "2019").mkdir()
    assert find_cells(tmp_path) == []


def test_images_of_a_cell_by_folder_and_by_tar(tmp_path):
    tree = tmp_path / "tree"
    for i, (group, name) in enumerate((("noise", "shot_noise"), ("blur", "zoom_blur"))):
        for severity in (1, 2):
            write_cell(tree / group / name / str(severity), shade=20 * i + 5 * severity)
    tars = tmp_path / "tars"
    tars.mkdir()
    for group in ("noise", "blur"):
        with tarfile.open(tars / f"{group}.tar", "w") as tar:
            for child in sorted((tree / group).iterdir()):
                tar.add(child, child.name)
    by_folder, by_tar = find_cells(tree, C), find_cells(tars, C)
    assert names(by_folder) == names(by_tar) == [
        ("shot_noise", 1), ("shot_noise", 2), ("zoom_blur", 1), ("zoom_blur", 2),
    ]  # fmt: skip
    assert names(find_cells(tars / "blur.tar", C)) == [("zoom_blur", 1), ("zoom_blur", 2)]
    assert find_cells(tars) == []  # only a known set is worth the reading of whole tars
    roots = set()
    for one, other in zip(by_folder, by_tar, strict=True):
        a, b = one.open(()), other.open(())
        assert (a.keys, a.classes, a.labels.tolist()) == (b.keys, b.classes, b.labels.tolist())
        assert a.classes == WNIDS
        for i in range(2):
            np.testing.assert_array_equal(a[i][0], b[i][0])
        roots.update((a.root, b.root))
    assert len(roots) == 8  # features of one cell are not those of another


def test_arrays(tmp_path):
    for name in ("fog", "saturate", "gaussian_noise"):
        np.save(tmp_path / f"{name}.npy", np.zeros((10, 4, 4, 3), np.uint8))
    np.save(tmp_path / "labels.npy", np.tile([0, 1], 5))
    np.save(tmp_path / "other.npy", np.zeros(3))
    known = find_known("cifar-10-c")
    found = find_cells(tmp_path, known)
    assert names(found) == [
        (name, severity)
        for name in ("gaussian_noise", "fog", "saturate")
        for severity in range(1, 6)
    ]  # fmt: skip
    assert set(EXTRA) & {cell.corruption for cell in found} == {"saturate"}
    assert len(found[7].open(("cat", "dog"))) == 2
    with pytest.raises(InputError, match="arrays have numbers in place of class folders; give the set"):
        found[0].open(())
