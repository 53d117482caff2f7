"""A pre-trained encoder: of a finished or running run of texneg, or of other projects' weights."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from texneg.errors import InputError, describe_error
from texneg.train.networks.backbone import Architecture, Network
from texneg.train.networks.imported import OWN_FILES, Foreign, Imported, import_network
from texneg.train.networks.preprocessing import MEAN, STD, Preprocessing
from texneg.train.networks.weights import load_torch

__all__ = ["MEAN", "STD", "Encoder", "export_encoder", "load_checkpoint", "load_encoder"]

FORMAT = 2


class Encoder(nn.Module):
    """A frozen or trained network: normalised float images (N, 3, S, S) to backbone features (N, F)."""

    def __init__(
        self,
        network: Network,
        *,
        info: dict[str, Any],
        preprocessing: Preprocessing | None = None,
        imported: Imported | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.preprocessing = preprocessing or Preprocessing(network.image_size)
        self.feature_dim = network.features
        self.info = info
        self.imported = imported
        """Record of reading weights of another project; None for our own."""

    @property
    def image_size(self) -> int:
        """S, side of the images in pixels."""
        return self.preprocessing.image_size

    @property
    def mean(self) -> tuple[float, ...]:
        """Channel means of the input, of values in 0 ... 1."""
        return self.preprocessing.mean

    @property
    def std(self) -> tuple[float, ...]:
        """Channel deviations of the input."""
        return self.preprocessing.std

    def forward(self, images: Tensor) -> Tensor:
        """Compute features (N, F)."""
        return self.network.backbone(images)

    def embed(self, images: Tensor) -> Tensor:
        """Compute vectors (N, D) of the contrastive space, L2-normalised; without a head, of the features."""
        return F.normalize(self.network(images), dim=1)

    @property
    def fingerprint(self) -> str:
        """sha256 of the weights and BN statistics, in hexadecimal: of all that decides the features.

        Counters of batches, which some batch norm policies keep and others do not, are left out. Architecture
        and preprocessing are in it where these are not a run's own: the same weights give other features with
        another stem or another mean.
        """
        digest = hashlib.sha256()
        for name, value in sorted(self.network.state_dict().items()):
            if name.rpartition(".")[2] == "num_batches_tracked":
                continue
            digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        prepared = asdict(self.preprocessing)
        del prepared["resize"]
        if self.imported or replace(self.preprocessing, resize=None) != Preprocessing(
            self.network.image_size
        ):
            heads = self.imported.heads if self.imported else None
            used = [asdict(self.network.architecture), heads, prepared]
            digest.update(json.dumps(used, sort_keys=True).encode())
        return digest.hexdigest()


def export_encoder(network: Network, *, info: dict[str, Any]) -> dict[str, Any]:
    """Return the content of `encoder.pt`: plain types and tensors, all that `load_encoder` needs."""
    return {
        "format": FORMAT,
        "architecture": asdict(network.architecture),
        "head": network.head_name,
        "image_size": network.image_size,
        "info": info,
        "network": network.state_dict(),
    }


OURS = Foreign()


def load_encoder(checkpoint: str, device: str = "cpu", foreign: Foreign = OURS) -> Encoder:
    """Load an encoder in eval mode, without gradients.

    Args:
        checkpoint: a run folder, its `encoder.pt` or `checkpoint.pt`; a file of weights of timm, torchvision,
            MoCo, lightly, solo-learn and the like; a folder of timm's with config.json; or timm:NAME.
        device: where it computes.
        foreign: architecture and preprocessing, where the file does not say.

    Raises:
        InputError: no such file, one that cannot be read, weights that do not fit or are lost.
    """
    path = Path(checkpoint)
    if (path.is_dir() and not (path / "config.json").is_file()) or holds_run(path):
        path = find_checkpoint(path)
    saved = load_torch(path) if path.is_file() and path.suffix != ".safetensors" else None
    if isinstance(saved, dict) and ("format" in saved and ("network" in saved or "encoder" in saved)):
        encoder = read_own(path, saved, foreign)
    else:
        network, imported = import_network(checkpoint, saved, foreign)
        info = {"arch": imported.architecture.arch, "file": checkpoint}
        encoder = Encoder(network, info=info, preprocessing=imported.preprocessing, imported=imported)
    require_finite(path, encoder.network)
    return encoder.to(device).eval().requires_grad_(False)


def holds_run(folder: Path) -> bool:
    """Return True for the folder of a run with weights."""
    return any((folder / name).is_file() for name in OWN_FILES)


def find_checkpoint(folder: Path) -> Path:
    """Find the weights of a run folder.

    Raises:
        InputError: there are none.
    """
    for name in OWN_FILES:
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        f"{folder} holds neither encoder.pt nor checkpoint.pt; give the folder of a pre-training run"
    )


def read_own(path: Path, saved: dict[str, Any], foreign: Foreign) -> Encoder:
    """Read the encoder of what texneg saved.

    Raises:
        InputError: another format, or weights that do not fit.
    """
    require_format(path, saved)
    if foreign.arch or foreign.stem or foreign.part is not None:
        raise InputError(f"--arch, --stem and --part are for weights of other projects; {path} has its own")
    saved = saved.get("encoder", saved)
    try:
        network = Network(Architecture(**saved["architecture"]), saved["image_size"], saved["head"])
        network.load_state_dict(saved["network"])
        info = saved["info"]
    except (KeyError, TypeError, RuntimeError) as error:
        reason = describe_error(error, 200)
        raise InputError(
            f"{path} is no encoder of texneg ({reason}); make one with texneg pretrain"
        ) from error
    return Encoder(network, info=info, preprocessing=foreign.change(Preprocessing(network.image_size)))


def require_finite(path: Path, network: Network) -> None:
    """Refuse weights that are not finite.

    Raises:
        InputError: naming the first.
    """
    lost = [
        name
        for name, value in network.state_dict().items()
        if value.is_floating_point() and not value.isfinite().all()
    ]
    if lost:
        raise InputError(
            f"{path} holds numbers that are not finite (first in {lost[0]}): the file is damaged, or its"
            " training has diverged; give an earlier one, or train again with a lower --lr"
        )


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Load a dictionary saved by texneg without running any code of the file."""
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}; give a run folder or its encoder.pt")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a different type for each kind of damage
        raise InputError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}), it is damaged or foreign;"
            " give another, or delete it and run texneg pretrain again"
        ) from error
    if not isinstance(saved, dict):
        saved = {}
    require_format(path, saved)
    return saved


def require_format(path: Path, saved: dict[str, Any]) -> None:
    """Refuse what another version saved.

    Raises:
        InputError: it is not of this format.
    """
    if saved.get("format") != FORMAT:
        raise InputError(f"{path} is no texneg checkpoint of format {FORMAT}; make one with texneg pretrain")
