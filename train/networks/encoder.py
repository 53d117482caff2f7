"""A pre-trained encoder, from the file of a finished run or from a checkpoint of a running one."""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from texneg.errors import InputError
from texneg.train.networks.backbone import Architecture, Network

FORMAT = 2
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, of channels in 0 ... 1


class Encoder(nn.Module):
    """The query network of a run: normalised float images (N, 3, S, S) to backbone features (N, F)."""

    mean = MEAN
    std = STD

    def __init__(self, network: Network, *, info: dict[str, Any]) -> None:
        super().__init__()
        self.network = network
        self.image_size = network.image_size
        self.feature_dim = network.features
        self.info = info

    def forward(self, images: Tensor) -> Tensor:
        """Compute features (N, F)."""
        return self.network.backbone(images)

    def embed(self, images: Tensor) -> Tensor:
        """Compute vectors (N, D) of the contrastive space, L2-normalised."""
        return F.normalize(self.network(images), dim=1)

    @property
    def fingerprint(self) -> str:
        """sha256 of the weights and BN statistics, in hexadecimal: of all that decides the features.

        Counters of batches, which some batch norm policies keep and others do not, are left out.
        """
        digest = hashlib.sha256()
        for name, value in sorted(self.network.state_dict().items()):
            if name.rpartition(".")[2] == "num_batches_tracked":
                continue
            digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
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


def load_encoder(checkpoint: str, device: str = "cpu") -> Encoder:
    """Load the encoder of a run folder, `encoder.pt` or `checkpoint.pt`, in eval mode, without gradients.

    Raises:
        InputError: no such file, a file that is no texneg checkpoint, weights that do not fit or are lost.
    """
    path = Path(checkpoint)
    if path.is_dir():
        found = [path / name for name in ("encoder.pt", "checkpoint.pt") if (path / name).is_file()]
        if not found:
            raise InputError(
                f"{path} holds neither encoder.pt nor checkpoint.pt; give the folder of a pre-training run"
            )
        path = found[0]
    saved = load_checkpoint(path)
    saved = saved.get("encoder", saved)
    try:
        network = Network(Architecture(**saved["architecture"]), saved["image_size"], saved["head"])
        network.load_state_dict(saved["network"])
        encoder = Encoder(network, info=saved["info"])
    except (KeyError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path} is no encoder of texneg ({reason}); make one with texneg pretrain"
        ) from error
    lost = [
        name
        for name, value in network.state_dict().items()
        if value.is_floating_point() and not value.isfinite().all()
    ]
    if lost:
        raise InputError(
            f"{path} holds numbers that are not finite (first in {lost[0]}): its training has diverged; give"
            " an earlier checkpoint, or train again with a lower --lr"
        )
    return encoder.to(device).eval().requires_grad_(False)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Load a dictionary saved by torch without running any code of the file."""
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}; give a run folder or its encoder.pt")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a different type for each kind of damage
        raise InputError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}), it is damaged or foreign;"
            " give another, or delete it and run texneg pretrain again"
        ) from error
    if not isinstance(saved, dict) or saved.get("format") != FORMAT:
        raise InputError(f"{path} is no texneg checkpoint of format {FORMAT}; make one with texneg pretrain")
    return saved
