"""A linear head on frozen features, and its file `head.pt`.

Shapes: N images, F features, C classes.
"""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from texneg.datasets.storage.atomic import write_bytes
from texneg.errors import InputError
from texneg.train.evaluate.features import Encoder

FORMAT = "texneg-head-1"


@dataclass(frozen=True)
class Head:
    """Class scores of standardised features, and how they were chosen."""

    mean: Tensor
    """float32 (F,), subtracted from the features."""
    std: Tensor
    """float32 (F,), divides them; 1 where a feature is constant."""
    weight: Tensor
    """float32 (C, F)."""
    bias: Tensor
    """float32 (C,)."""
    classes: tuple[str, ...]
    """C class folder names, in the order of the scores."""
    encoder: str = ""
    """Fingerprint of the encoder that made the features."""
    penalty: float = 0.0
    """Chosen on the validation split: penalty / 2 * ||weight||^2 was added to the mean cross-entropy."""
    validation: float = 0.0
    """Top-1 share on that split, before the refit on everything."""

    def logits(self, features: Tensor) -> Tensor:
        """Scores (N, C) of features (N, F)."""
        return (features - self.mean) / self.std @ self.weight.T + self.bias

    @property
    def fingerprint(self) -> str:
        """sha256 of the numbers and class names."""
        digest = hashlib.sha256("\0".join(self.classes).encode())
        for part in (self.mean, self.std, self.weight, self.bias):
            digest.update(part.numpy().tobytes())
        return digest.hexdigest()


def save_head(path: str, head: Head) -> None:
    """Write a head as a dictionary that `torch.load(..., weights_only=True)` reads."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **vars(head), "classes": list(head.classes)}, buffer)
    write_bytes(Path(path), buffer.getvalue())


def load_head(path: str, encoder: Encoder) -> Head:
    """Read a head and check that it belongs to this encoder; anything else raises `InputError`."""
    if not Path(path).is_file():
        raise InputError(f"no head at {path!r}; make one with: texneg probe CHECKPOINT --data DIR --out DIR")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a different type for each kind of damage
        raise InputError(
            f"{path!r} cannot be read as a head ({type(error).__name__}); make it again with texneg probe"
        ) from error
    if not isinstance(state, dict) or state.pop("format", None) != FORMAT:
        raise InputError(f"{path!r} is not a {FORMAT} file; give the head.pt that texneg probe wrote")
    head = Head(**{**state, "classes": tuple(state["classes"])})
    if head.encoder != encoder.fingerprint:
        raise InputError(
            f"head {path!r} was fitted on encoder {head.encoder[:12]}, this one is "
            f"{encoder.fingerprint[:12]}; run texneg probe on this checkpoint"
        )
    return head
