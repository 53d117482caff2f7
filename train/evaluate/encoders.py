"""Encoders for a measurement: what one has to offer, how it is opened, and how it stays as it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from texneg.cli import console
from texneg.memory import tune_allocator
from texneg.train.device import pick_device
from texneg.train.networks.encoder import Encoder as Loaded
from texneg.train.networks.encoder import load_encoder
from texneg.train.networks.imported import Foreign
from texneg.train.networks.preprocessing import Preprocessing


class Encoder(Protocol):
    """The interface of a pre-trained network that evaluation uses."""

    @property
    def image_size(self) -> int:
        """S, the side of the square images it takes, in pixels."""
        ...

    @property
    def preprocessing(self) -> Preprocessing:
        """Resize, crop and normalisation of its input."""
        ...

    @property
    def mean(self) -> tuple[float, ...]:
        """Channel means of its input, of values in 0 ... 1."""
        ...

    @property
    def std(self) -> tuple[float, ...]:
        """Channel deviations of its input."""
        ...

    @property
    def fingerprint(self) -> str:
        """sha256 of the weights, and of what else decides its features."""
        ...

    @property
    def info(self) -> dict[str, Any]:
        """Record of its training: recipe, seed, settings, step and data."""
        ...

    def __call__(self, images: Tensor) -> Tensor:
        """Features (N, F) of normalised float images (N, 3, S, S)."""
        ...

    def embed(self, images: Tensor) -> Tensor:
        """L2-normalised vectors (N, D) of the contrastive space."""
        ...

    def modules(self) -> Iterator[nn.Module]:
        """The network and all its parts."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """The weights."""
        ...


def open_encoder(checkpoint: str, device: str, foreign: Foreign) -> Loaded:
    """Load an encoder for a measurement; say how foreign weights were read, and how images are prepared.

    On a CPU its convolutions have channels last, with which they take 0.7 to 0.85 of the time, and the
    allocator gives memory again (`texneg.memory`).

    Raises:
        InputError: there is none, or its weights do not fit.
    """
    encoder = load_encoder(checkpoint, device=pick_device(device), foreign=foreign)
    if find_device(encoder).type == "cpu":
        encoder.to(memory_format=torch.channels_last)
        tune_allocator()
    origin = ""
    if encoder.imported:
        origin = f" ({encoder.imported.origin})"
        for line in encoder.imported.describe():
            console.info(line)
    console.out(f"images{origin}: {encoder.preprocessing.describe()}")
    return encoder


def describe_encoder(encoder: Encoder) -> dict[str, Any]:
    """Describe for a result how images were prepared, and how foreign weights were read."""
    imported = getattr(encoder, "imported", None)
    return {
        "transform": encoder.preprocessing.transform,
        "preprocessing": asdict(encoder.preprocessing),
        "imported": imported.record() if imported else None,
    }


def find_device(encoder: Encoder) -> torch.device:
    """Find the device that holds the encoder's weights."""
    return next(encoder.parameters()).device


@contextmanager
def evaluation_mode(encoder: Encoder) -> Iterator[None]:
    """Every part of the encoder in eval mode and without gradient; afterwards each part as it was before."""
    before = [(part, part.training) for part in encoder.modules()]
    try:
        for part, _ in before:
            part.training = False
        with torch.inference_mode():
            yield
    finally:
        for part, training in before:
            part.training = training
