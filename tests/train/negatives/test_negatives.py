"""Negatives of the trainer: each kind's own bytes, from loader and device alike, and what is refused."""

import json

import numpy as np
import pytest
import torch

from texneg.errors import InputError
from texneg.mixture import chosen_kinds
from texneg.patches.patches import patch_negatives, patch_permutation
from texneg.textures.live.negatives import texture_negatives
from texneg.train.config import PretrainConfig
from texneg.train.data.augmentations import QUERY, MocoV2
from texneg.train.data.loader import Batches
from texneg.train.data.views import make_views
from texneg.train.data.workers import load
from texneg.train.engine.step import move
from texneg.train.flags import change
from texneg.train.negatives import KINDS as KINDS_TABLE
from texneg.train.negatives import Negatives, Patch, PatchPermutation, Texture, TextureLive, read_negatives
from texneg.train.options import parse_option

N, SIDE = 6, 24
AUGMENTATION = MocoV2(SIDE)
HALVES = (("patch", 0.5), ("patch_permutation", 0.5))
PERMUTATION, LIVE = {"negatives": "patch_permutation"}, {"negatives": "texture_live"}
CONFIG = change(PretrainConfig(), data="x", image_size=SIDE, batch=N, queue=8, bn="none")
KINDS = {
    "patch": {"negatives": "patch"},
    "paper": {"negatives": "patch", "patch_paper": True},
    "turned": {"negatives": "patch", "patch_overlap": False, "patch_flip": True, "patch_rotate": True},
    "seamless": {
        "negatives": "patch",
        "patch_size": "small",
        "patch_mirror": 2,
        "patch_blend": 0.25,
    },
    "permutation": {"negatives": "patch_permutation", "patch_permutation_size": (4, 8)},
    "live": {"negatives": "texture_live", "texture_live_exemplar": 9},
    "mixture": {"negatives": "mixture", "mixture": (*HALVES, ("texture_live", 0.5))},
}


def picture(i):
    return np.random.default_rng(i).integers(0, 256, (30, 40, 3), dtype=np.uint8)


def texture(i):
    return np.random.default_rng(1000 + i).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def batches(negatives, **changes):
    return Batches(picture, 20, AUGMENTATION, N, 3, negatives, **{"texture": texture} | changes)


def negatives(kind, **changes):
    return change(CONFIG, **KINDS[kind] | changes).negatives


def query(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (N, SIDE, SIDE, 3), dtype=np.uint8)


STREAM = {"seed": 3, "epoch": 5, "index": np.arange(N) * 9}


@pytest.mark.parametrize("kind", KINDS)
def test_tensors_give_the_bytes_of_arrays(kind):
    kinds = negatives(kind, count=2)
    made = kinds.make(query(), **STREAM)
    assert made.shape == (N, 2, SIDE, SIDE, 3)
    tensor = kinds.make(torch.from_numpy(query()), **STREAM)
    assert tensor.is_contiguous()
    assert np.array_equal(tensor.numpy(), made)


@pytest.mark.parametrize("kind", KINDS)
def test_negatives_left_to_the_device_are_those_of_the_loader(kind):
    made = negatives(kind, count=2)
    assert made.on_device
    ready, left = batches(made), batches(made, deferred=True)
    for loaded, late in zip(
        *(load(b, range(2, 6), workers=0, pin=False) for b in (ready, left)), strict=True
    ):
        assert late.negatives is None
        assert torch.equal(late.query, loaded.query)
        completed = left.complete(move(late, torch.device("cpu")))
        assert torch.equal(completed.negatives, loaded.negatives)
        assert ready.complete(loaded) is loaded


def test_without_negatives_there_is_nothing_to_complete():
    made = batches(Negatives(), deferred=Negatives().on_device).make(0)
    assert made.negatives is None
    assert batches(Negatives(), deferred=True).complete(made) is made


def test_options_reach_their_kinds():
    stream = {"count": 1, "seed": 1, "epoch": 0, "index": np.arange(N)}
    turned = {"size": (4, 6), "flip": True, "rotate": True}
    expected = patch_negatives(query(), overlap=False, **turned, **stream)
    assert np.array_equal(Patch(overlap=False, **turned).make(query(), **stream), expected)
    expected = patch_negatives(query(), paper=True, **stream)
    assert np.array_equal(Patch(paper=True).make(query(), **stream), expected)
    seamless = {"size": "small", "mirror": 2, "blend": 0.25}
    expected = patch_negatives(query(), **seamless, **stream)
    assert np.array_equal(Patch(**seamless).make(query(), **stream), expected)
    assert parse_option([Patch], "patch:size=small,mirror=2,blend=0.25", "--kinds") == Patch(**seamless)
    assert Patch(**seamless).title == "patch size small mirror 2 blend 0.25"
    expected = patch_permutation(query(), **turned, **stream)
    assert np.array_equal(PatchPermutation(**turned).make(query(), **stream), expected)
    expected = texture_negatives(query(), method="fast", exemplar=10, **stream)
    assert np.array_equal(TextureLive(method="fast", exemplar=10).make(query(), **stream), expected)


def test_a_mixture_reads_the_textures_it_needs_and_augments_them_as_the_query():
    read = []

    def reading(i):
        read.append(i)
        return texture(i)

    mixed = Negatives(((Texture(), 0.4), (Patch(), 0.6)), count=2)
    assert mixed.need_textures
    assert not mixed.on_device
    b = batches(mixed, texture=reading)
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
    assert TextureLive().on_device
    assert not TextureLive(method="quality").on_device
    assert not Negatives.of(Patch(), TextureLive(method="quality")).on_device
    assert not Negatives.of(Texture()).on_device


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mixture": HALVES}, "--negatives mixture and --mixture belong together"),
        ({"negatives": "mixture"}, "--negatives mixture and --mixture belong together"),
        ({"negatives": "mixture", "mixture": (("patch", -1.0),)}, "--mixture patch -1: probabilities"),
        ({"negatives": "mixture", "mixture": (("patch", float("nan")),)}, "--mixture patch nan: prob"),
        ({"negatives": "mixture", "mixture": (("patch", 0.0),)}, "not all 0"),
        ({"negatives": "mixture", "mixture": HALVES[:1] * 2}, "name each kind once"),
        ({**PERMUTATION, "image_size": 29, "patch_permutation_size": (2, 9)}, "-size 2 9: none of these"),
        ({"negatives": "texture_live", "image_size": 15}, "--image-size 15: 16 to 1024 pixels"),
        ({**LIVE, "texture_live_exemplar": 25}, "--texture-live-exemplar 25: 8 to the 24 pixels"),
        ({**LIVE, "texture_live_exemplar": 7}, "--texture-live-exemplar 7: 8 to"),
        (
            {"patch_size": (2, 25)},
            "--patch-size 2 25: smallest and largest side, between 1",
        ),
        ({"patch_paper": True, "patch_overlap": False}, "--patch-paper with --no-patch-overlap"),
        ({"negatives": "texture", "count": 2}, "an image has one texture"),
        ({"negatives": "noise"}, "--negatives noise: choose from patch, patch_permutation, texture, "),
    ],
    ids=str,
)
def test_wrong_settings_are_named(wrong, message):
    with pytest.raises(InputError, match=message):
        change(CONFIG, **wrong).check()


@pytest.mark.parametrize("kind", KINDS)
def test_what_can_train_is_not_refused(kind):
    change(CONFIG, count=3, **KINDS[kind]).check()


@pytest.mark.parametrize("kind", [*KINDS, "texture"])
def test_negatives_survive_json(kind):
    made = Negatives.of(Texture()) if kind == "texture" else negatives(kind, count=3)
    assert read_negatives(json.loads(json.dumps(made.plain()))) == made


def test_titles_say_what_is_not_the_default():
    assert Negatives.of(Patch()).title == "patch"
    assert Negatives.of(Patch(size=(4, 8), overlap=False), count=2).title == "patch size 4-8 no overlap ×2"
    mixed = Negatives(((Patch(paper=True), 3.0), (TextureLive(exemplar=9), 1.0)))
    assert mixed.title == "0.75 patch paper + 0.25 texture_live exemplar 9"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("patch", Patch()),
        ("patch:paper", Patch(paper=True)),
        ("patch:size=4-8,no-overlap,flip", Patch(size=(4, 8), overlap=False, flip=True)),
        ("texture_live:method=quality,exemplar=12", TextureLive(method="quality", exemplar=12)),
    ],
)
def test_a_word_names_a_kind_with_its_options(text, kind):
    assert parse_option(KINDS_TABLE, text, "--kinds") == kind


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("noise", "--kinds noise: choose from patch, "),
        ("patch:big", "its options are size=..., overlap or no-overlap, paper or no-paper, flip or"),
        ("patch:name=other", "name=other is no option of patch"),
        ("patch:needs_textures", "needs_textures is no option of patch"),
        ("patch:size", "size is no option"),
        ("patch:size=big", "patch:size=big: size takes a range such as 8-24 or small, not 'big'"),
        ("patch:flip=1", "flip=1 is no option"),
        ("patch:no-size=4-8", "no-size=4-8 is no option"),
        ("texture:flip", "its options are none"),
        ("texture_live:method=slow", "method takes live or fast or default or quality, not 'slow'"),
    ],
)
def test_a_wrong_word_gets_its_remedy(text, message):
    with pytest.raises(InputError, match=message):
        parse_option(KINDS_TABLE, text, "--kinds")
