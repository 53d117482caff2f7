"""Mixtures: each negative is its kind's own, and the draw depends on (seed, epoch, index, k) alone."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from texneg.mixture import chosen_kinds, mixed_negatives
from texneg.patches.patches import patch_negatives, patch_permutation

KINDS = (
    (partial(patch_negatives, size=(2, 5)), 0.4),
    (partial(patch_permutation, size=(2, 4)), 0.3),
    (partial(patch_negatives, size=(3, 3), flip=True, rotate=True), 0.3),
)


def images(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 12, 8, 3), dtype=np.uint8)


def as_torch(x):
    return torch.from_numpy(np.moveaxis(x, -1, -3).copy())


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(0, 9),
    count=st.integers(1, 4),
    seed=st.integers(-3, 3),
    weights=st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=3, max_size=3).filter(any),
)
def test_each_negative_is_the_one_its_kind_alone_would_have_made(n, count, seed, weights):
    x, index = images(n), np.arange(n) * 7 + 2**40
    stream = {"count": count, "seed": seed, "epoch": 4, "index": index}
    kinds = [(function, weight) for (function, _), weight in zip(KINDS, weights, strict=True)]
    mixed = mixed_negatives(x, kinds, **stream)
    chosen = chosen_kinds(weights, **stream)
    alone = np.stack([function(x, **stream) for function, _ in KINDS])
    expected = alone[chosen, np.arange(n)[:, None], np.arange(count)]
    assert np.array_equal(mixed, expected)
    assert all(weights[kind] for kind in np.unique(chosen))


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(9)), cut=st.integers(0, 9))
def test_split_and_order_of_the_batch_change_nothing(order, cut):
    x, index = images(9), np.arange(9) * 11
    whole = mixed_negatives(x, KINDS, count=2, seed=5, epoch=1, index=index)
    for part in (order[:cut], order[cut:]):
        rows = np.array(part, int)
        made = mixed_negatives(x[rows], KINDS, count=2, seed=5, epoch=1, index=index[rows])
        assert np.array_equal(made, whole[rows])


@pytest.mark.parametrize("index", [None, [4, 0, 9, 3, 3], np.arange(5), torch.arange(5)])
def test_torch_gives_the_bytes_of_numpy(index):
    x = images(5)
    made = mixed_negatives(as_torch(x), KINDS, count=3, seed=2, index=index)
    assert torch.equal(made, as_torch(mixed_negatives(x, KINDS, count=3, seed=2, index=index)))
    assert made.is_contiguous()


def test_strides_and_floats_are_kept():
    x = as_torch(images(6)).to(memory_format=torch.channels_last)
    made = mixed_negatives(x, KINDS, count=2)
    assert torch.equal(mixed_negatives(x.bfloat16(), KINDS, count=2), made.bfloat16())


def test_one_kind_is_that_kind():
    x = images(7)
    for function, _ in KINDS:
        stream = {"count": 3, "seed": 9, "epoch": 2, "index": range(7)}
        for kinds in ([(function, 0.2)], [(KINDS[0][0], 0.0), (function, 1e-9), (KINDS[1][0], 0)]):
            assert np.array_equal(mixed_negatives(x, kinds, **stream), function(x, **stream))


def test_an_image_is_handed_only_to_its_kinds_with_its_own_index():
    index, seen = np.arange(40) + 100, {}

    def spy(name, given, *, count, seed, epoch, index):
        seen[name] = index
        assert (seed, epoch, count) == (3, 6, 1)
        assert np.array_equal(given[:, 0, 0, 0], index - 100)
        return given[:, None]

    x = np.broadcast_to(np.arange(40, dtype=np.uint8)[:, None, None, None], (40, 4, 4, 3)).copy()
    kinds = [(partial(spy, name), weight) for name, weight in (("a", 1), ("never", 0), ("b", 2))]
    assert np.array_equal(mixed_negatives(x, kinds, seed=3, epoch=6, index=index)[:, 0], x)
    assert set(seen) == {"a", "b"}
    assert np.array_equal(np.sort(np.concatenate(list(seen.values()))), index)
    chosen = chosen_kinds([1, 0, 2], seed=3, epoch=6, index=index)
    assert np.array_equal(seen["a"], index[chosen[:, 0] == 0])


@pytest.mark.parametrize("weights", [(0.5, 0.5), (1, 2, 7), (0, 0.1, 0, 0.9, 0)])
def test_frequencies_are_the_probabilities(weights):
    n = 40_000
    chosen = chosen_kinds(weights, count=2, seed=1, index=np.arange(n // 2))
    shares = np.array(weights) / sum(weights)
    found = np.bincount(chosen.ravel(), minlength=len(weights)) / n
    assert (np.abs(found - shares) <= 4.5 * np.sqrt(shares * (1 - shares) / n)).all()


def test_choices_differ_between_seeds_epochs_images_and_numbers():
    def draw(**changes):
        return chosen_kinds([1, 1], **{"count": 2, "seed": 0, "epoch": 0, "index": np.arange(4000)} | changes)

    first = draw()
    pairs = (
        (first, draw(seed=1)),
        (first, draw(epoch=1)),
        (first[:, 0], first[:, 1]),
        (first[1:], first[:-1]),
    )
    for a, b in pairs:
        assert 0.45 < (a == b).mean() < 0.55


def test_extreme_probabilities():
    assert (chosen_kinds([1e308, 1e308], index=range(200)) == chosen_kinds([1, 1], index=range(200))).all()
    assert not chosen_kinds([1e300, 1e-300], index=range(200)).any()
    assert not chosen_kinds([5e-324], index=range(20)).any()


@pytest.mark.parametrize(
    "kinds",
    [
        (),
        ((patch_negatives, -0.1), (patch_negatives, 1.0)),
        ((patch_negatives, math.nan),),
        ((patch_negatives, math.inf), (patch_negatives, 1.0)),
        ((patch_negatives, 0.0), (patch_negatives, 0.0)),
    ],
)
def test_wrong_probabilities_are_refused(kinds):
    with pytest.raises(ValueError, match="numbers of at least 0, not all 0"):
        mixed_negatives(images(2), kinds)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"count": 0}, ValueError, "count is 0"),
        ({"index": [1]}, ValueError, "2 integers"),
        ({"index": [0.5, 1.0]}, ValueError, "2 integers"),
        ({"images": images(2)[0]}, ValueError, r"must be \(N, H, W, C\)"),
        ({"images": [1, 2]}, TypeError, "NumPy array or a torch tensor"),
        ({"kinds": [patch_negatives]}, TypeError, "pairs of a function and its probability"),
        ({"kinds": [("patch", 0.5)]}, TypeError, "pairs of a function and its probability"),
        ({"kinds": [(patch_negatives, "half")]}, TypeError, "pairs of a function and its probability"),
        ({"kinds": [(lambda *_, **__: None, 1)]}, ValueError, "returned .*NoneType"),
        ({"kinds": [(lambda x, **_: x, 1)]}, ValueError, r"<lambda> returned \(2, 12, 8, 3\)"),
        ({"kinds": [(lambda x, **_: x[:, None] / 2, 1)]}, ValueError, "float64; it must return"),
    ],
)
def test_wrong_input_is_named(wrong, error, message):
    with pytest.raises(error, match=message):
        mixed_negatives(**{"images": images(2), "kinds": KINDS} | wrong)
