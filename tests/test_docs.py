"""The examples of docs/use-in-your-loop.md run as they stand, train, and do what the page says."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from texneg import KeyQueue, info_nce, patch_negatives, similarities

PAGE = Path(__file__).parents[1] / "docs" / "use-in-your-loop.md"


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Small steps on a busy machine are quickest without waiting for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def block(heading, language="python"):
    """The only code block under a heading."""
    (section,) = re.findall(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.M | re.S
    )
    (code,) = re.findall(rf"^```{language}\n(.*?)^```$", section, re.M | re.S)
    return code


def run(heading, namespace=None):
    """Names of an example after it ran from a seed of its own."""
    names = {"__name__": "example"} | (namespace or {})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        exec(compile(block(heading), heading, "exec"), names)
    return names


class Steps:
    """Distances that the optimiser steps moved the weights."""

    def __enter__(self):
        self.moved = []
        self.hooks = [
            register_optimizer_step_pre_hook(
                lambda optimizer, *_: setattr(self, "before", weights(optimizer))
            ),
            register_optimizer_step_post_hook(
                lambda optimizer, *_: self.moved.append(float((weights(optimizer) - self.before).norm()))
            ),
        ]
        return self.moved

    def __exit__(self, *_):
        for hook in self.hooks:
            hook.remove()


def weights(optimizer):
    groups = optimizer.param_groups
    return torch.cat([p.detach().flatten() for group in groups for p in group["params"]]).clone()


@pytest.fixture(scope="module")
def moco():
    with Steps() as moved:
        return run("A whole MoCo-v2 loop"), moved


@pytest.fixture(scope="module")
def lightly():
    pytest.importorskip("lightly", reason="lightly is not installed")
    with Steps() as moved:
        return run("With lightly"), moved


@pytest.mark.parametrize(("loop", "momentum"), [("moco", "key_encoder"), ("lightly", "momentum_model")])
def test_a_loop_trains_and_enqueues_keys_alone(loop, momentum, request):
    names, moved = request.getfixturevalue(loop)
    assert len(moved) == 4
    assert all(math.isfinite(distance) and distance > 0 for distance in moved)
    assert names["loss"].isfinite()
    keys = names["queue"].keys
    assert torch.equal(keys[48:64], F.normalize(names["k"], dim=1))
    assert not torch.isclose(keys @ F.normalize(names["t"].flatten(0, -2), dim=1).T, torch.ones(1)).any()
    passes = {int(n) for name, n in names[momentum].named_buffers() if name.endswith("num_batches_tracked")}
    assert passes == {2 * len(moved)}  # keys and negatives, each in a forward of its own
    expected = patch_negatives(names["x_q"], index=names["index"], epoch=1)
    assert torch.equal(names["x_ns"].reshape(expected.shape), expected)


def test_without_negatives_lightlys_loss_is_the_same(lightly):
    from lightly.loss import NTXentLoss

    names, _ = lightly
    q, k = names["q"].detach(), names["k"]
    criterion = NTXentLoss(temperature=0.2, memory_bank_size=(256, 128))
    _, bank = criterion.memory_bank(k, update=False)  # (128, 256)
    assert torch.allclose(criterion(q, k), info_nce(similarities(q, k, bank.T), temperature=0.2))


def test_three_lines():
    draw = torch.Generator().manual_seed(0)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 8))
    q, k = (torch.randn(4, 8, generator=draw, requires_grad=wanted) for wanted in (True, False))
    given = {
        "x_q": torch.rand(4, 3, 16, 16, generator=draw),
        "index": torch.tensor([5, 2, 9, 4]),
        "epoch": 3,
        "key_encoder": encoder,
        "queue": KeyQueue(8, 12),
        **{f.__name__: f for f in (patch_negatives, info_nce, similarities)},
    }
    names = run("In three lines", given | {"torch": torch, "q": q, "k": k})
    names["loss"].backward()
    assert not names["t"].requires_grad
    assert q.grad.abs().sum() > 0
    alone = patch_negatives(given["x_q"][1:2], index=[2], epoch=3)[:, 0]
    assert torch.equal(names["x_ns"][1:2], alone)


def test_the_data_set_makes_the_negatives_of_its_epoch_in_workers_that_live_on():
    data = run("In the data set")["data"]
    loader = DataLoader(
        data, batch_size=16, num_workers=1, persistent_workers=True, multiprocessing_context="fork"
    )
    for epoch in (4, 1):
        data.epoch.fill_(epoch)
        for first, (x_q, _, x_ns) in enumerate(loader):
            index = range(16 * first, 16 * first + 16)
            assert torch.equal(x_ns, patch_negatives(x_q, index=list(index), epoch=epoch)[:, 0])


def test_the_loader_makes_the_negatives_of_its_batch():
    names = run("In the loader")
    expected = patch_negatives(names["x_q"], count=2, index=names["index"], epoch=1)
    assert torch.equal(names["x_ns"], expected)


OFFICIAL = '''
class MoCo(nn.Module):
    """The names of the official module on one process."""

    def __init__(self, dim, K):
        super().__init__()
        self.encoder_q, self.encoder_k = (
            nn.Sequential(nn.Conv2d(3, dim, 3), nn.BatchNorm2d(dim), nn.AdaptiveAvgPool2d(1), nn.Flatten())
            for _ in range(2)
        )
        self.queue = nn.functional.normalize(torch.randn(dim, K), dim=0)

    def _momentum_update_key_encoder(self):
        self.updated = True

    def _batch_shuffle_ddp(self, x):
        order = torch.randperm(len(x))
        return x[order], order.argsort()

    def _batch_unshuffle_ddp(self, x, order):
        return x[order]

    def _dequeue_and_enqueue(self, keys):
        self.enqueued = keys

    def forward(self, im_q, im_k, index, epoch):
        q = nn.functional.normalize(self.encoder_q(im_q), dim=1)
        with torch.no_grad():
            self._momentum_update_key_encoder()
            im_k, order = self._batch_shuffle_ddp(im_k)
            k = self._batch_unshuffle_ddp(nn.functional.normalize(self.encoder_k(im_k), dim=1), order)
            {first}
            {second}
        l_pos = (q * k).sum(dim=1, keepdim=True)
        l_neg = q @ self.queue
        {third}
        self._dequeue_and_enqueue(k)
        return torch.cat([l_pos, l_neg], dim=1) / 0.2, torch.zeros(len(q), dtype=torch.long)
'''


def test_the_three_lines_for_the_official_code_are_info_nce():
    diff = block("In the official MoCo code", "diff").splitlines()
    lines = [line[1:].strip() for line in diff if line.startswith("+")]
    assert len(lines) == 3
    names = {"torch": torch, "nn": nn, "patch_negatives": patch_negatives}
    exec(OFFICIAL.format(**dict(zip(("first", "second", "third"), lines, strict=True))), names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = names["MoCo"](8, 12)
        im_q, im_k, index = torch.randn(6, 3, 16, 16), torch.randn(6, 3, 16, 16), torch.arange(10, 16)
        loss = F.cross_entropy(*model(im_q, im_k, index, 2))
    q, k = model.encoder_q(im_q), model.encoder_k(im_k)
    t = model.encoder_k(patch_negatives(im_q, index=index, epoch=2)[:, 0])
    expected = info_nce(similarities(q, k, model.queue.T, t), temperature=0.2, alpha=2.0)
    assert torch.allclose(loss, expected)
    assert torch.allclose(model.enqueued, F.normalize(k, dim=1), atol=1e-6)
    loss.backward()
    assert model.encoder_q[0].weight.grad.abs().sum() > 0
    assert model.encoder_k[0].weight.grad is None


def test_every_kind_has_the_same_call():
    names = run("Several, textures, mixtures")
    x_q = names["x_q"]
    assert names["turned"].shape == (8, 4, 3, 64, 64)
    for kind in ("permuted", "textures", "mixed"):
        assert names[kind].shape == (8, 1, 3, 64, 64)
        assert names[kind].dtype == x_q.dtype
    assert torch.equal(names["permuted"].flatten(3).sort().values[:, 0], x_q.flatten(2).sort().values)


def test_patch_inputs_are_normalised_patch_negatives():
    names = run("On a GPU")
    x_ns, x_q = names["x_ns"].cpu(), names["x_q"].cpu()
    pixels = patch_negatives(x_q)[:, 0].float() / 255
    expected = v2.functional.normalize(pixels, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert torch.allclose(x_ns[:, 0], expected, atol=1e-6)
    assert x_ns[:, 0].is_contiguous(memory_format=torch.channels_last)


def test_arithmetic_on_single_pixels_commutes_with_shuffling_and_blur_does_not():
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), np.uint8))
    normalise = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize((0.5,) * 3, (0.25,) * 3)])
    contrast, blur = (lambda x: v2.functional.adjust_contrast(x, 1.5)), v2.GaussianBlur(7, sigma=2.0)
    for step, commutes in ((normalise, True), (contrast, False), (blur, False)):
        after = step(patch_negatives(pixels)[:, 0])
        assert torch.equal(after, patch_negatives(step(pixels))[:, 0]) == commutes
