"""Weights that timm knows by name, folders that it saved, and its preprocessing."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from texneg.datasets.storage.json_files import read_json
from texneg.errors import InputError, describe_error
from texneg.train.networks.preprocessing import Preprocessing, read_timm_config
from texneg.train.networks.weights import Weights

TIMM = "timm:"


def find_timm_name(source: str) -> str:
    """Return the name of a timm model that was given in place of a file.

    Raises:
        InputError: timm has no such model.
    """
    import timm

    name = source.removeprefix(TIMM)
    if not timm.is_model(name):
        raise InputError(
            f"no checkpoint at {source}; give a run folder or its encoder.pt, a file of weights, or timm:NAME"
            " (a model with weights, such as timm:resnet50.tv_in1k)"
        )
    return name


def download(name: str, image_size: int) -> Weights:
    """Get the weights of a model that timm knows by name, for images of this side.

    Raises:
        InputError: there are none, or they cannot be had.
    """
    import timm

    try:
        try:
            model: Any = timm.create_model(name, pretrained=True, img_size=image_size)
        except TypeError:  # most families are made for any size
            model = timm.create_model(name, pretrained=True)
    except Exception as error:  # no weights, no network, a proxy's answer: a type for each
        reason = describe_error(error)
        raise InputError(
            f"{TIMM}{name}: timm cannot get these weights ({reason}); load them where there is a network, or"
            " give a file of them"
        ) from error
    return Weights(Path(f"{TIMM}{name}"), model.state_dict())


def get_timm_preprocessing(name: str) -> Preprocessing:
    """Return the preprocessing that timm has for a model, with or without a tag of its weights.

    Raises:
        InputError: timm has no such model, or no such tag.
    """
    import timm

    arch, _, tag = name.partition(".")
    config = None
    with suppress(RuntimeError):
        config = timm.get_pretrained_cfg(name) if timm.is_model(arch) else None
    if config is None:
        near = ", ".join(timm.list_pretrained(f"{arch}.*")[:8]) or "resnet50.tv_in1k"
        raise InputError(f"--arch {name}: timm has no such {'tag' if tag else 'model'}; near it are: {near}")
    return read_timm_config(config.to_dict(), 224)


def read_timm_folder(folder: Path) -> tuple[dict[str, Any], Path]:
    """Read config.json of a folder that timm saved, and find its weights.

    Raises:
        InputError: it is none.
    """
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file() and isinstance(config.get("architecture"), str):
            return config, folder / name
    raise InputError(
        f"{folder} is neither a run with encoder.pt or checkpoint.pt nor a folder of timm's (config.json with"
        " an architecture, and model.safetensors)"
    )
