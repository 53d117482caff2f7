"""Negatives of the trainer: each kind's own bytes, from loader and device alike, and what is refused."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from texneg.errors import InputError
from texneg.mixture import chosen_kinds
from texneg.patches.patches import patch_negatives, patch_permutation
from texneg.textures.live.negatives import texture_negatives
from texneg.train.checks import check
from texneg.train.config import PretrainConfig
from texneg.train.data.loader import Batches, load
from texneg.train.data.views import QUERY, Augmentation, make_views
from texneg.train.engine.loop import moved
from texneg.train.negatives.negatives import function_of, kinds_of, make_negatives, on_device, paired_textures

N, SIDE = 6, 24
AUGMENTATION = Augmentation(SIDE)
HALVES = (("patch", 0.5), ("patch_permutation", 0.5))
CONFIG = PretrainConfig(data="x", image_size=SIDE, batch=N, queue=8, bn="none")
KINDS = {
    "patch": {"negatives": "patch"},
    "turned": {"negatives": "patch", "patch_overlap": False, "patch_flip": True, "patch_rotate": True},
    "permutation": {"negatives": "patch_permutation", "patch": (4, 8)},
    "live": {"negatives": "texture_live", "texture_exemplar": 9},
    "mixture": {"negatives": "mixture", "mixture": (*HALVES, ("texture_live", 0.5))},
}


def picture(i):
    return np.random.default_rng(i).integers(0, 256, (30, 40, 3), dtype=np.uint8)


def texture(i):
    return np.random.default_rng(1000 + i).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


PAIRED = partial(paired_textures, texture=texture, augmentation=AUGMENTATION)


def batches(config, **changes):
    return Batches(
        picture, 20, AUGMENTATION, N, 3, kinds=kinds_of(config, PAIRED), count=config.count, **changes
    )


def query(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (N, SIDE, SIDE, 3), dtype=np.uint8)


STREAM = {"count": 2, "seed": 3, "epoch": 5, "index": np.arange(N) * 9}


@pytest.mark.parametrize("kind", KINDS)
def test_tensors_give_the_bytes_of_arrays(kind):
    kinds = kinds_of(replace(CONFIG, **KINDS[kind]))
    made = make_negatives(query(), kinds, **STREAM)
    assert made.shape == (N, 2, SIDE, SIDE, 3)
    tensor = make_negatives(torch.from_numpy(query()), kinds, **STREAM)
    assert tensor.is_contiguous()
    assert np.array_equal(tensor.numpy(), made)


@pytest.mark.parametrize("kind", KINDS)
def test_negatives_left_to_the_device_are_those_of_the_loader(kind):
    config = replace(CONFIG, count=2, **KINDS[kind])
    assert on_device(config)
    ready, left = batches(config), batches(config, deferred=True)
    for loaded, late in zip(
        *(load(b, range(2, 6), workers=0, pin=False) for b in (ready, left)), strict=True
    ):
        assert late.negatives is None
        assert torch.equal(late.query, loaded.query)
        completed = left.complete(moved(late, torch.device("cpu")))
        assert torch.equal(completed.negatives, loaded.negatives)
        assert ready.complete(loaded) is loaded


def test_without_negatives_there_is_nothing_to_complete():
    config = replace(CONFIG, negatives="none")
    made = batches(config, deferred=on_device(config)).make(0)
    assert made.negatives is None
    assert batches(config, deferred=True).complete(made) is made


def test_options_reach_their_kinds():
    config = replace(CONFIG, patch=(4, 6), patch_overlap=False, patch_flip=True, patch_rotate=True)
    stream = {"count": 1, "seed": 1, "epoch": 0, "index": np.arange(N)}
    turned = {"size": (4, 6), "flip": True, "rotate": True}
    expected = patch_negatives(query(), overlap=False, **turned, **stream)
    assert np.array_equal(function_of("patch", config)(query(), **stream), expected)
    expected = patch_permutation(query(), **turned, **stream)
    assert np.array_equal(function_of("patch_permutation", config)(query(), **stream), expected)
    config = replace(CONFIG, texture_method="fast", texture_exemplar=10)
    expected = texture_negatives(query(), method="fast", exemplar=10, **stream)
    assert np.array_equal(function_of("texture_live", config)(query(), **stream), expected)


def test_a_mixture_reads_the_textures_it_needs_and_augments_them_as_the_query():
    read = []

    def reading(i):
        read.append(i)
        return texture(i)

    config = replace(CONFIG, negatives="mixture", mixture=(("texture", 0.4), ("patch", 0.6)))
    assert not on_device(config)
    paired = partial(paired_textures, texture=reading, augmentation=AUGMENTATION)
    b = replace(batches(config), kinds=kinds_of(config, paired), count=2)
    made, index = b.make(4), b.indices(4)
    chosen = chosen_kinds([0.4, 0.6], count=2, seed=3, epoch=1, index=index)
    textured = (chosen == 0).any(axis=1)
    assert 0 < textured.sum() < N
    assert read == index[textured].tolist()
    stream = {"seed": 3, "epoch": 1, "index": index}
    own = make_views([texture(i) for i in index], AUGMENTATION, view=QUERY, **stream)
    cut = patch_negatives(made.query.numpy(), count=2, **stream)
    expected = np.where((chosen == 0)[:, :, None, None, None], own[:, None], cut)
    assert np.array_equal(made.negatives.numpy(), expected)


def test_what_a_loader_must_make():
    live = replace(CONFIG, negatives="texture_live")
    assert on_device(live)
    assert not on_device(replace(live, texture_method="quality"))
    assert on_device(replace(CONFIG, negatives="patch", texture_method="quality"))
    assert not on_device(replace(CONFIG, negatives="texture"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mixture": HALVES}, "--negatives mixture and --mixture belong together"),
        ({"negatives": "mixture"}, "--negatives mixture and --mixture belong together"),
        ({"negatives": "mixture", "mixture": (("patch", -1.0),)}, "--mixture patch -1: probabilities"),
        ({"negatives": "mixture", "mixture": (("patch", float("nan")),)}, "--mixture patch nan: prob"),
        ({"negatives": "mixture", "mixture": (("patch", 0.0),)}, "not all 0"),
        ({"negatives": "mixture", "mixture": HALVES[:1] * 2}, "name each kind once"),
        ({"negatives": "patch_permutation", "image_size": 29, "patch": (2, 9)}, "--patch 2 9: none of these"),
        ({"negatives": "texture_live", "image_size": 15}, "--image-size 15: 16 to 1024 pixels"),
        ({"texture_exemplar": 25}, "--texture-exemplar 25: 8 to the 24 pixels"),
        ({"texture_exemplar": 7}, "--texture-exemplar 7: 8 to"),
    ],
    ids=str,
)
def test_wrong_settings_are_named(wrong, message):
    with pytest.raises(InputError, match=message):
        check(replace(CONFIG, **wrong))


@pytest.mark.parametrize("kind", KINDS)
def test_what_can_train_is_not_refused(kind):
    check(replace(CONFIG, count=3, **KINDS[kind]))
