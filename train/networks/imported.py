"""Networks from other projects' weights, with a record of how architecture and preprocessing were found."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from math import inf, isfinite
from pathlib import Path
from typing import Any, Literal, NamedTuple

from torch import Tensor, nn

from texneg.errors import InputError
from texneg.train.networks.backbone import Architecture, Network, make_backbone
from texneg.train.networks.foreign import Import, match
from texneg.train.networks.preprocessing import (
    Channels,
    Interpolation,
    Preprocessing,
    Resize,
    read_timm_config,
)
from texneg.train.networks.recognise import Recognised, recognise
from texneg.train.networks.timm_weights import (
    download,
    find_timm_name,
    get_timm_preprocessing,
    read_timm_folder,
)
from texneg.train.networks.weights import Weights, collect_weights, read_weights

OWN_FILES = ("encoder.pt", "checkpoint.pt")  # of a run, the better first
RECORD = "texneg"  # key of our metadata in a safetensors file
HEAD = ("fc.0.weight", "fc.0.bias", "fc.2.weight", "fc.2.bias")  # MoCo-v2's projection
CLASSIFIER = re.compile(r"(_?fc|head|head\.fc|heads\.head|linear|classifier(\.\d)?)\.weight")


@dataclass(frozen=True)
class Foreign:
    """Weights of other projects; what is left out is found from the file, timm, or is ImageNet's usual."""

    arch: str | None = None
    """timm model of the weights; with a tag, as in tf_efficientnet_lite0.in1k, with timm's preprocessing"""
    stem: Literal["standard", "stride1", "stride2", "stride1pad2"] | None = None
    """of a ResNet for small images: stride and padding of its first convolution"""
    part: str | None = None
    """network of a file that has several: the beginning of its keys, such as module.encoder_k"""
    image_size: int | None = None
    """side of the images in pixels"""
    mean: Channels | None = None
    """channel means, of values in 0 ... 1"""
    std: Channels | None = None
    """channel deviations"""
    interpolation: Interpolation | None = None
    """of the resize"""
    crop: float | None = None
    """share of the resized image's shorter side that the centre crop keeps; 0.875: 224 of 256"""
    resize: Resize | None = None
    """torchvision: every image; no-enlargement: take smaller ones as they are (usual up to 64 px)"""

    def change(self, found: Preprocessing) -> Preprocessing:
        """Return a preprocessing with these settings in place of those found.

        Raises:
            InputError: a value outside its range.
        """
        given = {field.name: getattr(self, field.name) for field in fields(Preprocessing)}
        changed = replace(found, **{name: value for name, value in given.items() if value is not None})
        right = changed.image_size >= 1 and 0 < changed.crop <= 1
        if not (right and all(map(isfinite, changed.mean)) and all(0 < value < inf for value in changed.std)):
            raise InputError(
                "--image-size is 1 or more, --crop above 0 and at most 1, --mean a number, --std above 0"
            )
        return changed


@dataclass(frozen=True)
class Imported:
    """Record of turning foreign weights into a network."""

    source: str
    architecture: Architecture
    preprocessing: Preprocessing
    origin: str
    """of the preprocessing, in words"""
    keys: Import | None
    """None for weights that timm itself loaded"""
    classifier: tuple[Tensor, Tensor] | None = None
    """weight and bias of the file's own linear classifier on these features"""
    heads: int | None = None
    """attention heads, where they are not those of timm's model"""
    image_size: int = 224
    """side in pixels that the network was made for"""

    def describe(self) -> list[str]:
        """Lines for the terminal."""
        changed = self.architecture.stem != "standard"
        stem = f", stem {self.architecture.stem}" if changed else ""
        heads = f", {self.heads} attention heads" if self.heads else ""
        return [
            f"{self.source}: {self.architecture.arch}{stem}{heads}",
            *(self.keys.describe() if self.keys else ()),
        ]

    def record(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "source": self.source,
            "image_size": self.image_size,
            "architecture": asdict(self.architecture),
            "heads": self.heads,
            "preprocessing": asdict(self.preprocessing),
            "origin": self.origin,
        }


def import_network(source: str, saved: Any, foreign: Foreign) -> tuple[Network, Imported]:
    """Make the network of foreign weights.

    Args:
        source: a file, a folder that timm saved, or timm:NAME.
        saved: what the file holds, where it has been read.
        foreign: what the user says of it.

    Raises:
        InputError: nothing there, or it does not fit; says how to name the architecture.
    """
    path = Path(source)
    if not path.exists():
        return import_from_timm(source, foreign)
    config: dict[str, Any] = {}
    if path.is_dir():
        config, path = read_timm_folder(path)
    weights = read_weights(path) if saved is None else collect_weights(path, saved)
    recorded = read_record(weights)
    tagged = get_timm_preprocessing(foreign.arch) if foreign.arch and "." in foreign.arch else None
    known = choose_architecture(weights, foreign, recorded, config.get("architecture"))
    preprocessing, origin = Preprocessing(known.image_size), "ImageNet's usual, the file names none"
    if tagged:
        preprocessing, origin = tagged, f"timm's for {foreign.arch}"
    elif recorded and not foreign.arch:
        preprocessing, origin = recorded.preprocessing, "as the file says"
    elif config.get("pretrained_cfg"):
        preprocessing = read_timm_config(config["pretrained_cfg"], known.image_size)
        origin = "as config.json says"
    return assemble(source, weights, known, foreign, preprocessing, origin)


class Record(NamedTuple):
    """Description of a network in the metadata of its file."""

    known: Recognised
    preprocessing: Preprocessing


def read_record(weights: Weights) -> Record | None:
    """Read what `texneg convert` wrote into the metadata of a file; None where there is nothing.

    Raises:
        InputError: it is damaged.
    """
    text = (weights.metadata or {}).get(RECORD)
    if text is None:
        return None
    try:
        found = json.loads(text)
        architecture = Architecture(**with_tuples(found["architecture"]))
        known = Recognised(architecture, int(found["image_size"]), found["heads"])
        return Record(known, Preprocessing(**with_tuples(found["preprocessing"])))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{weights.path}: its metadata describes no network as this version of texneg does; make the file"
            " again with texneg convert"
        ) from error


def with_tuples(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the lists of JSON into the tuples of a frozen dataclass."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}


def choose_architecture(
    weights: Weights, foreign: Foreign, recorded: Record | None, named: str | None
) -> Recognised:
    """Take the architecture from --arch, the file's own record, a name beside the weights, or the weights.

    Raises:
        InputError: timm has no such model, or none is recognised.
    """
    import timm

    if recorded and not foreign.arch:
        return recorded.known
    arch = foreign.arch or named or weights.arch
    if arch is None or (not foreign.arch and not timm.is_model(arch)):
        return recognise(weights, part=foreign.part, stem=foreign.stem)
    architecture = Architecture(arch, stem=foreign.stem or "standard", bn="none")
    if not timm.is_model(arch):
        make_backbone(architecture, 224)  # which says what is near
    small = architecture.stem != "standard"
    size = 32 if small else (timm.get_pretrained_cfg_value(arch, "input_size") or (3, 224, 224))[-1]
    return Recognised(architecture, size)


def assemble(
    source: str,
    weights: Weights,
    known: Recognised,
    foreign: Foreign,
    preprocessing: Preprocessing,
    origin: str,
) -> tuple[Network, Imported]:
    """Match the weights with the architecture, and load them with the projection head of MoCo-v2."""
    preprocessing = foreign.change(preprocessing)
    if any(getattr(foreign, field.name) is not None for field in fields(Preprocessing)):
        origin += ", with flags"
    architecture, side = known.architecture, preprocessing.image_size
    target = make_backbone(architecture, side)
    keys = match(weights, target.state_dict(), arch=architecture.arch, part=foreign.part)
    on_top = [name for name in keys.dropped if name.startswith(f"{keys.part}fc.")]
    head = {name.removeprefix(keys.part): weights.tensors[name] for name in on_top}
    projected = sorted(head) == sorted(HEAD)
    if projected:
        hidden, dim = len(head["fc.0.weight"]), len(head["fc.2.weight"])
        architecture = replace(architecture, hidden=hidden, dim=dim)
    network = Network(architecture, side, "moco" if projected else "none")
    if known.heads:
        set_attention_heads(network.backbone, known.heads)
    load_backbone(network.backbone, keys)
    if projected:
        network.head.load_state_dict(head)
        taken = {keys.part + name for name in HEAD}
        keys = replace(
            keys,
            matched={**keys.matched, **{f"head.{name}": keys.part + name for name in HEAD}},
            dropped=tuple(name for name in keys.dropped if name not in taken),
        )
    classifier = find_classifier(weights, keys, network.features)
    keys = replace(keys, tensors={})  # the network has them
    return network, Imported(
        source, architecture, preprocessing, origin, keys, classifier, known.heads, network.image_size
    )


def load_backbone(backbone: nn.Module, keys: Import) -> None:
    """Load matched tensors; counters that are missing begin at 0."""
    backbone.load_state_dict({**backbone.state_dict(), **keys.tensors})


def find_classifier(weights: Weights, keys: Import, features: int) -> tuple[Tensor, Tensor] | None:
    """Find the linear classifier that a file has on the features of the backbone it was taken from."""
    for name in keys.dropped:
        short, value = name.removeprefix(keys.part), weights.tensors[name]
        bias = weights.tensors.get(name.removesuffix("weight") + "bias")
        if (
            CLASSIFIER.fullmatch(short)
            and value.ndim == 2
            and value.shape[1] == features
            and bias is not None
        ):
            return value.float(), bias.float()
    return None


def set_attention_heads(backbone: nn.Module, heads: int) -> None:
    """Change the number of attention heads of a vision transformer, which its weights do not show."""
    made: Any = backbone
    for block in made.blocks:
        attention = block.attn
        attention.head_dim = attention.head_dim * attention.num_heads // heads
        attention.num_heads, attention.scale = heads, attention.head_dim**-0.5


def import_from_timm(source: str, foreign: Foreign) -> tuple[Network, Imported]:
    """Make a network with weights that timm downloads, or has downloaded before.

    Raises:
        InputError: timm has no such model or weights, or they cannot be had.
    """
    name = find_timm_name(source)
    if foreign.arch or foreign.stem or foreign.part is not None:
        raise InputError(f"--arch, --stem and --part are for files of weights; {source} is a model by name")
    preprocessing = foreign.change(get_timm_preprocessing(name))
    network = Network(Architecture(name, bn="none"), preprocessing.image_size, "none")
    weights = download(name, preprocessing.image_size)
    keys = match(weights, network.backbone.state_dict(), arch=name)
    load_backbone(network.backbone, keys)
    classifier = find_classifier(weights, keys, network.features)
    keys = replace(keys, tensors={})  # the network has them
    return network, Imported(
        source, network.architecture, preprocessing, f"timm's for {name}", keys, classifier, None,
        network.image_size,
    )  # fmt: skip


def start_from(source: str, backbones: Sequence[nn.Module], a: Architecture, image_size: int) -> Import:
    """Load weights into backbones of one architecture; returns what was matched, dropped and missing.

    Args:
        source: a run folder, a file of texneg or of another project, a folder that timm saved, or timm:NAME.
        backbones: those to begin with these weights, on the CPU.
        a: their architecture, for messages.
        image_size: of the training, in pixels.

    Raises:
        InputError: there are no such weights, they do not fit, or are not finite.
    """
    path = Path(source)
    if path.is_dir():
        runs = [path / name for name in OWN_FILES if (path / name).is_file()]
        path = runs[0] if runs else read_timm_folder(path)[1]
    weights = read_weights(path) if path.exists() else download(find_timm_name(source), image_size)
    try:
        keys = match(weights, backbones[0].state_dict(), arch=a.arch)
    except InputError as error:
        what = str(error).rpartition(";")[0]  # whose remedy is flags for files
        raise InputError(
            f"--init {what}; give the --arch, --stem, --width and --layers of these weights, or other weights"
        ) from error
    if lost := [name for name, value in keys.tensors.items() if not value.isfinite().all()]:
        raise InputError(f"--init {source}: holds numbers that are not finite (first in {lost[0]})")
    for backbone in backbones:
        load_backbone(backbone, keys)
    return keys
