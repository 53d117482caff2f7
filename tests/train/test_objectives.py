"""Objectives: what they warn of, and what they refuse."""

import numpy as np
import pytest
import torch

from texneg import extend, info_nce, modify_features, reweight
from texneg.errors import InputError
from texneg.philox.arrays import fold
from texneg.philox.streams import Stream
from texneg.similarity import similarities
from texneg.train.config import PretrainConfig
from texneg.train.flags import change
from texneg.train.methods import METHODS
from texneg.train.objectives import (
    Byol,
    InfoNCE,
    Objective,
    Selection,
    SimpleContrastive,
    TruncatedTriplet,
    best_positive,
)
from texneg.train.synthetic import Synthetic


@pytest.mark.parametrize(("push", "expected"), [(2.0, -0.68), (1.0, 0.22), (0.5, 0.93), (0.0, 1.0)])
def test_the_best_cosine_of_the_positive_is_that_of_an_optimum(push, expected):
    assert best_positive(push, 0.9) == pytest.approx(expected, abs=0.005)
    angles = np.linspace(-np.pi, np.pi, 100_001)  # of the query; the positive lies at 0
    t = np.arccos(0.9)
    best = angles[np.argmin(push * np.cos(angles - t) - np.cos(angles))]
    assert np.cos(best) == pytest.approx(best_positive(push, 0.9), abs=1e-4)


@pytest.mark.parametrize(
    "loss", [Byol(alpha=2.0), SimpleContrastive(alpha=0.7), TruncatedTriplet(alpha=3.0, pull=1.5)]
)
def test_push_is_the_ratio_of_the_gradients(loss):
    draw = torch.Generator().manual_seed(0)
    q, p, t, n = (torch.randn(k, 6, generator=draw, dtype=torch.float64) for k in (1, 1, 1, 12))
    s = similarities(q, p, n, t)
    s = s._replace(positive=s.positive.requires_grad_(), nonsemantic=s.nonsemantic.requires_grad_())
    loss(s).backward()
    assert (-s.nonsemantic.grad / s.positive.grad).item() == pytest.approx(loss.push)


def test_a_weight_that_trains_positives_apart_is_warned_of():
    config = change(PretrainConfig(), method="byol", bn="none")
    assert config.warnings() == []
    (warning,) = change(config, alpha=2.0).warnings()
    assert warning == (
        "--alpha 2 with --loss byol: negatives push 2 times as hard as the positive pulls; where their cosine"
        " is 0.9, positives are trained to -0.68; at --alpha 0.5 to 0.93"
    )
    assert change(config, alpha=1.0).warnings() == []
    assert change(config, alpha=2.0, negatives="none").warnings() == []
    assert change(PretrainConfig(), alpha=3.0).warnings() == []  # the softmax bounds the push


@pytest.mark.parametrize("method", METHODS)
def test_a_method_brings_its_own_weight(method):
    other = change(PretrainConfig(), method="moco" if method.name == "byol" else "byol", alpha=7.0)
    brought = change(other, method=method.name).objective.loss
    assert brought == method.loss
    assert brought.alpha < 7
    assert brought.push <= 1


def test_info_nce_has_no_fixed_push():
    assert InfoNCE(alpha=5.0).push == 0


def parts(count=1):
    draw = torch.Generator().manual_seed(0)
    q, k, n = (torch.randn(rows, 6, generator=draw, dtype=torch.float64) for rows in (4, 4, 20))
    return [similarities(q, k, n)] * count


def test_a_selection_applies_all_that_it_is_told():
    (s,) = parts()
    ranked = s.negatives.sort(dim=1, descending=True).values
    middle = Selection(difficulty=(0.2, 0.5), remove=True)
    assert middle.check(20) == 14
    expected = torch.cat([ranked[:, :4], ranked[:, 10:]], dim=1)
    assert torch.equal(middle(s).negatives.sort(dim=1, descending=True).values, expected)
    near = Selection(max_cosine=0.3)
    assert near.check(20) == 20
    kept = near(s).negatives
    assert torch.equal(kept.isneginf(), s.negatives > 0.3)
    assert Selection()(s) is s


def test_compensation_lets_the_kept_weigh_as_much_as_all():
    loss, selection = InfoNCE(temperature=0.3), Selection(difficulty=(0.0, 0.25), compensate=True)
    (s,) = parts()
    kept = s.negatives.sort(dim=1, descending=True).values[:, :5]
    positive, negatives = (s.positive / 0.3).exp(), 4 * (kept / 0.3).exp().sum(1)
    expected = -(positive / (positive + negatives)).log().mean()
    torch.testing.assert_close(Objective(loss, selection)(parts()), expected)


def test_the_softmax_loss_weighs_decouples_and_modifies():
    (s,) = parts()
    weights = reweight(s, temperature=0.3, hardness=0.5, class_prior=0.1)
    expected = info_nce(s, temperature=0.3, log_weights=weights)
    torch.testing.assert_close(InfoNCE(0.3, hardness=0.5, class_prior=0.1)(s), expected)
    torch.testing.assert_close(InfoNCE(0.3, decoupled=True)(s), info_nce(s, temperature=0.3, decoupled=True))
    both = [info_nce(x, temperature=0.3) for x in (s, modify_features(s, 0.1))]
    torch.testing.assert_close(InfoNCE(0.3, epsilon=0.1)(s), sum(both) / 2)


@pytest.mark.parametrize(
    "flags",
    [{"hardness": -1.0}, {"class_prior": 1.0}, {"epsilon": float("inf")}, {"seed": -1}, {"seed": 1 << 64}],
    ids=str,
)
def test_numbers_outside_their_range_are_refused(flags):
    name = "--" + next(iter(flags)).replace("_", "-")
    with pytest.raises(InputError, match=name):
        change(PretrainConfig(), data="x", **flags).check()


def test_synthetic_negatives_are_made_of_those_that_are_kept_by_draws_of_the_step():
    (s,) = parts()
    synthetic = Synthetic(interpolated=3, extrapolated=2, ascended=4, synthetic_from=5)
    selection = Selection(hardest=8)
    kept = selection(s)
    draws = torch.Generator().manual_seed(fold(7, 3, 0, 0, Stream.SYNTHETIC) >> 1)
    counts = {"interpolated": 3, "extrapolated": 2, "ascended": 4}
    extended = extend(kept, hardest=5, generator=draws, **counts)
    made = Objective(InfoNCE(), selection, synthetic=synthetic)
    torch.testing.assert_close(made(parts(), 7, 3, 0), info_nce(extended))
    assert torch.equal(made(parts(), 7, 3, 0), made(parts(), 7, 3, 0))
    assert not torch.equal(made(parts(), 7, 3, 0), made(parts(), 7, 4, 0))
    assert not torch.equal(made(parts(), 7, 3, 0), made(parts(), 7, 3, 1))
    state = torch.get_rng_state()
    made(parts(2), 7, 3, 0)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(Objective()(parts(), 7, 3, 0), Objective()(parts()))


def test_synthetic_negatives_are_a_setting_where_there_are_any():
    config = change(PretrainConfig(), data="x")
    assert "synthetic" not in config.settings()["objective"]
    extended = change(config, interpolated=64, hardness=0.5, hardest=2048)
    extended.check()
    assert extended.settings()["objective"]["synthetic"] == {"interpolated": 64}
    assert extended.baseline().settings()["objective"]["synthetic"] == {"interpolated": 64}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"ascended": -1}, "--ascended -1: 0 or more"),
        ({"ascended": 1, "synthetic_from": 0}, "--synthetic-from 0: 1 or more"),
        ({"synthetic_from": 5}, "--synthetic-from: there are no synthetic negatives"),
        ({"ascended": 1, "method": "byol", "bn": "none"}, "which --method byol has none of; leave them out"),
        ({"ascended": 1, "loss": "truncated_triplet"}, "are for --loss info_nce, not truncated_triplet"),
        ({"interpolated": 1, "eqco": 100}, "--eqco counts negatives drawn from the data"),
        ({"interpolated": 1, "class_prior": 0.1}, "--class-prior counts negatives"),
        ({"interpolated": 1, "hardest": 5, "compensate": True}, "--compensate counts negatives"),
    ],
    ids=str,
)
def test_synthetic_negatives_that_make_no_sense_are_refused(flags, message):
    with pytest.raises(InputError, match=message):
        change(PretrainConfig(), data="x", **flags).check()


def test_centring_is_a_setting_of_runs_with_negatives():
    config = change(PretrainConfig(), data="x", method="byol", bn="none", alpha=2.0)
    centred = change(config, centre="mean")
    assert "centring" not in config.settings()["objective"]
    assert centred.settings()["objective"]["centring"] == {"centre": "mean"}
    assert centred.baseline().settings() == config.baseline().settings()
    assert config.warnings() and not centred.warnings()  # a shared direction pushes nothing apart
    centred.check()
    with pytest.raises(InputError, match="--centre mean compares the images of a step"):
        change(PretrainConfig(), data="x", centre="mean", accumulate=2).check()
    with pytest.raises(InputError, match="--centre-temperature 0"):
        change(centred, centre="soft_maximum", centre_temperature=0.0).check()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"remove": True}, "--remove: nothing is selected"),
        ({"compensate": True}, "--compensate: nothing is selected"),
        ({"remove": True, "max_cosine": 0.9}, "--remove: no range is given"),
        ({"max_cosine": 1.0}, "--max-cosine 1: above 0 and below 1"),
        ({"max_cosine": -0.99}, "--max-cosine -0.99: above 0 and below 1; images that have nothing"),
        ({"difficulty": (0.0, 1.0), "remove": True}, "the range is all of the 65536 negatives"),
        ({"hardest": 5, "compensate": True, "eqco": 7}, "--compensate and --eqco: both set"),
        (
            {"hardest": 15, "compensate": True, "loss": "truncated_triplet"},
            "--compensate is for --loss info_nce, not truncated_triplet",
        ),
        ({"hardest": 5, "loss": "truncated_triplet"}, "needs 10 ordinary negatives a query"),
    ],
    ids=str,
)
def test_a_selection_that_selects_nothing_is_refused(flags, message):
    with pytest.raises(InputError, match=message):
        change(PretrainConfig(), data="x", **flags).check()


def test_a_margin_for_random_negatives_with_others_is_warned_of():
    config = change(PretrainConfig(), data="x", eqco=65536)
    assert config.warnings() == []
    (warning,) = change(config, hardest=100).warnings()
    assert warning.startswith(
        "--eqco with --difficulty, --hardest and --max-cosine: its margin is for negatives"
    )
    assert change(config, eqco=None, hardest=100, compensate=True).warnings() == []
