"""Fine-tuning: which labels, that everything trains, exact resuming, and files that other verbs read."""

import json
import signal

import numpy as np
import pytest
import torch

from texneg.errors import InputError
from texneg.train import finetune as module
from texneg.train.evaluate.linear import load_head
from texneg.train.finetune import FinetuneConfig, FineTuning, choose_labels, finetune
from texneg.train.networks.backbone import Architecture, Network, initial_weights
from texneg.train.networks.encoder import export_encoder, load_encoder

SMALL = Architecture("resnet18", stem="stride2", width=4, layers=(1, 1, 1, 1), hidden=8, dim=6, bn="none")


@pytest.fixture
def checkpoint(tmp_path):
    with initial_weights(0):
        network = Network(SMALL, 16)
    path = tmp_path / "encoder.pt"
    torch.save(export_encoder(network, info={}), path)
    return path


def make(checkpoint, train, out, **options):
    own = {"labels": 0.5, "epochs": 3, "batch": 6, "device": "cpu"}
    return FinetuneConfig(str(checkpoint), str(train), str(out), **{**own, **options})


def test_labels_are_a_share_of_each_class_and_small_shares_lie_in_large_ones():
    labels = np.repeat([0, 1, 2], [100, 40, 3])
    one, ten, all_ = (choose_labels(labels, share, 7) for share in (0.01, 0.1, 1.0))
    assert np.bincount(labels[one]).tolist() == [1, 1, 1]
    assert np.bincount(labels[ten]).tolist() == [10, 4, 1]
    assert all_.tolist() == list(range(143))
    assert set(one) <= set(ten)
    assert not np.array_equal(ten, choose_labels(labels, 0.1, 8))


def test_an_encoder_and_a_head_come_out_that_other_verbs_read(checkpoint, colours, tmp_path, capsys):
    train, test, out = colours("train"), colours("test", seed=1), tmp_path / "run"
    assert finetune(make(checkpoint, train, out, test=str(test))) == 0
    before, after = load_encoder(str(checkpoint)), load_encoder(str(out / "encoder.safetensors"))
    changed = {
        name
        for name, value in before.network.backbone.state_dict().items()
        if not torch.equal(value, after.network.backbone.state_dict()[name])
    }
    assert {"conv1.weight", "bn1.weight", "bn1.running_mean", "bn1.running_var"} <= changed
    assert after.preprocessing == before.preprocessing
    head = load_head(str(out / "head.pt"), after)
    assert head.classes == ("blue", "green", "red")

    found = json.loads((out / "probe.json").read_text())
    assert (found["n_train"], found["head"], found["encoder"]) == (18, head.fingerprint, after.fingerprint)
    assert found["test"]["n"] == 36
    assert "fine-tuned on 0.5 of the labels: SGD, lr 0.05, batch 6, 3 epochs" in found["protocol"]
    assert "18 training images, last epoch; test: masked" in capsys.readouterr().out
    assert not (out / "finetune.fit.pt").exists()


def test_a_stopped_run_goes_on_to_the_same_encoder(checkpoint, colours, tmp_path, monkeypatch):
    train = colours("train")
    assert finetune(make(checkpoint, train, tmp_path / "whole")) == 0
    advance, seen = FineTuning.advance, []

    def stop(fit, taken):
        advance(fit, taken)
        seen.append(fit.step)
        if len(seen) == 4:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(module.FineTuning, "advance", stop)
    with pytest.raises(KeyboardInterrupt):
        finetune(make(checkpoint, train, tmp_path / "cut"))
    with pytest.raises(InputError, match=r"begun with other settings \(lr\)"):
        finetune(make(checkpoint, train, tmp_path / "cut", lr=0.01))
    assert finetune(make(checkpoint, train, tmp_path / "cut")) == 0
    assert seen == list(range(9))
    files = [(tmp_path / name / "encoder.safetensors").read_bytes() for name in ("whole", "cut")]
    assert files[0] == files[1]
    heads = [torch.load(tmp_path / name / "head.pt", weights_only=True) for name in ("whole", "cut")]
    assert torch.equal(heads[0]["weight"], heads[1]["weight"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": 0}, "--labels 0"),
        ({"lr": 0}, "--lr 0"),
        ({"epochs": 0}, "--epochs 0"),
        ({"batch": 1}, "--batch 1"),
    ],
    ids=str,
)
def test_values_out_of_their_range_are_refused(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        finetune(make("no", "no", tmp_path / "run", **options))
