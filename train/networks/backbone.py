"""A timm backbone with a projection head, as MoCo-v2 and BYOL use it.

Shapes: N batch, S image side, F features, D embedding.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from texneg.errors import InputError, describe_error
from texneg.philox.arrays import fold
from texneg.philox.streams import Stream
from texneg.train.options import later

BYOL_HIDDEN = 4096
WIDEST = 65536  # units of a layer


@dataclass(frozen=True)
class Architecture:
    """Backbone, head and batch norm."""

    arch: str = "resnet50"
    """Backbone: the name of a timm model."""
    stem: Literal["standard", "stride1", "stride2", "stride1pad2"] = "standard"
    """ResNet stem: 7x7 with max-pool; for small images one 3x3 of stride 1 or 2 without max-pool, padded by 1
    or, as in solo-learn, by 2."""
    width: int = 64
    """Channels of a ResNet's first stage, even; other than 64 needs a small-image stem."""
    layers: tuple[int, int, int, int] | None = None
    """Blocks of a ResNet's four stages; None: those of the model."""
    init: str | None = later(None)
    """Weights for the backbone to start from, the head being new: a run folder, a file of timm, torchvision,
    official MoCo and the like, or timm:NAME. None: random ones."""
    dim: int = 128
    """Dimensions of the embedding."""
    hidden: int | None = None
    """Hidden units of the heads; None: the number of features, or 4096 (BYOL)."""
    bn: Literal["none", "shuffle", "split", "sync", "frozen"] = "split"
    """Batch norm. none: as in the backbone; shuffle: keys shuffled over the processes; split: statistics of
    groups of images, keys shuffled over the groups (works in one process); sync: statistics of all
    processes; frozen: the backbone normalises by the statistics that --init brought."""
    bn_group: int = 32
    """Images of a group, for --bn split."""
    zero_init_last: bool = False
    """Begin with a scale of 0 in the last batch norm of each residual block, where timm does so: a block
    begins as the identity."""

    def check(self, batch: int, world: int) -> None:
        """Refuse values outside their range, and batch norm that does not fit the batch.

        Args:
            batch: images that all processes pass at once.
            world: number of processes.

        Raises:
            InputError: naming the flag and what it may be.
        """
        if not (1 <= self.dim <= WIDEST and 1 <= (self.hidden or 1) <= WIDEST and self.hidden != 0):
            raise InputError(f"--dim and --hidden: 1 to {WIDEST}")
        if self.width > WIDEST:
            raise InputError(f"--width {self.width}: at most {WIDEST} channels")
        if self.layers is not None and min(self.layers) < 1:
            raise InputError(f"--layers {self.layers}: four numbers of 1 or more")
        if self.init == "":
            raise InputError("--init: name a run folder, a file of weights or timm:NAME, or leave it out")
        if self.bn_group < 2:
            raise InputError(f"--bn-group {self.bn_group}: at least 2 images")
        if self.bn == "shuffle" and world == 1:
            raise InputError("--bn shuffle: in one process shuffling changes no statistic; use --bn split")
        if self.bn == "frozen" and self.init is None:
            raise InputError(
                "--bn frozen keeps the statistics of --init; name weights to start from, or use another --bn"
            )
        local = batch // world
        if self.bn == "split" and local % self.bn_group != 0:
            raise InputError(
                f"--bn-group {self.bn_group}: must divide the {local} images of a process, or with"
                " --accumulate of a part of them"
            )


def make_backbone(a: Architecture, image_size: int) -> nn.Module:
    """Make the timm model without classifier, (N, 3, S, S) to (N, F), for images of this side.

    The small-image stems are one 3x3 convolution of stride 1 (the usual one for 32 px) or 2, without
    max-pool. Dropout and stochastic depth are off, so that training needs no random state.

    Raises:
        InputError: an unknown model, ResNet options for another kind of model, or a model that cannot be made
            for this image size.
    """
    import timm  # with torchvision, half of the start of a command

    if not timm.is_model(a.arch):
        close = ", ".join(get_close_matches(a.arch, timm.list_models(), n=5)) or "resnet18, resnet50"
        raise InputError(f"--arch {a.arch}: timm has no such model; near it are: {close}")
    if a.stem == "standard" and a.width == 64 and a.layers is None:
        with refusals(a.arch, image_size):
            model = create_for_size(a.arch, image_size)
    else:
        model = make_resnet(a)
    switch_off_dropout(model)
    if not a.zero_init_last:
        reset_zero_scales(model)
    return model


def create_for_size(arch: str, image_size: int) -> nn.Module:
    """Create a timm model, for this image size if models of its kind are made for one."""
    import timm

    try:
        return timm.create_model(arch, pretrained=False, num_classes=0, img_size=image_size)
    except TypeError as error:
        if "img_size" not in str(error):
            raise
    return timm.create_model(arch, pretrained=False, num_classes=0)


def make_resnet(a: Architecture) -> nn.Module:
    """Make a ResNet with another stem, width or number of blocks."""
    import timm

    if not a.arch.startswith("resnet"):
        raise InputError(
            f"--stem, --width and --layers change ResNets only, not {a.arch}; use --arch resnet18"
        )
    if a.width % 2 or a.width < 2 or (a.width != 64 and a.stem == "standard"):
        raise InputError(f"--width {a.width}: an even number, with --stem stride1 or stride2")
    options: dict[str, object] = {} if a.layers is None else {"layers": a.layers}
    if a.stem == "standard":
        return timm.create_model(a.arch, pretrained=False, num_classes=0, **options)
    # timm's deep stem is the one whose channels can be chosen; its convolutions and pooling are replaced.
    channels = tuple(a.width << stage for stage in range(4))
    options |= {"channels": channels, "stem_type": "deep", "stem_width": a.width // 2}
    model = timm.create_model(a.arch, pretrained=False, num_classes=0, **options)
    stride, padding = 2 if a.stem == "stride2" else 1, 2 if a.stem == "stride1pad2" else 1
    model.conv1 = nn.Conv2d(3, a.width, 3, stride=stride, padding=padding, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()
    return model


@torch.no_grad()
def reset_zero_scales(model: nn.Module) -> None:
    """Set the scales of every batch norm that begins with zeros to 1, as in torchvision, in place.

    timm writes zeros into the last batch norm of each residual block, so that blocks begin as the identity.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.affine and not module.weight.any():
            nn.init.ones_(module.weight)


def switch_off_dropout(model: nn.Module) -> None:
    """Set every probability of dropout and stochastic depth to 0, in place."""
    for module in model.modules():
        names = ("p",) if isinstance(module, _DropoutNd) else ("drop", "drop_prob", "drop_rate")
        for name in names:
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def count_features(backbone: nn.Module, arch: str, image_size: int) -> int:
    """Return F, the width of the features, as a pass of one image shows it.

    Raises:
        InputError: the model cannot take images of this size, leaves out their edge, or gives no vector an
            image.
    """
    from timm.layers import PatchEmbed

    with refusals(arch, image_size):
        features = pass_one_image(backbone, image_size)
    cuts = (module for module in backbone.modules() if isinstance(module, PatchEmbed))
    side = max((max(cut.patch_size) for cut in cuts if not cut.dynamic_img_pad), default=1)
    if image_size % side:
        fits = image_size // side * side
        raise InputError(
            f"--arch {arch} leaves out the last {image_size % side} rows and columns of --image-size"
            f" {image_size}: use a multiple of its patches, such as {fits} or {fits + side}"
        )
    if not (isinstance(features, Tensor) and features.ndim == 2):
        given = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise InputError(
            f"--arch {arch}: gives {given} for one image, not one vector of features; use another model"
        )
    return features.shape[1]


@torch.no_grad()
def pass_one_image(network: nn.Module, image_size: int) -> Any:
    """Return the output for one black image, in eval mode, which changes nothing of the network."""
    training, like = network.training, next(network.parameters(), torch.empty(0))
    try:
        return network.eval()(like.new_zeros(1, 3, image_size, image_size))
    finally:
        network.train(training)


@contextmanager
def refusals(arch: str, image_size: int) -> Iterator[None]:
    """Turn an exception of a foreign model, of whatever type, into one line that names the remedy."""
    import timm

    try:
        yield
    except Exception as error:
        made_for = timm.get_pretrained_cfg_value(arch, "input_size") or (3, 224, 224)
        reason = describe_error(error)
        remedy = (
            "use another --arch"
            if made_for[-1] == image_size
            else (f"try --image-size {made_for[-1]}, the size it is made for, or another --arch")
        )
        raise InputError(
            f"--arch {arch} does not take images of --image-size {image_size} ({reason}); {remedy}"
        ) from error


class Projection(nn.Module):
    """MoCo-v2's head F-F-D under its official names `fc.0` and `fc.2`: linear, ReLU, linear, no BN."""

    def __init__(self, features: int, hidden: int, dim: int) -> None:
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, dim))

    def forward(self, x: Tensor) -> Tensor:
        """(N, F) to (N, D)."""
        return self.fc(x)


def make_byol_mlp(features: int, hidden: int, dim: int) -> nn.Sequential:
    """Make BYOL's projector or predictor (Grill et al., NeurIPS 2020): linear, BN, ReLU, linear, no BN."""
    return nn.Sequential(
        nn.Linear(features, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, dim)
    )


def make_linear(features: int, hidden: int, dim: int) -> nn.Linear:
    """Make the head of instance discrimination (Wu et al., CVPR 2018): one linear layer."""
    return nn.Linear(features, dim)


def make_simclr_mlp(features: int, hidden: int, dim: int) -> nn.Sequential:
    """Make the projector of SimCLR and SiMo: linear, BN, ReLU, linear, BN; the linear layers have no bias."""
    return nn.Sequential(
        nn.Linear(features, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, dim, bias=False),
        nn.BatchNorm1d(dim),
    )


class Network(nn.Module):
    """Backbone and projection head (moco, byol, simclr, linear, none): (N, 3, S, S) to raw (N, D)."""

    def __init__(self, a: Architecture, image_size: int, head: str = "moco") -> None:
        super().__init__()
        self.architecture, self.image_size, self.head_name = a, image_size, head
        self.backbone = make_backbone(a, image_size)
        self.features = count_features(self.backbone, a.arch, image_size)
        heads: dict[str, tuple[Callable[[int, int, int], nn.Module], int]] = {
            "moco": (Projection, self.features),
            "byol": (make_byol_mlp, BYOL_HIDDEN),
            "simclr": (make_simclr_mlp, self.features),
            "linear": (make_linear, 0),
            "none": (nn.Identity, self.features),
        }
        make_head, hidden = heads[head]
        self.head = make_head(self.features, a.hidden or hidden, a.dim)

    def train(self, mode: bool = True) -> "Network":
        """Set the mode of all parts, except that frozen batch norms always normalise as in evaluation."""
        super().train(mode)
        if self.architecture.bn == "frozen":
            for part in self.backbone.modules():
                if isinstance(part, _BatchNorm):
                    part.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Embed normalised float images."""
        return self.head(self.backbone(images))


@contextmanager
def initial_weights(seed: int) -> Iterator[None]:
    """Make weights on the CPU in this block a function of the seed alone; the global generator is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(fold(seed, Stream.NETWORK))
        yield
