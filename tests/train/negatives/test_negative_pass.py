"""Savings on the pass of negatives: which steps have it, what it costs, and what is refused."""

from contextlib import nullcontext

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from texneg.errors import InputError
from texneg.train.config import PretrainConfig
from texneg.train.data.loader import Batch
from texneg.train.flags import change
from texneg.train.methods import moco
from texneg.train.negatives import NegativePass, Negatives
from texneg.train.negatives.negative_pass import Teaching
from texneg.train.networks.backbone import Architecture
from texneg.train.objectives import Objective

CONFIG = change(PretrainConfig(), data="x", image_size=32, batch=8, queue=8, bn="none")


def run(config, cosine, steps, *, epoch_steps=20, teaching=None, start=0):
    """The steps with negatives, whose mean cosine is a function of the step."""
    teaching = teaching or Teaching(config, epoch_steps)
    found = []
    for step in range(start, start + steps):
        wanted = teaching.wants(step)
        found += [step] * wanted
        teaching.add(step, torch.tensor(cosine(step)) if wanted else None)
    return found, teaching


def test_usually_every_step_has_negatives():
    assert run(NegativePass(), lambda _: -1.0, 45)[0] == list(range(45))
    assert NegativePass().steady


def test_every_third_step():
    assert run(NegativePass(negatives_every=3), lambda _: 0.0, 45)[0] == list(range(0, 45, 3))


def test_an_epoch_whose_negatives_teach_no_more_goes_on_without_and_the_next_looks_again():
    config = NegativePass(negatives_above=0.2)
    found, _ = run(config, lambda step: 0.1 if step < 40 else 0.3, 60)
    assert found == [0, 1, 20, 21, *range(40, 60)]
    assert run(config, lambda step: [0.1, 0.31][step % 2], 20)[0] == list(range(20))  # the mean decides
    assert run(config, lambda _: 0.19, 20)[0] == [0, 1]
    both = NegativePass(negatives_above=0.2, negatives_every=2)
    assert run(both, lambda _: 0.1, 40)[0] == [0, 20]
    assert run(both, lambda _: 0.3, 40, epoch_steps=9)[0] == list(range(0, 40, 2))  # odd epochs saw nothing


@pytest.mark.parametrize("stop", [1, 2, 7, 21, 39])
def test_the_state_is_all_that_it_remembers(stop):
    config = NegativePass(negatives_above=0.2)

    def cosine(step):
        return 0.1 if step < 20 else 0.15 + 0.1 * (step % 2)

    whole, _ = run(config, cosine, 60)
    first, before = run(config, cosine, stop)
    after = Teaching(config, 20)
    after.restore(before.state())
    assert first + run(config, cosine, 60 - stop, teaching=after, start=stop)[0] == whole


def test_half_is_the_upper_left_quarter():
    negatives = torch.randint(0, 256, (2, 3, 32, 32, 3), dtype=torch.uint8)
    assert torch.equal(NegativePass(negatives_half=True).crop(negatives), negatives[:, :, :16, :16])
    assert NegativePass().crop(negatives) is negatives
    assert NegativePass(negatives_half=True).crop(None) is None


def test_at_half_side_a_step_is_nearly_one_without_negatives():
    """Multiplications and additions of a step of ResNet-18; ResNet-50 at 224 px has the same shares."""
    method = moco.Config(queue=64).build(Architecture("resnet18", bn="none"), 128, seed=0, steps=9, images=99)
    method = method.to("meta").train()
    method.autocast = lambda views: nullcontext()  # there is none on this device
    views = torch.zeros(2, 4, 128, 128, 3, dtype=torch.uint8, device="meta")

    def count(negatives):
        with FlopCounterMode(display=False) as counter:
            Objective()(method(Batch(*views, negatives, torch.arange(4), 0))).backward()
        return counter.get_total_flops()

    none, whole = count(None), count(views[0].unsqueeze(1))
    half = count(NegativePass(negatives_half=True).crop(views[0].unsqueeze(1)))
    assert none / whole == pytest.approx(0.80, abs=0.01)
    assert none / half == pytest.approx(0.94, abs=0.01)


def test_settings_leave_out_what_an_earlier_version_did_not_have():
    assert "negative_pass" not in CONFIG.settings()
    saving = change(CONFIG, negatives_half=True, negatives_every=2)
    assert saving.settings()["negative_pass"] == {"negatives_half": True, "negatives_every": 2}
    assert saving.baseline().settings() == CONFIG.baseline().settings()
    assert change(saving, lr=0.5).negative_pass == saving.negative_pass
    saving.check()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"negatives_every": 0}, "--negatives-every 0: 1 or more steps"),
        ({"negatives_above": 1.5}, "--negatives-above 1.5: a cosine, -1 to 1"),
        ({"negatives_half": True, "image_size": 24}, "--negatives-half: for --image-size 32 or more, not 24"),
        ({"negatives_above": 0.2, "centre": "mean"}, "which --centre changes"),
    ],
)
def test_what_is_refused(flags, message):
    with pytest.raises(InputError, match=message):
        change(CONFIG, **flags).check()


def test_without_negatives_there_is_nothing_to_look_at():
    config = change(CONFIG, negatives="none", negatives_above=0.2, centre="mean")
    assert config.negatives == Negatives()
    config.check()
