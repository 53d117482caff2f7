"""Class spaces: declared choices, masks and chance, whatever images are there."""

import pytest
import torch

from texneg.datasets.class_maps import ClassMap, read_class_map
from texneg.errors import InputError
from texneg.train.evaluate.class_space import choose, declare, describe_left_out
from texneg.train.evaluate.features import Features
from texneg.train.evaluate.linear import Head
from texneg.train.evaluate.sets.accuracy import describe_accuracy, measure_accuracy


def reader(classes):
    """A head that passes features on as scores."""
    n = len(classes)
    return Head(torch.zeros(n), torch.ones(n), torch.eye(n), torch.zeros(n), classes)


def test_masked_and_unmasked_on_a_toy():
    """Head a b c; the set has c, a and an unknown z. Image 0 prefers b, which the mask takes away."""
    labels, folders = torch.tensor([0, 2, 1, -1]), ("c", "z", "a")
    space = declare(("a", "b", "c"), folders, labels, ClassMap("m", {"a": (), "c": ()}), leave_out=True)
    assert (space.names, space.lacking, space.kinds, space.chance) == (("a", "c"), ("z",), 2, 0.5)
    assert space.known.tolist() == [True, True, False, False]
    assert space.left_out == {"images": 2, "classes": ["z"], "in_no_folder": 1}
    assert (
        describe_left_out(space.left_out)
        == "; 1 image of 1 class that the head lacks (z) left out; 1 image in no class folder left out"
    )
    chosen = choose(torch.tensor([[0.0, 4.0, 3.0], [2.0, 9.0, 1.0]]), space)
    assert chosen["masked"].tolist() == [2, 0]
    assert chosen["unmasked"].tolist() == [1, 1]
    assert space.judge(chosen["masked"]).tolist() == [True, True]
    assert space.judge(chosen["unmasked"]).tolist() == [False, False]
    whole = declare(("a", "b", "c"), folders, labels, leave_out=True)
    assert (whole.kinds, whole.columns.tolist(), whole.declared) == (3, [0, 1, 2], "head")


def test_half_a_set_keeps_mask_and_chance():
    head, folders = ("a", "b", "c", "d"), ("a", "b", "c")
    whole, half = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 0])
    declared = ClassMap("abc", dict.fromkeys(folders, ()))
    for given, names, kinds in ((declared, folders, 3), (None, head, 4)):
        one = declare(head, folders, whole, given)
        two = declare(head, ("a", "b"), torch.tensor([0, 0, 1]), given)
        for space in (one, two):
            assert (space.names, space.kinds, space.chance) == (names, kinds, 1 / kinds)
    alone = declare(head, ("a",), half, declared)
    assert alone.describe()["present"] == 1
    with pytest.raises(InputError, match="one shared class, 'a'"):
        declare(head, ("a",), half)
    with pytest.raises(InputError, match="one shared class, 'a'"):
        declare(("a", "x"), folders, whole, declared)


def test_a_folder_of_several_classes():
    """Any of them is right; a blind choice among five finds two of dog, three of cat half the time each."""
    head = ("pug", "husky", "tabby", "lynx", "manx", "taxi")
    groups = ClassMap("pets", {"dog": ("pug", "husky"), "cat": ("tabby", "lynx", "manx"), "cow": ("ox",)})
    features = Features(
        torch.tensor([[0, 9, 0, 0, 0, 9.5], [0, 0, 1, 2, 0, 0], [0, 3, 0, 2, 0, 0.0]]),
        torch.tensor([1, 0, 0]),
        ("dog/1", "cat/1", "cat/2"),
    )
    found = measure_accuracy(reader(head), features, ("cat", "dog"), declared=groups).numbers
    assert (found["classes"], found["choices"], found["chance"]) == (2, 5, 0.5)
    assert found["masked"]["correct"] == 2
    assert found["unmasked"]["correct"] == 1
    assert found["masked"]["macro"] == pytest.approx((1 + 0.5) / 2)
    assert found["images_per_class"] == [1, 2]
    line = describe_accuracy(found)
    assert "in 2 classes of pets (5-way, chance 50.0 %), unmasked 33.3 % (6-way" in line
    assert ", macro 75.0 %" in line


def test_unknown_folders_are_refused_by_name():
    head = ("cat", "polar bear", "taxi")
    with pytest.raises(InputError) as caught:
        declare(head, ("Cat", "polar_bear", "taxi", "zebra"), torch.tensor([0, 1, 2, 3]))
    said = str(caught.value)
    assert "3 class folders unknown to the head: Cat, polar_bear, zebra" in said
    assert "'Cat' is 'cat', 'polar_bear' is 'polar bear'" in said
    assert "--leave-out" in said
    with pytest.raises(InputError, match="1 image in no class folder; "):
        declare(head, ("cat", "taxi"), torch.tensor([0, 1, -1]))
    with pytest.raises(InputError, match=r"no shared classes.*'CAT' is 'cat'"):
        declare(head, ("CAT",), torch.tensor([0]), leave_out=True)
    with pytest.raises(InputError, match="no class folders"):
        declare(head, (), torch.tensor([-1]))
    declared = ClassMap("two", {"cat": (), "taxi": (), "zebra": ()})
    space = declare(head, ("cat", "taxi", "zebra"), torch.tensor([0, 1, 2]), declared)
    assert space.lacking == ("zebra",)
    with pytest.raises(InputError, match="unknown to the class map two: polar bear"):
        declare(head, ("cat", "taxi", "polar bear"), torch.tensor([0, 1, 2]), declared)


def test_imagenet_r_on_a_head_of_imagenet_100():
    hundred, r = (tuple(read_class_map(name).folders) for name in ("imagenet-100", "imagenet-r"))
    space = declare(hundred, r, torch.arange(200), read_class_map("imagenet-r"))
    assert (space.kinds, len(space.columns), int(space.known.sum())) == (19, 19, 19)
    assert space.chance == pytest.approx(1 / 19)
