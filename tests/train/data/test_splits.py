"""Which images a verb learns from and tests on."""

import pytest
from PIL import Image

from texneg.errors import InputError
from texneg.train.data.splits import find_test, open_textures, open_train, require_labels


@pytest.fixture
def place(tmp_path):
    """A function that puts an image at a path below a fresh folder, and the folder."""

    def put(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8)).save(path, "PNG")
        return str(tmp_path)

    return put


def test_the_train_split_is_taken_where_there_is_one(place):
    root = place("a/1.png", "b/2.png")
    assert open_train(root).keys == ("a/1", "b/2")
    place("train/a/3.png")
    assert open_train(root).keys == ("a/3",)


def test_the_first_held_out_split_with_a_known_class_is_the_test(place):
    root = place("train/a/1.png", "train/b/2.png", "val/3.png")
    assert find_test(root, ("a", "b")) is None
    place("test/b/4.png")
    assert find_test(root, ("a", "b")).keys == ("b/4",)
    place("validation/a/5.png")
    assert find_test(root, ("a", "b")).keys == ("a/5",)


def kaggle(place, top):
    """ImageNet as Kaggle gives it out, in small."""
    return place(
        f"{top}Data/CLS-LOC/train/n01/n01_1.png",
        f"{top}Data/CLS-LOC/train/n02/n02_1.png",
        f"{top}Data/CLS-LOC/val/ILSVRC2012_val_00000001.png",
        f"{top}Data/CLS-LOC/test/ILSVRC2012_test_00000001.png",
        f"{top}Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml",
        f"{top}ImageSets/CLS-LOC/test.txt",
    )


@pytest.mark.parametrize("top", ["", "ILSVRC/"])
def test_the_train_split_of_kaggles_imagenet_is_found(place, top, capsys):
    root = kaggle(place, top)
    found = open_train(root)
    assert found.keys == ("n01/n01_1", "n02/n02_1")
    assert f"2 images of {root}/{top}Data/CLS-LOC/train" in capsys.readouterr().err
    assert len(require_labels(found)) == 2
    assert open_textures(root, found, root).keys == found.keys
    assert find_test(root, found.classes) is None
    said = capsys.readouterr().err
    assert "val and test of" in said
    assert "move each into a folder of its class (Kaggle's LOC_val_solution.csv names them)" in said
    place(f"{top}Data/CLS-LOC/val/n02/x.png")
    assert "n02/x" in find_test(root, found.classes).keys


def test_the_only_data_set_in_a_folder_is_taken_and_of_several_none(place, capsys):
    root = place("imagenette2/train/a/1.png", "imagenette2/train/b/1.png", "imagenette2/val/a/2.png", "x.txt")
    found = open_train(root)
    assert (found.classes, len(found)) == (("a", "b"), 2)
    assert f"{root}/imagenette2/train" in capsys.readouterr().err
    assert find_test(root, found.classes).keys == ("a/2",)
    place("textures/a/1.png")
    beside = "holds imagenette2 with train and other splits beside textures: give one, such as .*/imagenette2"
    with pytest.raises(InputError, match=beside):
        open_train(root)
    place("other/train/a/1.png", "other/test/1.png")
    with pytest.raises(InputError, match=r"holds imagenette2, other with train .* beside textures: give one"):
        find_test(root, found.classes)


def test_a_class_of_trains_is_no_split(place):
    root = place("bus/1.png", "car/1.png", "train/1.png")
    assert open_train(root).classes == ("bus", "car", "train")
    place("vehicle/train/steam/1.png", "vehicle/tram/1.png")
    assert open_train(root).classes == ("bus", "car", "train", "vehicle")
    place("val/car/2.png")
    assert open_train(root).keys == ("1",)


def test_a_flat_train_split_stays_one(place):
    root = place("train/1.png", "annotations/1.json")
    assert open_train(root).keys == ("1",)


def test_what_is_passed_over_is_printed(place, tmp_path, capsys):
    root = place("train/a/1.png", "train/a/@eaDir/1.png", "train/b/2.png", "val/a/3.png", "val/a/.4.png")
    (tmp_path / "train/a/gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "train/b/x.heic").write_bytes(b"x")
    train = open_train(root)
    assert capsys.readouterr().err.splitlines() == [
        f"2 images of {root}/train",
        "passed over: 1 x .heic picture, which texneg does not read: convert it to JPEG or PNG"
        " (first: b/x.heic)",
        "passed over: 1 x decode_error: a link that leads nowhere (first: a/gone.jpg)",
        "passed over: 1 x in a system folder of thumbnails or deleted files (first: a/@eaDir)",
    ]
    find_test(root, train.classes)
    assert "1 x hidden: the name begins with a dot (first: a/.4.png)" in capsys.readouterr().err


def test_images_without_a_class_are_named(place):
    root = place("a/1.png")
    with pytest.raises(InputError, match="has one class folder, a; it needs two or more"):
        require_labels(open_train(root))
    place("b/2.png")
    assert len(require_labels(open_train(root))) == 2
    place("stray.png")
    with pytest.raises(InputError, match=r"stray of .* lies in no class folder"):
        require_labels(open_train(root))
