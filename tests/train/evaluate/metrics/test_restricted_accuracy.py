"""Answers among fewer classes: the same as with the scores of these classes alone."""

import numpy as np
import pytest
import torch

from texneg.datasets.class_maps import ClassMap
from texneg.train.evaluate.features import Features
from texneg.train.evaluate.linear import Head
from texneg.train.evaluate.metrics.restricted_accuracy import restrict_answers
from texneg.train.evaluate.sets.accuracy import measure_accuracy

CLASSES = tuple("abcdefghijkl")


def reader():
    n = len(CLASSES)
    return Head(torch.zeros(n), torch.ones(n), torch.eye(n), torch.zeros(n), CLASSES)


def scored(folders):
    draw = torch.Generator().manual_seed(3)
    labels = torch.arange(600) % len(folders)
    values = torch.randn(600, len(CLASSES), generator=draw)
    return Features(values, labels, tuple(map(str, range(600))))


@pytest.mark.parametrize("choices", [(0, 3, 4), (1, 11), tuple(range(12))])
def test_among_any_classes_as_with_their_scores_alone(choices):
    images = scored(CLASSES)
    kept = measure_accuracy(reader(), images, CLASSES, rank=True).answers
    found = restrict_answers(kept.ranking, kept.ranking_right, kept.ranked, choices)
    inside = np.flatnonzero(np.isin(images.labels.numpy(), choices))
    scores = images.values.numpy()[inside][:, choices]
    expected = np.array(choices)[scores.argmax(1)] == images.labels.numpy()[inside]
    assert (found.places == inside).all()
    assert (found.right == expected).all()


def test_folders_of_several_classes_and_classes_as_good_as_each_other():
    """The clean set's folders mean pairs of classes; the other set has some classes, in groups of its own."""
    pairs = ClassMap("pairs", {f"f{i}": CLASSES[2 * i : 2 * i + 2] for i in range(6)})
    images = scored(tuple(pairs.folders))
    kept = measure_accuracy(reader(), images, tuple(pairs.folders), declared=pairs, rank=True).answers
    choices, groups = (0, 2, 3, 6, 7), {2: 0, 6: 0}
    found = restrict_answers(kept.ranking, kept.ranking_right, kept.ranked, choices, groups)
    expected, places = [], []
    for i, (row, label) in enumerate(zip(images.values.numpy(), images.labels.tolist(), strict=True)):
        right = {2 * label, 2 * label + 1} & set(choices)
        if right:
            chosen = choices[row[list(choices)].argmax()]
            as_good = {2, 6} if chosen in (2, 6) else {chosen}
            expected.append(bool(as_good & right))
            places.append(i)
    assert found.places.tolist() == places
    assert found.right.tolist() == expected


def test_no_image_of_these_classes():
    images = scored(CLASSES[:3])
    kept = measure_accuracy(reader(), images, CLASSES[:3], rank=True).answers
    assert len(restrict_answers(kept.ranking, kept.ranking_right, kept.ranked, (7, 8)).right) == 0
