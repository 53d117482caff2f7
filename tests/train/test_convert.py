"""`texneg convert`, runs that start from given weights, and foreign encoders through every verb."""

import json

import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn

from texneg.cli.main import main
from texneg.train.flags import change
from texneg.train.networks.encoder import load_encoder
from texneg.train.networks.foreign import to_torchvision
from texneg.train.pretrain import run_pretraining
from texneg.train.recipes import find_recipe


def randomise(model):
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                value.normal_(0, 0.05)
                if name.endswith("running_var") or (value.ndim == 1 and name.endswith("weight")):
                    value.abs_().add_(0.8)
    return model.eval()


def assert_same(one, two, side):
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        images = torch.randn(2, 3, side, side)
        expected = one(images)
        torch.testing.assert_close(two(images), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


@pytest.fixture(scope="module")
def moco(tmp_path_factory):
    """A file in the official layout, and the backbone it was made of."""
    path = tmp_path_factory.mktemp("moco") / "moco.pth.tar"
    model = randomise(torchvision.models.resnet18(weights=None))
    model.fc = nn.Identity()
    state = {f"module.encoder_q.{name}": value for name, value in model.state_dict().items()}
    sizes = (("0", 512, 512), ("2", 512, 16))
    for at, inputs, outputs in sizes:
        state[f"module.encoder_q.fc.{at}.weight"] = torch.randn(outputs, inputs) / 20
        state[f"module.encoder_q.fc.{at}.bias"] = torch.zeros(outputs)
    state["module.queue"] = torch.randn(16, 8)
    torch.save({"epoch": 1, "arch": "resnet18", "state_dict": state, "optimizer": {}}, path)
    return path, model


def test_timm_and_torchvision_load_what_is_written(moco, tmp_path, capsys):
    path, model = moco
    for names in ("timm", "torchvision"):
        out = tmp_path / f"{names}.safetensors"
        assert main(["convert", str(path), "--out", str(out), "--names", names, "--keys"]) == 0
    printed = capsys.readouterr().out
    assert "matched module.encoder_q.conv1.weight -> conv1.weight" in printed
    assert "dropped module.queue" in printed
    assert "missing 0" in printed
    line = next(line for line in printed.splitlines() if "timm.create_model" in line).partition("; ")[2]
    made = eval(line, {"timm": timm})
    assert_same(model, made.eval(), 64)
    other = torchvision.models.resnet18(weights=None)
    other.fc = nn.Identity()
    other.load_state_dict(load_file(tmp_path / "torchvision.safetensors"), strict=True)
    assert_same(model, other.eval(), 64)
    assert_same(model, load_encoder(str(tmp_path / "timm.safetensors")), 224)


def test_transformers_and_names_by_order_go_to_torchvision(tmp_path, capsys):
    source = randomise(timm.create_model("mobilenetv2_100", num_classes=7))
    torch.save(source.state_dict(), tmp_path / "m.pth")
    flags = ["--arch", "mobilenetv2_100", "--names", "torchvision", "--classifier"]
    assert main(["convert", str(tmp_path / "m.pth"), "--out", str(tmp_path / "m.safetensors"), *flags]) == 0
    made = torchvision.models.mobilenet_v2(weights=None, num_classes=7)
    made.load_state_dict(load_file(tmp_path / "m.safetensors"), strict=True)
    assert_same(source, made.eval(), 64)

    source = randomise(timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=32))
    options = {"image_size": 32, "patch_size": 16, "num_layers": 12, "num_heads": 3}
    made = torchvision.models.VisionTransformer(**options, hidden_dim=192, mlp_dim=768)
    made.heads = nn.Identity()
    made.load_state_dict(to_torchvision(source.state_dict(), made.state_dict()), strict=True)
    assert_same(source, made.eval(), 32)

    torch.save(source.state_dict(), tmp_path / "v.pth")
    assert main(["convert", str(tmp_path / "v.pth"), "--out", str(tmp_path / "v.safetensors")]) == 0
    line = capsys.readouterr().out.splitlines()[-1].partition("; ")[2]
    assert "img_size=32" in line
    assert_same(source, eval(line, {"timm": timm}).eval(), 32)


def test_what_cannot_be_written_is_refused(moco, tmp_path, capsys):
    path, _ = moco
    assert main(["convert", str(path), "--out", str(tmp_path / "x.pth")]) == 2
    assert main(["convert", str(path), "--out", str(tmp_path / "x.safetensors"), "--classifier"]) == 2
    model = timm.create_model("resnet10t")
    torch.save(model.state_dict(), tmp_path / "m.pth")
    out = ["--out", str(tmp_path / "x.safetensors"), "--names", "torchvision"]
    assert main(["convert", str(tmp_path / "m.pth"), *out, "--arch", "resnet10t"]) == 2
    model = timm.create_model("ghostnet_050")
    torch.save(model.state_dict(), tmp_path / "m.pth")
    assert main(["convert", str(tmp_path / "m.pth"), *out, "--arch", "ghostnet_050"]) == 2
    reasons = (".safetensors", "no linear classifier", "has no resnet10t", "has no ghostnet_050")
    for reason, line in zip(reasons, capsys.readouterr().err.splitlines(), strict=True):
        assert reason in line
    assert not (tmp_path / "x.safetensors").exists()


def tiny(data, out, **changes):
    small = {"arch": "resnet18", "stem": "stride1", "width": 8, "layers": (1, 1, 1, 1), "image_size": 16}
    run = {
        "batch": 8,
        "queue": 8,
        "bn_group": 4,
        "epochs": 1,
        "resident": 24,
        "knn_every": 0,
        "device": "cpu",
    }
    return change(find_recipe("demo"), data=str(data), out=str(out), **{**small, **run, **changes})


def test_the_file_to_read_is_not_written_over(moco, tmp_path, capsys):
    out = tmp_path / "weights.safetensors"
    assert main(["convert", str(moco[0]), "--out", str(out)]) == 0
    before = out.read_bytes()
    assert main(["convert", str(out), "--out", str(out)]) == 2
    assert "is the file to read, which would be lost" in capsys.readouterr().err
    assert out.read_bytes() == before


@pytest.mark.parametrize("text", ["no JSON", "3", '{"architecture": 3}', '{"architecture": {"arch": 1}}'])
def test_metadata_of_others_is_refused_in_one_line(text, moco, tmp_path, capsys):
    path = tmp_path / "weights.safetensors"
    save_file({"conv1.weight": torch.zeros(2)}, path, {"texneg": text})
    assert main(["convert", str(path), "--out", str(tmp_path / "out.safetensors")]) == 2
    assert "its metadata describes no network" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [("--mean", *["nan"] * 3), ("--image-size", "0"), ("--crop", "0")])
def test_preprocessing_outside_its_range_is_refused(flags, moco, tmp_path, capsys):
    assert main(["convert", str(moco[0]), "--out", str(tmp_path / "out.safetensors"), *flags]) == 2
    assert "--image-size is 1 or more" in capsys.readouterr().err


def test_a_run_starts_from_given_weights(colours, tmp_path, capsys):
    data = colours("data")
    first = run_pretraining(tiny(data, tmp_path / "first"), log=lambda _: None)
    done = load_encoder(str(first)).network.backbone.state_dict()
    foreign = tmp_path / "solo.ckpt"
    torch.save({"state_dict": {f"backbone.{name}": value for name, value in done.items()}}, foreign)
    for init in (first, first / "checkpoint.pt", foreign):
        said = []
        config = tiny(data, tmp_path / f"from-{init.name}", init=str(init), lr=1e-12, weight_decay=0.0)
        run = run_pretraining(config, log=said.append)
        assert any("matched" in line for line in said)
        found = load_encoder(str(run)).network.backbone.state_dict()
        saved = torch.load(run / "checkpoint.pt", weights_only=True)["method"]
        for name, value in done.items():
            if not name.endswith(("running_mean", "running_var", "num_batches_tracked")):
                torch.testing.assert_close(found[name], value)
                torch.testing.assert_close(saved[f"key.backbone.{name}"], value)
        settings = json.loads((run / "config.json").read_text())["settings"]
        assert settings["network"]["init"] == str(init)
    assert "init" not in json.loads((first / "config.json").read_text())["settings"]["network"]
    foreign.unlink()
    assert run_pretraining(config, log=said.append)  # nothing is read again

    for init, why in ((tmp_path / "nowhere", "no checkpoint"), (data / "red" / "red0.png", "cannot be read")):
        command = ["demo", "--data", str(data), "--out", str(tmp_path / "no"), "--init", str(init)]
        assert main(["pretrain", *command, "--batch", "8", "--queue", "8", "--bn-group", "4"]) == 2
        assert why in capsys.readouterr().err
        assert not (tmp_path / "no").exists()


def test_a_foreign_encoder_goes_through_every_verb(moco, colours, tmp_path, capsys):
    path, _ = moco
    train, test, out = colours("train"), colours("test", seed=1), str(tmp_path / "moco")
    common = [str(path), "--image-size", "32", "--interpolation", "bicubic", "--device", "cpu"]
    assert main(["probe", *common, "--data", str(train), "--test", str(test), "--out", out]) == 0
    assert main(["knn", *common, "--data", str(train), "--test", str(test), "--out", out]) == 0
    sets = ["--sets", f"again={test}", f"small={colours('small', seed=2)}"]
    assert main(["ood", *common, "--head", f"{out}/head.pt", *sets, "--out", out]) == 0
    assert main(["analyze", "similarity", *common, "--data", str(train), "--out", out]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("32 px of a shorter side of 37, bicubic, mean 0.485") == 4
    assert "dropped 1: module.queue" in printed.err
    for name in ("probe", "knn", "ood", "similarity"):
        found = json.loads((tmp_path / "moco" / f"{name}.json").read_text())
        assert found["preprocessing"]["interpolation"] == "bicubic"
        assert found["imported"]["architecture"]["arch"] == "resnet18"

    assert main(["report", out, "--out", str(tmp_path / "report.html")]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert [arm["label"] for arm in report["arms"]] == ["moco"]
    assert "resnet18 of moco.pth.tar" in report["protocol"]["trained elsewhere"]

    other = [str(path), "--image-size", "32", "--head", f"{out}/head.pt", *sets, "--out", out]
    assert main(["ood", *other]) == 2
    assert "was fitted on encoder" in capsys.readouterr().err
    assert main(["ood", *common, "--head", "own", *sets, "--out", out]) == 2
    assert "no linear classifier" in capsys.readouterr().err


def test_a_report_of_a_trained_run_beside_a_foreign_encoder(moco, colours, tmp_path):
    path, _ = moco
    train, test = colours("train"), colours("test", seed=1)
    run = run_pretraining(tiny(train, tmp_path / "run"), log=lambda _: None)
    for checkpoint, out in ((run, run), (path, tmp_path / "foreign")):
        flags = ["--data", str(train), "--test", str(test), "--out", str(out), "--image-size", "16"]
        assert main(["probe", str(checkpoint), *flags]) == 0
    assert main(["report", str(run), str(tmp_path / "foreign"), "--out", str(tmp_path / "r.html")]) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert [arm["label"] for arm in report["arms"]] == [
        "patch size small mirror 3 blend 0.125 α=2",
        "foreign",
    ]
    assert report["settings"]["arch"] == "resnet18"


def test_a_supervised_model_answers_with_its_own_classifier(tmp_path, colours):
    model = randomise(torchvision.models.resnet18(weights=None))
    torch.save(model.state_dict(), tmp_path / "r.pth")
    photos = colours("photos", classes=("red", "green"))
    (photos / "red").rename(photos / "n01440764")
    (photos / "green").rename(photos / "n01443537")
    command = ["ood", str(tmp_path / "r.pth"), "--head", "own", "--sets", f"photos={photos}"]
    assert main([*command, "--image-size", "32", "--out", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out" / "ood.json").read_text())
    assert (len(found["heads"][0]["classes"]), found["sets"][0]["n"], found["sets"][0]["classes"]) == (
        1000,
        24,
        1000,
    )
