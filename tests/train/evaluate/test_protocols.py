"""Probes by gradient descent: steps, schedules, a frozen encoder, exact resuming, the file of a head."""

import json
import re
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from texneg.errors import InputError
from texneg.train.evaluate import fitting, probe, sgd
from texneg.train.evaluate.fit_head import FitOptions
from texneg.train.evaluate.protocols import Protocol, find_protocol
from texneg.train.evaluate.sgd import HeadFit, KeptFeatures


@pytest.fixture
def tiny(encoder, monkeypatch):
    monkeypatch.setattr(probe, "open_encoder", lambda *_: encoder)
    return encoder


def options(train, out, *, test=None, **how):
    own = {"protocol": "paper", "epochs": 3, **how}
    return probe.ProbeConfig(
        "tiny", str(train), str(out), test=test and str(test), device="cpu", how=FitOptions(**own)
    )


def test_learning_rates_are_the_published_ones():
    paper, moco = (find_protocol(name, None) for name in ("paper", "moco"))
    assert (paper.rates, paper.batch, paper.epochs) == ((10.0,), 128, 60)
    assert (moco.rates, moco.batch, moco.epochs) == ((30.0,), 256, 100)
    for protocol, expected in (
        (paper, {0: 10, 29: 10, 30: 1, 39: 1, 40: 0.1, 49: 0.1, 50: 0.01, 59: 0.01}),
        (moco, {0: 30, 59: 30, 60: 3, 79: 3, 80: 0.3, 99: 0.3}),
    ):
        found = {epoch: protocol.rates[0] * protocol.factor(7 * epoch + 6, 7) for epoch in expected}
        assert found == pytest.approx(expected)
    short = find_protocol("paper", 6)
    assert [short.factor(step, 1) for step in range(6)] == pytest.approx([1, 1, 1, 0.1, 0.01, 0.001])
    sweep = find_protocol("sweep", None)
    assert len(sweep.rates) == 9
    assert sweep.factor(0, 5) == 1
    assert sweep.factor(75, 5) == pytest.approx(0.5)
    with pytest.raises(InputError, match="--epochs 0"):
        find_protocol("moco", 0)


@pytest.fixture
def make_fit(tmp_path):
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(22, 5, generator=draw)
    labels = torch.arange(22) % 3

    def make(rates=(0.5,), epochs=4, path="fit.pt"):
        return HeadFit(
            KeptFeatures(values, 8, 1),
            labels,
            classes=3,
            features=5,
            protocol=Protocol("tried", rates, 8, epochs, (2,)),
            seed=1,
            device=torch.device("cpu"),
            judge=None,
            path=tmp_path / path,
            identity={"rates": list(rates), "epochs": epochs},
        )

    return make, values, labels


def test_steps_are_those_of_torchs_sgd(make_fit):
    make, values, labels = make_fit
    fit = make(rates=(0.5, 2.0))
    heads = []
    for rate, weight, bias in zip((0.5, 2.0), fit.weight.clone(), fit.bias.clone(), strict=True):
        linear = torch.nn.Linear(5, 3)
        linear.load_state_dict({"weight": weight, "bias": bias})
        optimiser = torch.optim.SGD(linear.parameters(), lr=rate, momentum=0.9)
        for step, (x, places) in enumerate(KeptFeatures(values, 8, 1).read(range(8))):
            optimiser.param_groups[0]["lr"] = rate * (1 if step < 4 else 0.1)
            optimiser.zero_grad()
            F.cross_entropy(linear(x), labels[places]).backward()
            optimiser.step()
        heads.append(linear)
    fit.run()
    for k, linear in enumerate(heads):
        torch.testing.assert_close(fit.weight[k], linear.weight.detach(), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(fit.bias[k], linear.bias.detach(), rtol=1e-4, atol=1e-5)


def test_an_epoch_visits_images_once_in_an_order_of_its_own():
    source = KeptFeatures(torch.arange(20.0)[:, None], 4, 3)
    epochs = [torch.cat([p for _, p in source.read(range(5 * e, 5 * e + 5))]).tolist() for e in (0, 1)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(20))] * 2
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("stop_at", [1, 2, 5])
def test_a_stopped_fit_goes_on_to_the_same_head(make_fit, stop_at):
    make, _, _ = make_fit
    whole = make(path="whole.pt")
    whole.run()
    broken = make()
    advance = broken.advance

    def stop(taken):
        advance(taken)
        if broken.step + 1 == stop_at:
            signal.raise_signal(signal.SIGTERM)

    broken.advance = stop
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    assert broken.path.is_file()
    again = make()
    again.resume()
    assert again.step == stop_at
    again.run()
    assert torch.equal(again.weight, whole.weight)
    assert torch.equal(again.bias, whole.bias)
    with pytest.raises(InputError, match=r"begun with other settings \(epochs\)"):
        make(epochs=5).resume()
    broken.path.write_bytes(b"half")
    with pytest.raises(InputError, match="remove it to begin anew"):
        make().resume()


@pytest.mark.parametrize("how", [{}, {"centre_crops": True}, {"protocol": "sweep"}], ids=str)
def test_the_encoder_stays_as_it_is(tiny, colours, tmp_path, capsys, how):
    """Its weights, its batch norm statistics and the mode it came in."""
    before = {name: value.clone() for name, value in tiny.state_dict().items()}
    train, test = colours("train"), colours("test", seed=1)
    out = tmp_path / "run"
    assert probe.probe(options(train, out, test=test, **how)) == 0
    assert all(torch.equal(value, before[name]) for name, value in tiny.state_dict().items())
    assert all(part.training for part in tiny.modules())

    found = json.loads((out / "probe.json").read_text())
    assert not list(out.glob("*.fit.pt"))
    line = capsys.readouterr().out
    views = "centre crops" if how.get("centre_crops") else "random crops and flips"
    assert views in found["protocol"]
    assert found["protocol"] in line
    if how.get("protocol") == "sweep":
        assert found["best_on_test"] is None
        assert found["rate"] in find_protocol("sweep", None).rates
        assert re.search(r"lr \S+ chosen on a held-out 10%, last epoch, validation", line)
    else:
        best = found["best_on_test"]
        assert best["accuracy"] >= found["test"]["accuracy"]
        assert 1 <= best["epoch"] <= 3
        assert "last epoch" in line
        assert "as the paper reports" in line


def test_a_killed_probe_of_random_crops_goes_on_to_the_same_head(tiny, colours, tmp_path, monkeypatch):
    train, test = colours("train"), colours("test", seed=1)
    assert probe.probe(options(train, tmp_path / "whole", test=test)) == 0
    advance, seen = HeadFit.advance, []

    def stop(fit, taken):
        advance(fit, taken)
        seen.append(fit.step)
        if len(seen) == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(sgd.HeadFit, "advance", stop)
    cut = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        probe.probe(options(train, cut, test=test))
    assert [path.name for path in cut.glob("*")] == ["probe.fit.pt"]
    assert probe.probe(options(train, cut, test=test)) == 0
    heads = [torch.load(tmp_path / name / "head.pt", weights_only=True) for name in ("whole", "cut")]
    assert all(torch.equal(heads[0][name], heads[1][name]) for name in ("weight", "bias"))
    records = [json.loads((tmp_path / name / "probe.json").read_text()) for name in ("whole", "cut")]
    assert records[0]["best_on_test"] == records[1]["best_on_test"]
    assert seen == [0, 1, 2]


def test_crops_are_a_function_of_step_and_seed(colours):
    from texneg.train.data.splits import open_train
    from texneg.train.networks.preprocessing import Preprocessing

    images = open_train(str(colours("train")))
    prepared = Preprocessing(16)
    views = [
        fitting.make_batches(images, prepared, batch=6, seed=seed)[step].query.numpy()
        for seed, step in ((1, 3), (1, 3), (2, 3), (1, 4))
    ]
    assert views[0].shape == (6, 16, 16, 3)
    assert np.array_equal(views[0], views[1])
    assert not np.array_equal(views[0], views[2])
    assert not np.array_equal(views[0], views[3])
    wide = replace(prepared, interpolation="bicubic")
    assert fitting.make_batches(images, wide, batch=6, seed=1).augmentation.cubic
    loaded = fitting.load_batches(
        fitting.make_batches(images, prepared, batch=6, seed=1), range(3, 4), 1, pin=False
    )
    made = list(loaded)
    assert np.array_equal(made[0].query.numpy(), views[0])
    assert made[0].key.numel() == 0


def test_options_of_gradient_descent_are_refused_without_it(tiny, colours, tmp_path):
    for how in ({"epochs": 3}, {"centre_crops": True, "epochs": None}):
        with pytest.raises(InputError, match="--epochs and --centre-crops are for gradient descent"):
            probe.probe(options(colours("train"), tmp_path / "run", **{"protocol": "lbfgs", **how}))


def test_another_protocol_is_another_head(tiny, colours, tmp_path):
    config = options(colours("train"), tmp_path / "run", centre_crops=True)
    probe.probe(config)
    assert probe.is_current(config)
    assert not probe.is_current(replace(config, how=FitOptions()))


def test_a_sweep_takes_the_rate_that_is_right_most_often(make_fit):
    make, _, _ = make_fit
    fit = make(rates=(0.1, 0.2, 0.3, 0.4))
    held = torch.eye(3, 5)
    fit.weight.zero_()
    fit.weight[1, :3, :3] = torch.eye(3)
    fit.weight[2, :3, :3] = 2 * torch.eye(3)
    fit.weight[3] = torch.nan
    assert fit.choose(held, torch.arange(3)) == (2, 1.0)
    assert fit.choose(held, torch.tensor([0, 1, 0])) == (1, pytest.approx(2 / 3))
    with pytest.raises(InputError, match="held-out images"):
        fit.choose(held[:0], torch.arange(0))
    assert make(rates=(0.1,)).choose(held[:0], torch.arange(0)) == (0, None)
