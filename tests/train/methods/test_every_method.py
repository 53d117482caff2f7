"""Every method with every loss: a batch that stays is learnt, or the combination is refused."""

import pytest
import torch

from texneg.errors import InputError
from texneg.train.centring import Centring
from texneg.train.config import PretrainConfig
from texneg.train.flags import change
from texneg.train.methods import METHODS
from texneg.train.objectives import LOSSES, Objective, Selection

NO_NEGATIVES = {("byol", loss) for loss in ("info_nce", "simple_contrastive", "truncated_triplet")}
NO_PREDICTOR = {(method, "byol") for method in ("moco", "simo", "simclr", "memory_bank")}
OPTIONS = {
    "moco": {"queue": 24, "momentum": 0.9},
    "simo": {"keys": 6},
    "triplet": {"momentum": 0.9},
    "memory_bank": {"keys": 20},
    "truncated_triplet": {"ranks": (1, 3)},
}


@pytest.mark.parametrize("loss", [cls.name for cls in LOSSES])
@pytest.mark.parametrize("method", [cls.name for cls in METHODS])
def test_every_method_learns_with_every_loss_that_it_provides_for(method, loss, build, make_batch):
    options = OPTIONS.get(method, {}) | OPTIONS.get(loss, {})
    config = change(PretrainConfig(), method=method, loss=loss, bn="none", batch=8, data="x", **options)
    if (method, loss) in NO_NEGATIVES | NO_PREDICTOR:
        reason = "which --method byol has none of" if method == "byol" else f"--method {method} no predictor"
        with pytest.raises(InputError, match=reason):
            config.check()
        return
    config.check()
    trained, _ = build(config.method)
    b, losses = make_batch(count=1), []
    optimiser = torch.optim.SGD([p for p in trained.parameters() if p.requires_grad], lr=0.02)
    for _ in range(6):
        parts = trained(b)
        assert {s.negatives.shape[1] for s in parts} == {config.method.negatives(8)}
        losses.append(config.objective(parts))
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("centre", ["mean", "confusion"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_centres_what_is_its_images_own(method, centre, build, make_batch):
    trained, _ = build(method(**OPTIONS.get(method.name, {})))
    b = make_batch(count=2)
    same = b._replace(negatives=b.negatives[:1].expand_as(b.negatives))
    trained.centring = Centring(centre)
    for batch, shared in ((b, False), (same, True)):
        for s in trained(batch):
            assert (s.nonsemantic.abs().max() < 2e-6) == shared
            assert s.nonsemantic.shape[1] == 2


@pytest.mark.parametrize("method", [cls for cls in METHODS if cls.name != "byol"])
@pytest.mark.parametrize(
    "selection",
    [
        Selection(difficulty=(0.2, 0.6)),
        Selection(difficulty=(0.2, 0.6), remove=True),
        Selection(hardest=2, max_cosine=0.5),
    ],
)
def test_every_method_with_ordinary_negatives_takes_every_selection(method, selection, build, make_batch):
    config = method(**OPTIONS.get(method.name, {}))
    trained, _ = build(config)
    parts = trained(make_batch(count=0))
    kept = selection.check(config.negatives(8))
    assert {selection(s).negatives.shape[1] for s in parts} == {kept}
    Objective(selection=selection)(parts).backward()
    assert all(p.grad.isfinite().all() for p in trained.encoder.parameters())
