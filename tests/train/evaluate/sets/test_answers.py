"""Answers of a head, kept image by image: choices, confidences, and accuracies among other classes."""

import json

import numpy as np
import pytest
import torch

from texneg.datasets.class_maps import ClassMap
from texneg.train.evaluate.features import Features
from texneg.train.evaluate.linear import Head
from texneg.train.evaluate.outcomes import load_outcomes, save_outcomes
from texneg.train.evaluate.sets import answers as room
from texneg.train.evaluate.sets.accuracy import measure_accuracy

CLASSES = tuple("abcdefgh")


def reader(classes):
    """A head whose scores are the features."""
    n = len(classes)
    return Head(torch.zeros(n), torch.ones(n), torch.eye(n), torch.zeros(n), classes)


@pytest.fixture
def scored():
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 8
    values = torch.randn(200, 8, generator=draw) + 1.5 * torch.eye(8)[labels]
    return Features(values, labels, tuple(f"{CLASSES[label]}/{i}" for i, label in enumerate(labels)))


def test_top5_confidence_and_likelihood(scored, monkeypatch):
    monkeypatch.setattr(room, "BLOCK", 64)
    found = measure_accuracy(reader(CLASSES), scored, CLASSES)
    numbers, kept = found.numbers, found.answers
    scores, labels = scored.values.double().numpy(), scored.labels.numpy()
    order = np.argsort(-scores, 1)
    probability = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    assert numbers["masked"]["top5"] == pytest.approx((order[:, :5] == labels[:, None]).any(1).mean())
    assert numbers["masked"]["top5"] == numbers["unmasked"]["top5"]
    assert numbers["choice_names"] == list(CLASSES)
    assert (kept.predicted == order[:, 0]).all()
    assert (kept.target == labels).all()
    assert kept.predicted.dtype == np.int16
    assert kept.confidence == pytest.approx(probability.max(1), abs=1e-6)
    told = numbers["calibration"]
    assert told["over"] == "all"
    assert told["nll"] == pytest.approx(-np.log(probability[np.arange(200), labels]).mean(), abs=1e-6)
    assert sum(one["n"] for one in told["bins"]) == 200
    assert json.loads(json.dumps(numbers)) == numbers


def test_few_choices_have_no_top5_and_masked_confidence(scored):
    few = ClassMap("few", {"b": ("b",), "e": ("e",), "g": ("g",)})
    inside = torch.isin(scored.labels, torch.tensor([1, 4, 6]))
    some = Features(scored.values[inside], scored.labels[inside], tuple(np.array(scored.keys)[inside]))
    found = measure_accuracy(reader(CLASSES), some, CLASSES, declared=few, leave_out=True)
    assert "top5" not in found.numbers["masked"]
    assert "top5" in found.numbers["unmasked"]
    assert found.numbers["calibration"]["over"] == "masked"
    assert found.numbers["choice_names"] == ["b", "e", "g"]
    scores = some.values[:, [1, 4, 6]].double().softmax(1).numpy()
    assert found.answers.confidence == pytest.approx(scores.max(1), abs=1e-6)
    assert (found.answers.predicted == scores.argmax(1)).all()
    assert ((found.answers.predicted == found.answers.target) == found.values).all()


def test_classes_of_one_folder_share_their_confidence():
    pets = ClassMap("pets", {"cat": ("a", "b"), "dog": ("c", "d", "e")})
    values = torch.tensor([[3, 2, 1, 0, 0], [0, 3, 0, 0, 2.9]])
    images = Features(values, torch.tensor([0, 1]), ("cat/1", "dog/1"))
    found = measure_accuracy(reader(tuple("abcde")), images, ("cat", "dog"), declared=pets)
    share = values.double().softmax(1)[:, :2].sum(1).numpy()
    assert found.answers.confidence == pytest.approx(share, abs=1e-6)
    assert found.answers.target.tolist() == [0, 2]
    assert found.numbers["choice_folders"] == ["cat"] * 2 + ["dog"] * 3
    expected = -(np.log(share[0]) + np.log(1 - share[1])) / 2
    assert found.numbers["calibration"]["nll"] == pytest.approx(expected, abs=1e-6)


def test_an_unreadable_image_has_no_answer(scored):
    damaged = Features(scored.values, scored.labels, scored.keys, wrong=(3, 9))
    found = measure_accuracy(reader(CLASSES), damaged, CLASSES)
    assert np.flatnonzero(found.answers.predicted == -1).tolist() == [3, 9]
    assert sum(one["n"] for one in found.numbers["calibration"]["bins"]) == 198
    assert found.numbers["n"] == 200


def test_answers_are_kept_and_files_without_them_are_read(scored, tmp_path):
    found = measure_accuracy(reader(CLASSES), scored, CLASSES, rank=True)
    save_outcomes(tmp_path / "new.npz", found.keys, found.values, found.answers)
    save_outcomes(tmp_path / "old.npz", found.keys, found.values)
    again = load_outcomes(tmp_path / "new.npz").answers
    for name, value in vars(found.answers).items():
        assert (getattr(again, name) == value).all()
    assert load_outcomes(tmp_path / "old.npz").answers is None
