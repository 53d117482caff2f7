"""Which images a verb learns from and tests on."""

import pytest
from PIL import Image

from texneg.errors import InputError
from texneg.train.data.splits import find_test, open_train, require_labels


@pytest.fixture
def place(tmp_path):
    """A function that puts an image at a path below a fresh folder, and the folder."""

    def put(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8)).save(path)
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


def test_images_without_a_class_are_named(place):
    root = place("a/1.png")
    with pytest.raises(InputError, match="has 1 class folders; it needs two or more"):
        require_labels(open_train(root))
    place("b/2.png")
    assert len(require_labels(open_train(root))) == 2
    place("stray.png")
    with pytest.raises(InputError, match=r"stray of .* lies in no class folder"):
        require_labels(open_train(root))
