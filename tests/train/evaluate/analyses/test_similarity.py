"""Cosines of encoders whose answers are known."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from texneg.datasets.images import open_images
from texneg.errors import InputError
from texneg.train.data.augmentations import MocoV2
from texneg.train.evaluate import analyze
from texneg.train.evaluate.analyses.similarity import BINS, Similarity, collect, count_cosines, separation

PLAIN = MocoV2(image_size=16, crop=1.0, jitter=0.0, grey=0.0, blur=0.0)


class ByColour:
    """Embeds the mean colour, shifted so that blue and red are orthogonal: views and patches agree."""

    def embed(self, images):
        return F.normalize((images.mean((2, 3)) * 0.25 + 0.5).relu() ** 8, dim=1)


@pytest.fixture
def by_colour(encoder, monkeypatch):
    monkeypatch.setattr(type(encoder), "embed", ByColour.embed)
    return encoder


def test_known_cosines(by_colour, colours):
    """Pure colours: own patches and views are at 1, other images at 1 within a class, near 0 across."""
    images = open_images(colours("set", per_class=4, noise=0))
    index = np.arange(12)
    blue = np.full((20, 16, 3), (0, 0, 255), np.uint8)
    found = collect(by_colour, images, index, augmentation=PLAIN, texture=lambda _: blue)
    assert {kind: len(values) for kind, values in found.items()} == {
        "positive": 12,
        "ordinary": 12 * 11,
        "patch": 12,
        "texture": 12,
    }
    np.testing.assert_allclose(found["positive"], 1, atol=1e-6)
    np.testing.assert_allclose(found["patch"], 1, atol=1e-6)
    assert np.mean(found["ordinary"] > 0.999) == pytest.approx(3 / 11)
    assert np.mean(found["ordinary"] < 0.05) == pytest.approx(8 / 11)
    np.testing.assert_allclose(found["texture"][:4], 1, atol=1e-3)
    assert found["texture"][4:].max() < 0.05


def test_live_textures_of_the_views_where_none_are_given(by_colour, colours):
    """Textures hold nothing but pixels of their view: of pure colours, the views themselves."""
    images = open_images(colours("set", per_class=4, noise=0))
    found = collect(by_colour, images, np.arange(12), augmentation=PLAIN)
    assert len(found["texture_live"]) == 12
    np.testing.assert_allclose(found["texture_live"], 1, atol=1e-6)
    small = collect(by_colour, images, np.arange(12), augmentation=replace(PLAIN, image_size=15))
    assert set(small) == {"positive", "ordinary", "patch"}


def test_only_seed_and_images_decide(encoder, colours):
    images, index = open_images(colours("set")), np.arange(0, 36, 2)
    augmentation = MocoV2(image_size=16)
    runs = [
        collect(encoder, images, index, augmentation=augmentation, seed=s, batch=b)
        for s, b in ((1, 4), (1, 99), (2, 99))
    ]
    for kind in runs[0]:
        np.testing.assert_allclose(runs[0][kind], runs[1][kind], atol=1e-5)
    assert not np.allclose(runs[1]["positive"], runs[2]["positive"])
    assert encoder.training


def test_separation_against_all_pairs():
    draw = np.random.default_rng(0)
    a, b = (draw.integers(0, 9, n).astype(np.float32) for n in (40, 70))
    pairs = (a[:, None] > b) + 0.5 * (a[:, None] == b)
    assert separation(a, b) == pytest.approx(pairs.mean())
    assert separation(a, a) == pytest.approx(0.5)
    assert separation(a + 10, a) == 1.0


def test_histograms_count_everything():
    found = count_cosines(
        {"positive": np.array([1.0000001, 0.5, -1.0], np.float32), "ordinary": np.zeros(7, np.float32)}
    )
    assert len(found["edges"]) == BINS + 1
    for kind, n in (("positive", 3), ("ordinary", 7)):
        assert sum(found["kinds"][kind]["counts"]) == found["kinds"][kind]["n"] == n
    assert found["kinds"]["positive"]["auc"] is None
    assert found["kinds"]["ordinary"]["auc"] == pytest.approx(2 / 3)


def test_the_verb(encoder, colours, tmp_path, monkeypatch):
    monkeypatch.setattr(analyze, "open_encoder", lambda *_: encoder)
    config = Similarity("tiny", str(colours("set")), str(tmp_path / "run"), images=10, device="cpu")
    assert analyze.analyze(config) == 0
    found = json.loads((tmp_path / "run" / "similarity.json").read_text())
    assert found["images"] == 10
    assert set(found["kinds"]) == {"positive", "ordinary", "patch", "texture_live"}
    with pytest.raises(InputError, match="have no texture"):
        analyze.analyze(replace(config, textures=str(colours("other", classes=("blue",)))))
    with pytest.raises(InputError, match="two or more"):
        analyze.analyze(replace(config, images=1))


def test_one_image_is_too_few(encoder, colours):
    with pytest.raises(InputError, match="at least two"):
        collect(encoder, open_images(colours("set")), np.array([0]), augmentation=PLAIN)
    assert torch.is_grad_enabled()
