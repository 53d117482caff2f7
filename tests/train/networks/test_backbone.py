"""Backbones of every timm family at the image sizes people train at."""

import pytest
import torch
from torch import nn

from texneg.cli.main import main
from texneg.errors import InputError
from texneg.train.networks.backbone import Architecture, Network, count_features, initial_weights

SIDES = (32, 64, 224)

# The smallest model of every family of timm with at most six million parameters.
FAMILIES = [
    "vit_tiny_patch16_224",
    "mobileone_s1",
    "coat_tiny",
    "convit_tiny",
    "convnext_zepto_rms",
    "cpubone_nano",
    "cs3darknet_focus_s",
    "cspnext_tiny",
    "deit_tiny_patch16_224",
    "dla46x_c",
    "ese_vovnet19b_slim_dw",
    "resnet10t",
    "edgenext_xx_small",
    "efficientformerv2_s0",
    "mobilenetv2_035",
    "efficientvim_m1",
    "efficientvit_b0",
    "efficientvit_m0",
    "vit_tiny_patch16_dinov3_qkvb",
    "fasternet_t0",
    "fastvit_t8",
    "lcnet_035",
    "ghostnet_050",
    "gmlp_ti16_224",
    "hardcorenas_b",
    "hgnetv2_b0",
    "iformer_t",
    "inception_next_atto",
    "lcnetv2_small",
    "mobilevit_xxs",
    "pit_ti_224",
    "pvt_v2_b0",
    "regnetx_002",
    "repghostnet_050",
    "repvit_m1",
    "rexnet_100",
    "shvit_s1",
    "starnet_s050",
    "swiftformer_xs",
    "tiny_vit_5m_224",
    "vit_tiny_r_s16_p8_224",
    "xcit_nano_12_p8_224",
]


@pytest.mark.parametrize("arch", FAMILIES)
def test_every_family_trains_at_every_size_without_random_state(arch):
    import timm

    if not timm.is_model(arch):
        pytest.skip("this timm has no such model")
    for side in SIDES:
        with initial_weights(0):
            network = Network(Architecture(arch, dim=6, hidden=8), side).train()
        x = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1))
        before = torch.get_rng_state()
        z = network(x)
        assert torch.equal(torch.get_rng_state(), before)
        assert z.shape == (2, 6) and z.isfinite().all()
        assert network.head.fc[0].in_features == network.features
        z.sum().backward()
        assert sum(p.grad is not None for p in network.parameters()) > 10


@pytest.mark.parametrize("arch", ["swin_tiny_patch4_window7_224", "mixer_s32_224", "coatnet_nano_rw_224"])
def test_models_made_for_one_size_take_another(arch):
    with torch.no_grad():
        assert Network(Architecture(arch, dim=6, hidden=8), 64)(torch.zeros(2, 3, 64, 64)).shape == (2, 6)


@pytest.mark.parametrize(
    ("arch", "side", "fits"),
    [("vit_tiny_patch16_224", 8, 224), ("efficientformer_l1", 64, 224), ("crossvit_tiny_240", 32, 240)],
)
def test_a_size_that_does_not_fit_is_refused_with_one_that_does(arch, side, fits):
    with pytest.raises(InputError, match=f"(?s)^--arch {arch} .*--image-size {side} .*--image-size {fits}"):
        Network(Architecture(arch, dim=6, hidden=8), side)
    Network(Architecture(arch, dim=6, hidden=8), fits)


@pytest.mark.parametrize(("arch", "side"), [("vit_tiny_patch16_224", 40), ("mixer_s32_224", 72)])
def test_a_size_whose_edge_is_not_seen_is_refused(arch, side):
    with pytest.raises(InputError, match=f"last 8 rows and columns of --image-size {side}: .* {side - 8} or"):
        Network(Architecture(arch, dim=6, hidden=8), side)


def test_a_model_without_a_vector_of_features_is_refused():
    with pytest.raises(InputError, match="not one vector of features"):
        count_features(nn.Identity(), "resnet18", 8)


def test_a_run_that_cannot_begin_leaves_no_folder(tmp_path, photos, capfd):
    out = tmp_path / "run"
    words = f"moco_v2_imagenet100 --data {photos} --out {out} --queue 4 --batch 4 --bn none"
    assert main(["pretrain", *words.split(), "--arch", "vit_tiny_patch16_224", "--image-size", "8"]) == 2
    err = capfd.readouterr().err.strip().splitlines()
    assert "--image-size 224" in err[-1] and "Traceback" not in "".join(err)
    assert not out.exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"arch": "resnet_nope"}, "no such model"),
        ({"arch": "vit_tiny_patch16_224", "width": 8, "stem": "stride1"}, "change ResNets only"),
        ({"arch": "resnet18", "width": 8}, "--stem stride1 or stride2"),
    ],
)
def test_wrong_architectures_are_named(wrong, message):
    with pytest.raises(InputError, match=message):
        Network(Architecture(**wrong), 32)


def test_an_unknown_head_is_no_other_head():
    with pytest.raises(KeyError, match="swav"):
        Network(Architecture("resnet18"), 32, "swav")


def test_small_stem_of_full_width_has_the_usual_shapes():
    with initial_weights(0):
        network = Network(Architecture("resnet18", stem="stride1"), 32)
    assert network.backbone.conv1.weight.shape == (64, 3, 3, 3)
    assert network.features == 512
    maps = network.backbone.forward_features(torch.zeros(1, 3, 32, 32))
    assert maps.shape == (1, 512, 4, 4)
    assert {"head.fc.0.weight", "head.fc.2.bias"} <= set(network.state_dict())


def zero_scales(arch, **options):
    with initial_weights(0):
        network = Network(Architecture(arch, dim=6, hidden=8, **options), 32)
    scales = {name: value for name, value in network.backbone.state_dict().items() if value.ndim == 1}
    return [name for name, value in scales.items() if name.endswith("weight") and not value.any()]


@pytest.mark.parametrize(
    ("arch", "blocks"), [("resnet18", 8), ("resnet50", 16), ("regnetx_002", 13), ("repvit_m1", 26)]
)
def test_blocks_begin_as_the_identity_only_where_it_is_asked_for(arch, blocks):
    """Those of torchvision, and of the papers, do not; timm's do."""
    assert zero_scales(arch) == []
    assert len(zero_scales(arch, zero_init_last=True)) == blocks


def test_zero_scales_of_a_changed_resnet_are_reset_as_well():
    small = {"stem": "stride2", "width": 8, "layers": (1, 1, 1, 1)}
    assert zero_scales("resnet18", **small) == []
    assert zero_scales("resnet18", zero_init_last=True, **small) == [
        f"layer{i}.0.bn2.weight" for i in range(1, 5)
    ]


def test_the_other_initial_weights_are_the_same_with_and_without_zero_scales():
    states = []
    for zeros in (False, True):
        with initial_weights(0):
            states.append(Network(Architecture("resnet18", zero_init_last=zeros), 32).state_dict())
    differing = [name for name, value in states[0].items() if not torch.equal(value, states[1][name])]
    assert len(differing) == 8 and all(name.endswith("bn2.weight") for name in differing)
