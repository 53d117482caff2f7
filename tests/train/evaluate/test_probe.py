"""The verbs probe and knn on a tiny encoder: files, guard, remedies."""

import json
import shutil

import pytest
import torch

from texneg.errors import InputError
from texneg.train.device import pick_device
from texneg.train.evaluate import knn, probe
from texneg.train.evaluate.linear import load_head
from texneg.train.evaluate.outcomes import load_outcomes


@pytest.fixture
def tiny(encoder, monkeypatch):
    for module in (probe, knn):
        monkeypatch.setattr(module, "open_encoder", lambda *_: encoder)
    return encoder


def test_probe_writes_a_head_and_what_it_is_worth(tiny, colours, tmp_path, capsys):
    before = {name: value.clone() for name, value in tiny.state_dict().items()}
    train, test = colours("train"), colours("test", seed=1, classes=("red", "green"))
    out = tmp_path / "run"
    assert probe.probe(probe.ProbeConfig("tiny", str(train), str(out), test=str(test), device="cpu")) == 0
    assert all(torch.equal(value, before[name]) for name, value in tiny.state_dict().items())

    found = json.loads((out / "probe.json").read_text())
    assert (found["n_train"], found["classes"]) == (36, ["blue", "green", "red"])
    assert found["penalty"] in found["penalties"]
    assert (found["test"]["n"], found["test"]["classes"], found["test"]["chance"]) == (24, 3, 1 / 3)
    assert (found["test"]["declared"], found["test"]["present"]) == ("head", 2)
    assert found["test"]["low"] <= found["test"]["accuracy"] == 1.0
    assert "24 images" in capsys.readouterr().out
    assert load_outcomes(out / "probe-outcomes.npz").values.tolist() == [1] * 24

    state = torch.load(out / "head.pt", weights_only=True)
    assert (state["classes"], state["encoder"]) == (["blue", "green", "red"], tiny.fingerprint)
    head = load_head(str(out / "head.pt"), tiny)
    assert head.fingerprint == found["head"]
    assert head.weight.shape == (3, 24)


def test_the_test_split_is_found_and_a_folder_of_sets_is_not_one(tiny, colours, tmp_path):
    colours("data/train")
    colours("data/val", seed=1)
    colours("sets/train")
    colours("sets/test/same", seed=1)
    for name, n in (("data", 36), ("sets", None)):
        config = probe.ProbeConfig("tiny", str(tmp_path / name), str(tmp_path / "run"), device="cpu")
        probe.probe(config)
        test = json.loads((tmp_path / "run" / "probe.json").read_text())["test"]
        assert (test and test["n"]) == n


def test_knn_verb(tiny, colours, tmp_path):
    train, test = colours("train"), colours("test", seed=1, classes=("red", "blue"))
    config = knn.KnnConfig(
        "tiny", str(train), test=str(test), out=str(tmp_path / "run"), k=(1, 5), device="cpu"
    )
    assert knn.knn(config) == 0
    found = json.loads((tmp_path / "run" / "knn.json").read_text())
    assert found["class_names"] == ["blue", "green", "red"]
    assert {k: row["accuracy"] for k, row in found["k"].items()} == {"1": 1.0, "5": 1.0}
    with pytest.raises(InputError, match="no val, validation or test split"):
        knn.knn(knn.KnnConfig("tiny", str(train), device="cpu"))
    with pytest.raises(InputError, match="--k takes"):
        knn.knn(knn.KnnConfig("tiny", str(train), k=(0,), device="cpu"))
    with pytest.raises(InputError, match="--temperature one above 0"):
        knn.knn(knn.KnnConfig("tiny", str(train), temperature=float("nan"), device="cpu"))


def test_every_named_test_of_knn_has_its_own_file(tiny, colours, tmp_path, capsys):
    train, test, sketch = colours("train"), colours("test", seed=1), colours("sketch", seed=2)
    out = tmp_path / "run"

    def measure(images, **options):
        return knn.knn(
            knn.KnnConfig("tiny", str(train), test=str(images), out=str(out), device="cpu", **options)
        )

    assert measure(test) == 0
    assert "kNN k = 10, temperature 0.07: " in capsys.readouterr().out
    with pytest.raises(InputError, match="give this one a name, such as --name sketch"):
        measure(sketch)
    assert measure(sketch, name="sketch", temperature=0.1) == 0
    assert measure(test) == 0
    assert {path.name for path in out.iterdir()} == {"knn.json", "knn-sketch.json"}
    assert json.loads((out / "knn-sketch.json").read_text())["config"]["temperature"] == 0.1
    with pytest.raises(InputError, match="letters, digits"):
        measure(test, name="a/b")


@pytest.mark.parametrize("names", [("red", "green"), ("red", "green", "blue")], ids=len)
def test_one_image_of_each_class_is_probed_without_validation(tiny, colours, tmp_path, capsys, names):
    train, out = colours("train", classes=names, per_class=1), tmp_path / "run"
    test = colours("test", seed=1, classes=names)
    assert probe.probe(probe.ProbeConfig("tiny", str(train), str(out), test=str(test), device="cpu")) == 0
    found = json.loads((out / "probe.json").read_text())
    assert found["validation"] is None
    assert found["penalty"] == max(found["penalties"])
    assert found["test"]["accuracy"] == 1.0
    assert "penalty 1, chosen without validation; test: masked 100.0 %" in capsys.readouterr().out
    assert load_head(str(out / "head.pt"), tiny).validation is None


def test_a_probe_is_current_until_its_images_change(tiny, colours, tmp_path):
    train, test = colours("train"), colours("test", seed=1)
    config = probe.ProbeConfig("tiny", str(train), str(tmp_path / "run"), test=str(test), device="cpu")
    assert not probe.is_current(config)
    probe.probe(config)
    assert probe.is_current(config)
    for folder in (train, test):
        one, two = folder / "red" / "red1.png", folder / "blue" / "blue1.png"
        kept = one.read_bytes()
        shutil.copy(two, one)
        assert not probe.is_current(config)
        one.write_bytes(kept)
        assert probe.is_current(config)
    train.rename(tmp_path / "away")
    assert probe.is_current(config)
    record = tmp_path / "run" / "probe.json"
    record.write_text(record.read_text().replace("-crop-v2", "-crop-v1"))
    assert not probe.is_current(config)


@pytest.mark.parametrize("k", [(5, 20, 200), (13,), (24,)], ids=str)
def test_k_beyond_the_bank_is_said(tiny, colours, tmp_path, capsys, k):
    """The bank: twelve images of each of the two classes that both sets share."""
    train, test = (
        colours("train", classes=("red", "green")),
        colours("test", seed=1, classes=("red", "green")),
    )
    assert (
        knn.knn(
            knn.KnnConfig("tiny", str(train), test=str(test), out=str(tmp_path / "run"), k=k, device="cpu")
        )
        == 0
    )
    rows = json.loads((tmp_path / "run" / "knn.json").read_text())["k"]
    assert {asked: (row["k"], row["asked"]) for asked, row in rows.items()} == {
        str(asked): (min(asked, 24), asked) for asked in k
    }
    said = capsys.readouterr()
    assert [line.partition(":")[0] for line in said.out.splitlines()] == [
        f"kNN k = {min(asked, 24)}" + (f" (asked for {asked})" if asked > 24 else "") + ", temperature 0.07"
        for asked in k
    ]
    warned = f"warning: --k {max(k)} is more than the 24 images to search in, which all vote\n"
    assert said.err == (warned if max(k) > 24 else "")


def test_one_shared_class_proves_nothing(tiny, colours, tmp_path):
    train, test = str(colours("train")), str(colours("test", seed=1, classes=("red",)))
    for classes in (None, "folders"):
        with pytest.raises(InputError, match="one shared class, 'red'"):
            knn.knn(knn.KnnConfig("tiny", train, test=test, k=(1,), device="cpu", classes=classes))
        config = probe.ProbeConfig(
            "tiny", train, str(tmp_path / "run"), test=test, device="cpu", classes=classes
        )
        with pytest.raises(InputError, match="one shared class, 'red'"):
            probe.probe(config)


def test_one_class_and_no_cuda_are_refused(tiny, colours, tmp_path, monkeypatch):
    config = probe.ProbeConfig("tiny", str(colours("train", classes=("red",))), str(tmp_path), device="cpu")
    with pytest.raises(InputError, match="two or more"):
        probe.probe(config)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == "cpu"
    with pytest.raises(InputError, match="--device cpu"):
        pick_device("cuda:1")
