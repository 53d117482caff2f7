"""Batches: a pure function of the step, whoever loads them and wherever they start."""

import numpy as np
import pytest
import torch

from texneg.datasets.cache import shrink
from texneg.datasets.decode import DecodeError
from texneg.errors import InputError
from texneg.patches.patches import patch_negatives
from texneg.train.data.augmentations import MocoV2
from texneg.train.data.loader import Batches, warn_if_oversubscribed
from texneg.train.data.sources import Files, Memory
from texneg.train.data.workers import load
from texneg.train.negatives import Negatives, Patch, PatchPermutation, Texture, TextureLive

N, BATCH = 22, 4
AUGMENTATION = MocoV2(16, blur=0.5)
PATCH = Negatives.of(Patch())
MIXTURE = Negatives(((Patch(), 1.0), (PatchPermutation(), 0.5), (TextureLive(), 1.0)), count=2)


def picture(i):
    return np.random.default_rng(i).integers(0, 256, (20, 24, 3), dtype=np.uint8)


def other(i):
    return np.random.default_rng(1000 + i).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def broken(i):
    if i == 5:
        raise DecodeError("truncated", "class/5.jpg is cut short")
    return picture(i)


def batches(**changes):
    return Batches(
        **{"image": picture, "n": N, "augmentation": AUGMENTATION, "batch": BATCH, "seed": 1} | changes
    )


def assert_equal(a, b):
    assert a.step == b.step
    for mine, theirs in zip(a[:4], b[:4], strict=True):
        assert (mine is None and theirs is None) or torch.equal(mine, theirs)


def test_an_epoch_visits_each_image_once_and_leaves_the_incomplete_batch_out():
    b = batches()
    assert b.steps_per_epoch == 5
    epochs = [np.concatenate([b.indices(step) for step in range(5 * e, 5 * e + 5)]) for e in range(3)]
    for seen in epochs:
        assert len(set(seen.tolist())) == 20
        assert set(seen.tolist()) <= set(range(N))
    assert not np.array_equal(epochs[0], epochs[1])


@pytest.mark.parametrize("workers", [0, 2])
def test_loading_from_the_middle_gives_the_same_batches(workers):
    b = batches(negatives=MIXTURE)
    expected = [b.make(step) for step in range(3, 8)]
    loaded = list(load(b, range(3, 8), workers=workers, pin=False))
    assert len(loaded) == 5
    for mine, theirs in zip(loaded, expected, strict=True):
        assert_equal(mine, theirs)


def test_processes_share_the_joint_batch_in_rank_order():
    whole = batches(negatives=PATCH).make(6)
    parts = [batches(negatives=PATCH, rank=rank, world=2).make(6) for rank in range(2)]
    for place in range(4):
        assert torch.equal(whole[place], torch.cat([part[place] for part in parts]))


def test_patch_negatives_are_cut_from_the_finished_query_view():
    b = batches(negatives=Negatives.of(Patch(), count=3))
    made = b.make(7)
    expected = patch_negatives(made.query.numpy(), count=3, seed=1, epoch=1, index=b.indices(7))
    assert np.array_equal(made.negatives.numpy(), expected)
    assert made.negatives.shape == (BATCH, 3, 16, 16, 3)


def test_a_texture_gets_the_querys_augmentation_and_the_key_its_own():
    def textured(texture):
        return batches(negatives=Negatives.of(Texture()), texture=texture).make(2)

    same = textured(picture)
    assert torch.equal(same.negatives[:, 0], same.query)
    assert not torch.equal(same.key, same.query)
    made = textured(other)
    assert torch.equal(made.query, same.query)
    assert not torch.equal(made.negatives, same.negatives)


def test_without_negatives_views_are_the_same_as_with():
    plain, patched = batches().make(4), batches(negatives=PATCH).make(4)
    assert plain.negatives is None
    assert torch.equal(plain.query, patched.query)
    assert torch.equal(plain.key, patched.key)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_ends_the_run_with_its_name(workers):
    with pytest.raises(InputError, match=r"class/5\.jpg is cut short"):
        list(load(batches(image=broken), range(10), workers=workers, pin=False))


def test_loading_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    list(load(batches(), range(2), workers=0, pin=False))
    assert torch.equal(torch.get_rng_state(), before)


def test_images_in_memory_are_shrunk_and_never_enlarged():
    tall = np.random.default_rng(0).integers(0, 256, (60, 30, 3), dtype=np.uint8)
    assert shrink(tall, 20).shape == (40, 20, 3)
    assert shrink(tall, 30) is tall

    class Three:
        def __getitem__(self, i):
            return np.full((30, 30, 3), 10 * i, np.uint8), 0

    ordered = Files(Three(), np.array([2, 0, 1]), side=8)
    kept = Memory(ordered, 3)
    assert [kept(i)[0, 0, 0] for i in range(3)] == [20, 0, 10]
    assert kept(0).shape == (8, 8, 3)


def test_more_loaders_than_cores_are_told_once(monkeypatch, recwarn):
    monkeypatch.setattr("texneg.train.data.loader.available_cores", lambda: 3)
    assert warn_if_oversubscribed(0, 8) == warn_if_oversubscribed(2, 1) == ""
    assert (
        warn_if_oversubscribed(1, 2) == "--workers 1: 4 processes share 3 cores; fewer workers may be faster"
    )
    assert len(list(load(batches(), range(2), workers=5, pin=False))) == 2
    assert not recwarn.list
