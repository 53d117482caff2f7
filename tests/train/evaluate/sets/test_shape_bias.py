"""Shape bias on toys whose decisions are known."""

import numpy as np
import pytest
import torch

from texneg.errors import InputError
from texneg.train.evaluate.features import Features
from texneg.train.evaluate.linear import Head
from texneg.train.evaluate.sets.shape_bias import (
    bootstrap_change,
    decide,
    measure_shape_bias,
    parse_texture,
    score_categories,
    summarise,
)


def reader(classes):
    """A head that passes features on as scores."""
    n = len(classes)
    return Head(torch.zeros(n), torch.ones(n), torch.eye(n), torch.zeros(n), classes)


def test_names():
    assert parse_texture("cat/cat1-elephant2", "cat") == "elephant"
    assert parse_texture("cat1-elephant", "cat") == "elephant"
    assert parse_texture("deep/t-shirt3-polka-dots12", "t-shirt") == "dots"
    for wrong in ("cat/cat1", "cat/cat1-2", "cat/dog1-cat2"):
        with pytest.raises(InputError, match="not named"):
            parse_texture(wrong, "cat")


def test_known_decisions():
    classes = ("bird", "cat", "dog")
    names = ["bird1-cat1", "bird2-dog1", "cat1-dog3", "cat2-cat1", "dog1-bird1", "dog2-elephant1"]
    chosen = ["bird", "dog", "bird", "cat", "dog", "dog"]
    values = torch.nn.functional.one_hot(torch.tensor([classes.index(c) for c in chosen]), 3).float()
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    found = measure_shape_bias(reader(classes), Features(values, labels, tuple(names)), classes)
    row = found.numbers
    assert (row["n"], row["shape"], row["texture"]) == (4, 2, 1)
    assert row["shape_bias"] == 2 / 3
    assert row["cue_accuracy"] == 3 / 4
    assert row["left_out"] == {"same_cue": 1, "undecidable": 1}
    assert row["by_category"]["bird"] == {"n": 2, "shape": 1, "texture": 1}
    assert found.keys == ("bird1-cat1", "bird2-dog1", "cat1-dog3", "dog1-bird1")
    assert found.values.tolist() == [1, -1, 0, 1]


def test_groups_decide_by_the_mean_of_probabilities():
    """Two weak dogs beat one cat in sum but not in mean; the mean is the published rule."""
    logits = torch.tensor([[0.35, 0.35, 0.3]]).log()
    mapping = {"dog": ["pug", "husky", "absent"], "cat": ["tabby"], "car": ["taxi"]}
    scores, categories = score_categories(logits, ("pug", "tabby", "husky"), mapping)
    assert categories == ("dog", "cat")
    np.testing.assert_allclose(scores.numpy(), [[0.325, 0.35]], rtol=1e-6)
    assert decide(scores, categories, ["dog"], ["cat"]).tolist() == [-1]
    with pytest.raises(InputError, match="no category"):
        score_categories(logits, ("pug", "tabby", "husky"), {"car": ["taxi"]})


def test_interval_and_limits():
    all_shape = summarise(np.ones(50, np.int8), ["a"] * 50)
    assert (all_shape.bias, all_shape.interval) == (1.0, (1.0, 1.0))
    undecided = summarise(np.zeros(5, np.int8), ["a"] * 5)
    assert (undecided.bias, undecided.interval, undecided.cue_accuracy) == (None, None, 0.0)
    mixed = summarise(np.repeat([1, -1, 0], [300, 100, 200]).astype(np.int8), ["a"] * 600)
    half = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert mixed.interval.low == pytest.approx(0.75 - half, abs=0.006)
    assert mixed.interval.high == pytest.approx(0.75 + half, abs=0.006)


def test_a_set_without_a_usable_image_is_refused():
    features = Features(torch.eye(2), torch.tensor([0, 1]), ("cat1-cat2", "dog1-sofa1"))
    with pytest.raises(InputError, match="no image has two different cues"):
        measure_shape_bias(reader(("cat", "dog")), features, ("cat", "dog"))


def test_the_change_is_resampled_image_by_image():
    """Decisions shared by both arms move together: they cancel, and the interval is that of the changes."""
    draw = np.random.default_rng(0)
    base = draw.choice([1, -1], size=(2, 900)).astype(np.int8)
    mine = base.copy()
    assert bootstrap_change(mine, base) == (0.0, 0.0)
    mine[:, :90] = 1
    moved = ((mine - base) / 2).mean(0)  # of each image, where every decision is for a cue
    low, high = bootstrap_change(mine, base)
    half = 1.96 * moved.std() / 30
    assert low == pytest.approx(moved.mean() - half, abs=0.002)
    assert high == pytest.approx(moved.mean() + half, abs=0.002)
    assert bootstrap_change(base, mine) == pytest.approx((-high, -low), abs=0.002)
    sparse = np.zeros((1, 900), np.int8)
    sparse[0, :3] = 1, 1, -1  # a resample often holds none of these
    low, high = bootstrap_change(sparse, sparse)
    assert (low, high) == (0.0, 0.0)
