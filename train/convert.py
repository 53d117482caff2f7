"""`texneg convert`: any encoder to a file of safetensors under timm's or torchvision's names."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from texneg.cli import console
from texneg.cli.fields import Positional
from texneg.datasets.storage.atomic import write_bytes, write_errors
from texneg.datasets.storage.places import require_folder
from texneg.errors import InputError
from texneg.train.networks.encoder import Encoder, load_encoder
from texneg.train.networks.foreign import to_torchvision
from texneg.train.networks.imported import RECORD, Foreign

TORCHVISION = {  # timm's name: torchvision's, where the same model has another one
    "vit_base_patch16_224": "vit_b_16",
    "vit_base_patch32_224": "vit_b_32",
    "vit_large_patch16_224": "vit_l_16",
    "vit_large_patch32_224": "vit_l_32",
    "mobilenetv2_100": "mobilenet_v2",
    "mnasnet_100": "mnasnet1_0",
}


@dataclass(frozen=True)
class ConvertConfig:
    """Read an encoder of texneg, MoCo, timm, torchvision, lightly or solo-learn; write its backbone."""

    checkpoint: Positional[str]
    """run folder, encoder.pt, file of another project's weights, or timm:NAME"""
    out: str
    """file to write, ending in .safetensors"""
    names: Literal["timm", "torchvision"] = "timm"
    """names of the weights"""
    classifier: bool = False
    """keep the linear classifier, which a supervised model has"""
    keys: bool = False
    """list every key, not only groups of them"""
    foreign: Foreign = Foreign()


def convert(config: ConvertConfig) -> int:
    """Write the file, and say what was matched, dropped and missing and how to load it."""
    out = Path(config.out)
    if out.suffix != ".safetensors":
        raise InputError(f"--out {config.out}: the file must end in .safetensors")
    require_folder(out.parent, "--out")
    if out.exists() and Path(config.checkpoint).exists() and out.samefile(config.checkpoint):
        raise InputError(f"--out {config.out}: is the file to read, which would be lost; name another")
    encoder = load_encoder(config.checkpoint, foreign=config.foreign)
    for line in describe_keys(encoder, in_full=config.keys):
        console.out(line)
    console.out(f"images: {encoder.preprocessing.describe()}")
    tensors = collect_tensors(encoder, classifier=config.classifier)
    if config.names == "torchvision":
        tensors = rename(encoder, tensors)
    write_encoder(out, encoder, tensors)
    console.out(f"{out}: {len(tensors)} tensors; {how_to_load(encoder, config)}")
    return 0


def write_encoder(out: Path, encoder: Encoder, tensors: Mapping[str, Tensor]) -> None:
    """Write weights with architecture and preprocessing, so that texneg reads them without flags."""
    from safetensors.torch import save

    content = {name: value.contiguous() for name, value in tensors.items()}
    metadata = {"format": "pt", RECORD: json.dumps(describe(encoder), sort_keys=True)}
    with write_errors(out, "it begins anew"):
        write_bytes(out, sort_metadata(save(content, metadata)))


def sort_metadata(saved: bytes) -> bytes:
    """Sort the metadata of a safetensors file, whose order is random otherwise: the same bytes each time."""
    end = 8 + int.from_bytes(saved[:8], "little")
    header = json.loads(saved[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + saved[end:]


def describe_keys(encoder: Encoder, *, in_full: bool) -> list[str]:
    """Lines on what was read: groups of keys, or every key."""
    imported = encoder.imported
    if imported is None:
        left_out = len(encoder.network.head.state_dict())
        return [
            f"a run of texneg: {encoder.network.architecture.arch}; its head ({left_out} keys) is dropped"
        ]
    if not in_full or imported.keys is None:
        return imported.describe()
    keys = imported.keys
    matched = [f"matched {source} -> {name}" for name, source in keys.matched.items()]
    rest = [f"dropped {name}" for name in keys.dropped] + [f"missing {name}" for name in keys.missing]
    return [*imported.describe(), *matched, *rest]


def collect_tensors(encoder: Encoder, *, classifier: bool) -> dict[str, Tensor]:
    """Collect the weights of the backbone by timm's names, and those of the classifier if asked for.

    Raises:
        InputError: there is no classifier.
    """
    import timm

    made: Any = encoder.network.backbone
    tensors: dict[str, Tensor] = dict(made.state_dict())
    if not classifier:
        return tensors
    arch = encoder.network.architecture.arch
    name = timm.get_pretrained_cfg_value(arch, "classifier")
    found = encoder.imported and encoder.imported.classifier
    if not found or not isinstance(name, str):
        raise InputError("--classifier: these weights have no linear classifier; leave it out")
    return tensors | {f"{name}.weight": found[0], f"{name}.bias": found[1]}


def rename(encoder: Encoder, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give the weights torchvision's names.

    Raises:
        InputError: torchvision has no such model.
    """
    from torchvision.models import get_model, list_models

    arch = encoder.network.architecture.arch.partition(".")[0]
    name = TORCHVISION.get(arch, arch)
    if name not in list_models():
        raise InputError(f"--names torchvision: torchvision has no {arch}; use --names timm")
    if arch.startswith(("resnet", "resnext", "wide_resnet")):
        return dict(tensors)  # timm took its names over
    options = {"image_size": encoder.network.image_size} if name.startswith("vit") else {}
    if len(tensors) > len(encoder.network.backbone.state_dict()):
        options["num_classes"] = len(list(tensors.values())[-1])
    made: Any = get_model(name, weights=None, **options)
    renamed = to_torchvision(tensors, made.state_dict())
    if len(renamed) < len(tensors):
        raise InputError(f"--names torchvision: its {name} has other weights than timm's; use --names timm")
    return renamed


def describe(encoder: Encoder) -> dict[str, Any]:
    """Describe an encoder for the metadata of its file, from which texneg reads it again."""
    return {
        "architecture": asdict(replace(encoder.network.architecture, hidden=None, init=None)),
        "image_size": encoder.network.image_size,
        "heads": encoder.imported.heads if encoder.imported else None,
        "preprocessing": asdict(encoder.preprocessing),
    }


def how_to_load(encoder: Encoder, config: ConvertConfig) -> str:
    """Write the Python that makes a model of the file."""
    a, heads = encoder.network.architecture, encoder.imported.heads if encoder.imported else None
    if a.stem != "standard" or a.width != 64:
        return f"load it with texneg: timm and torchvision have no {a.arch} of stem {a.stem}, width {a.width}"
    arch, file = a.arch, config.out
    if config.names == "torchvision":
        what = "" if config.classifier else " without its classifier (nn.Identity() in its place)"
        return f"torchvision's {TORCHVISION.get(arch, arch)}{what} loads it with strict=True"
    import timm

    usual = (timm.get_pretrained_cfg_value(arch, "input_size") or (3, 224, 224))[-1]
    size = encoder.network.image_size
    options = [
        "" if config.classifier else ", num_classes=0",
        f", layers={a.layers}" if a.layers else "",
        f", img_size={size}" if arch.startswith("vit") and size != usual else "",
        f", num_heads={heads}" if heads else "",
    ]
    return f'timm.create_model("{arch}"{"".join(options)}, checkpoint_path="{file}")'
