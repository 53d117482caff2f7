"""Negatives in a loader's batch: the same as made alone, in every worker and epoch; clear refusals."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from texneg.collate import Indexed, NegativeCollate
from texneg.patches.patches import patch_negatives

VIEWS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (10, 3, 16, 20), np.uint8))
LABELS = torch.arange(10) % 3
MAKE = partial(patch_negatives, seed=7, count=2)


class Samples(list):
    """A data set of given samples."""


def dictionaries():
    return Samples({"image": view, "label": label} for view, label in zip(VIEWS, LABELS, strict=True))


@pytest.mark.parametrize(
    "loading",
    [
        {"num_workers": 0},
        {"num_workers": 2},
        {"num_workers": 2, "persistent_workers": True},
        {"num_workers": 1, "persistent_workers": True, "multiprocessing_context": "spawn"},
    ],
    ids=["own process", "fork", "fork, persistent", "spawn, persistent"],
)
def test_every_worker_makes_the_negatives_of_the_epoch_that_was_set(loading):
    collate = NegativeCollate(MAKE)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0)).tolist()
    loader = DataLoader(
        Indexed(TensorDataset(VIEWS, LABELS)), batch_size=4, sampler=order, collate_fn=collate, **loading
    )
    for epoch in (3, 0, 4):
        collate.set_epoch(epoch)
        batches = list(loader)
        views, labels, index, negatives = (torch.cat(parts) for parts in zip(*batches, strict=True))
        assert torch.equal(views, VIEWS[order])
        assert torch.equal(labels, LABELS[order])
        assert index.tolist() == order
        assert torch.equal(negatives, MAKE(VIEWS, epoch=epoch)[order])


def test_the_epoch_before_any_is_set_is_zero():
    *_, negatives = NegativeCollate(MAKE)([(VIEWS[1], 1)])
    assert torch.equal(negatives, MAKE(VIEWS[1:2], index=[1], epoch=0))


def test_a_mapping_gets_them_under_their_name():
    batch = NegativeCollate(MAKE, view="image", index="index")([Indexed(dictionaries())[i] for i in (2, 5)])
    assert list(batch) == ["image", "label", "index", "negatives"]
    assert torch.equal(batch["negatives"], MAKE(VIEWS[[2, 5]], index=[2, 5]))


def test_a_tuple_leads_to_a_view_within_the_sample():
    data = Samples(([view.flip(2), view], label) for view, label in zip(VIEWS, LABELS, strict=True))
    (_, key), _, index, negatives = NegativeCollate(MAKE, view=(0, 1))([Indexed(data)[i] for i in range(10)])
    assert torch.equal(key, VIEWS)
    assert index.tolist() == list(range(10))
    assert torch.equal(negatives, MAKE(VIEWS))


def test_numpy_views_keep_their_layout():
    views = VIEWS.permute(0, 2, 3, 1).numpy()
    views, index, negatives = NegativeCollate(MAKE)([Indexed(Samples(views))[i] for i in range(10)])
    assert views.shape == (10, 16, 20, 3)
    assert torch.equal(negatives.permute(0, 1, 4, 2, 3), MAKE(VIEWS, index=index))


def test_the_kind_is_called_once_a_batch():
    calls = []

    def make(views, *, index, epoch):
        calls.append((views.shape, index.tolist(), epoch))
        return views[:, None]

    collate = NegativeCollate(make)
    collate.set_epoch(2**40)
    collate([(view, i + 100) for i, view in enumerate(VIEWS)])
    assert calls == [((10, 3, 16, 20), list(range(100, 110)), 2**40)]


@pytest.mark.parametrize(
    ("sample", "places", "words"),
    [
        ((VIEWS[0], "cat.jpg"), {}, ["index=-1", "tuple of 1", "Indexed"]),
        ((VIEWS[0], 0.5), {}, ["index=-1", "float64", "Indexed"]),
        ((VIEWS[0], True), {}, ["index=-1", "bool", "Indexed"]),
        ((VIEWS[0], VIEWS[1], 5), {"index": 1}, ["index=1", "(1, 3, 16, 20)", "Indexed"]),
        (([VIEWS[0], VIEWS[1]], 5), {}, ["view=0", "list of 2", "view=(0, 0)"]),
        ((VIEWS[0, 0], 5), {}, ["view=0", "(1, 16, 20)"]),
        ((VIEWS[0], 5), {"view": "image"}, ["view='image'", "leads nowhere"]),
        ((VIEWS[0], 5), {"index": 2}, ["index=2", "leads nowhere", "list of 2"]),
        ({"image": VIEWS[0]}, {"view": "image", "index": "index"}, ["index='index'", "mapping of 'image'"]),
        ({"image": VIEWS[0], "i": 1, "negatives": 2}, {"view": "image", "index": "i"}, ["rename"]),
    ],
)
def test_a_sample_that_does_not_fit_is_refused_in_one_line(sample, places, words):
    with pytest.raises(ValueError) as caught:
        NegativeCollate(MAKE, **places)([sample])
    told = str(caught.value)
    assert "\n" not in told
    assert all(word in told for word in words)


def test_what_is_no_function_and_no_epoch_is_a_type_error():
    with pytest.raises(TypeError, match="make is 'patch'; it must be a function"):
        NegativeCollate("patch")
    with pytest.raises(TypeError, match="float"):
        NegativeCollate(MAKE).set_epoch(1.5)


@pytest.mark.parametrize(
    ("dataset", "sample"),
    [
        (Samples([(1, 2), (3, 4)]), (3, 4, 1)),
        (Samples([[1], [3]]), (3, 1)),
        (Samples(["a", "b"]), ("b", 1)),
        (Samples([{"x": 1}, {"x": 3}]), {"x": 3, "index": 1}),
    ],
)
def test_indexed_adds_the_index(dataset, sample):
    assert Indexed(dataset)[1] == sample
    assert len(Indexed(dataset)) == 2
