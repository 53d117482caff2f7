"""The architecture of foreign weights, found from their names and shapes: ResNets and vision transformers."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from texneg.errors import InputError
from texneg.train.networks.backbone import Architecture
from texneg.train.networks.foreign import describe_part, follows, to_timm
from texneg.train.networks.weights import Weights

RESNETS = {  # bottlenecks, blocks of each stage, channels of a block's first convolution, groups
    (False, (2, 2, 2, 2), 64, 1): "resnet18",
    (False, (3, 4, 6, 3), 64, 1): "resnet34",
    (True, (2, 2, 2, 2), 64, 1): "resnet26",
    (True, (3, 4, 6, 3), 64, 1): "resnet50",
    (True, (3, 4, 23, 3), 64, 1): "resnet101",
    (True, (3, 8, 36, 3), 64, 1): "resnet152",
    (True, (3, 4, 6, 3), 128, 1): "wide_resnet50_2",
    (True, (3, 4, 23, 3), 128, 1): "wide_resnet101_2",
    (True, (3, 4, 6, 3), 128, 32): "resnext50_32x4d",
    (True, (3, 4, 23, 3), 256, 32): "resnext101_32x8d",
    (True, (3, 4, 23, 3), 256, 64): "resnext101_64x4d",
}
VITS = {192: "tiny", 384: "small", 768: "base", 1024: "large", 1280: "huge"}  # by channels
MOCO_V3_HEADS = 12  # of its small transformer, where timm's has 6
ANCHORS = ("conv1.weight", "0.weight", "patch_embed.proj.weight", "conv_proj.weight")


@dataclass(frozen=True)
class Recognised:
    """An architecture as its weights show it."""

    architecture: Architecture
    image_size: int
    """side in pixels that it is made for"""
    heads: int | None = None
    """attention heads, where they are not those of timm's model"""


def recognise(weights: Weights, *, part: str | None, stem: str | None) -> Recognised:
    """Recognise the architecture of a file's weights.

    Args:
        weights: the file.
        part: prefix of the names to look at; None for all.
        stem: of a ResNet for small images, whose stride no weight tells.

    Raises:
        InputError: it is neither a ResNet nor a vision transformer of timm; asks for --arch.
    """
    prefixes = {
        name.removesuffix(anchor)
        for name in weights.tensors
        for anchor in ANCHORS
        if name == anchor or name.endswith(f".{anchor}")
    }
    for prefix in sorted(prefixes, key=lambda prefix: (follows(prefix), len(prefix), prefix)):
        if part is not None and prefix.rstrip(".") != part.rstrip("."):
            continue
        own = {name.removeprefix(prefix): name for name in weights.tensors if name.startswith(prefix)}
        tensors = {new: weights.tensors[own[name]] for name, new in to_timm(list(own)).items()}
        if "layer1.0.conv2.weight" in tensors and "conv1.weight" in tensors:
            return recognise_resnet(tensors, weights, stem)
        if "blocks.0.attn.qkv.weight" in tensors:
            return recognise_vit(tensors, weights, prefix)
    looked = f" under {describe_part(part)!r}" if part else ""
    raise InputError(
        f"{weights.path}: no architecture is recognised{looked} ({', '.join(list(weights.tensors)[:3])},"
        " ...); name the timm model with --arch"
    )


def recognise_resnet(tensors: Mapping[str, Tensor], weights: Weights, stem: str | None) -> Recognised:
    """Recognise a ResNet by its blocks, their width and groups, and the size of its first convolution."""
    counts = dict.fromkeys(range(1, 5), 0)
    for name in tensors:
        if found := re.match(r"layer([1-4])\.(\d+)\.conv1\.weight$", name):
            counts[int(found[1])] = max(counts[int(found[1])], int(found[2]) + 1)
    layers = (counts[1], counts[2], counts[3], counts[4])
    first, bottleneck = tensors["layer1.0.conv2.weight"], "layer1.0.conv3.weight" in tensors
    width, groups = first.shape[0], first.shape[0] // first.shape[1]
    known = RESNETS.get((bottleneck, layers, width, groups))
    small = tensors["conv1.weight"].shape[-1] == 3
    if small and stem in (None, "standard"):
        raise InputError(
            f"{weights.path}: its first convolution is 3x3, a stem for small images, whose stride no weight"
            " tells; add --stem stride1 (the usual one), --stem stride1pad2 (solo-learn's for CIFAR) or"
            " --stem stride2"
        )
    chosen: Any = stem if small else "standard"
    if known:
        architecture = Architecture(known, stem=chosen, bn="none")
    elif groups == 1 and width % 2 == 0 and min(layers) > 0 and (small or width == 64):
        arch = "resnet50" if bottleneck else "resnet18"
        architecture = Architecture(arch, stem=chosen, width=width, layers=layers, bn="none")
    else:
        raise InputError(
            f"{weights.path}: a ResNet of {layers} blocks, {width} channels and {groups} groups is not"
            " recognised; name the timm model with --arch"
        )
    return Recognised(architecture, 32 if small else 224)


def recognise_vit(tensors: Mapping[str, Tensor], weights: Weights, prefix: str) -> Recognised:
    """Recognise timm's plain vision transformers by channels, patches, depth and positions."""
    width, _, patch, _ = tensors["patch_embed.proj.weight"].shape
    depth = len({found[1] for name in tensors if (found := re.match(r"blocks\.(\d+)\.", name))})
    unusual = [
        name
        for name in tensors
        if re.search(r"\.ls\d\.|\.[qk]_norm\.|^(reg_token|dist_token|norm_pre\.|fc_norm\.)", name)
    ]
    arch = f"vit_{VITS.get(width, 'unknown')}_patch{patch}_224"
    import timm

    usual = {192: 12, 384: 12, 768: 12, 1024: 24, 1280: 32}.get(width) == depth and "cls_token" in tensors
    if unusual or not usual or not timm.is_model(arch):
        more = f", with {unusual[0]}" if unusual else ""
        raise InputError(
            f"{weights.path}: a vision transformer of {width} channels, {depth} blocks and patches of {patch}"
            f" px{more} is not recognised; name the timm model with --arch"
        )
    side = math.isqrt(tensors["pos_embed"].shape[1] - 1) * patch
    heads = MOCO_V3_HEADS if width == 384 and "base_encoder." in prefix else None
    return Recognised(Architecture(arch, bn="none"), side, heads)
